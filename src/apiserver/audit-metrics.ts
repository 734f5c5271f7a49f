import { Counter } from 'prom-client';
import type { Registry } from 'prom-client';
import { auditLevels } from './audit-policy.ts';
import type { AuditLevel } from './audit-policy.ts';

export interface AuditMetrics {
  /** A request was decided about. */
  countLevel(level: AuditLevel): void;
  /** An event was made and handed to the log. */
  countEvent(): void;
}

/** kube-apiserver's names (apiserver pkg/audit/metrics.go). No request is ever rejected for its audit event. */
export function createAuditMetrics(registry: Registry, log: { readonly lost: number }): AuditMetrics {
  const registers = [registry];
  const events = new Counter({
    name: 'apiserver_audit_event_total',
    help: 'Audit events that were made and handed to the audit log.',
    registers,
  });
  new Counter({
    name: 'apiserver_audit_error_total',
    help: 'Audit events that were lost.',
    labelNames: ['plugin'],
    registers,
    collect() {
      this.reset();
      this.inc({ plugin: 'log' }, log.lost);
    },
  });
  const levels = new Counter({
    name: 'apiserver_audit_level_total',
    help: 'Requests by the level at which the audit policy wants them.',
    labelNames: ['level'],
    registers,
  });
  new Counter({
    name: 'apiserver_audit_requests_rejected_total',
    help: 'Requests that were rejected because their audit event could not be kept: always 0.',
    registers,
  });
  const byLevel = new Map(auditLevels.map((level) => [level, levels.labels({ level })]));
  return {
    countLevel: (level) => byLevel.get(level)?.inc(),
    countEvent: () => events.inc(),
  };
}
