import type { RequestInfo } from '../kube/request-info.ts';
import type { AuditEvent } from './audit-event.ts';
import type { AuditLog } from './audit-log.ts';
import type { AuditMetrics } from './audit-metrics.ts';
import type { AuditDecision, AuditLevel, AuditPolicy } from './audit-policy.ts';
import { AuditRecord } from './audit-record.ts';
import type { AuditedRequest } from './audit-record.ts';

export interface AuditOptions {
  readonly policy: AuditPolicy;
  /** Takes the events: never waits, never throws. */
  readonly log: Pick<AuditLog, 'write' | 'lost'>;
  readonly metrics?: AuditMetrics;
  /** Whether a request's bodies belong to somebody else: its events have level Metadata at most. */
  readonly isProxied?: (info: RequestInfo) => boolean;
}

export interface Audit {
  /** Decides about a request that was authenticated; undefined: nothing is written of it. */
  begin(request: AuditedRequest): AuditRecord | undefined;
}

/** Makes audit.k8s.io/v1 events of requests, as the policy wants them (apiserver endpoints/filters/audit.go). */
export function createAudit({ policy, log, metrics, isProxied }: AuditOptions): Audit {
  const write = (event: AuditEvent) => {
    metrics?.countEvent();
    log.write(event);
  };
  return {
    begin: (request) => {
      const info = request.info ?? unreadable(request);
      const decision = policy.decide(request.user, info);
      metrics?.countLevel(decision.level);
      if (decision.level === 'None') return undefined;
      return new AuditRecord({ request, decision, level: levelOf(decision, info, isProxied), write });
    },
  };
}

function levelOf(
  { level }: AuditDecision,
  info: RequestInfo,
  isProxied: AuditOptions['isProxied'],
): AuditLevel {
  return level !== 'Metadata' && isProxied?.(info) ? 'Metadata' : level;
}

/** A target that is no path is audited as a path that nobody serves. */
function unreadable({ exchange }: AuditedRequest): RequestInfo {
  return {
    isResourceRequest: false,
    path: exchange.target,
    verb: exchange.method.toLowerCase(),
    apiPrefix: '',
    apiGroup: '',
    apiVersion: '',
    namespace: '',
    resource: '',
    subresource: '',
    name: '',
    parts: [],
    fieldSelector: '',
    labelSelector: '',
  };
}
