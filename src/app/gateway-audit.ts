import { readFile } from 'node:fs/promises';
import { openAuditLogFile } from '../apiserver/audit-log-file.ts';
import { auditLogStdout } from '../apiserver/audit-log-stdout.ts';
import { createAuditLog } from '../apiserver/audit-log.ts';
import type { AuditLog } from '../apiserver/audit-log.ts';
import { readAuditPolicy } from '../apiserver/audit-policy-file.ts';
import { createAuditPolicy, defaultAuditPolicy } from '../apiserver/audit-policy.ts';
import type { AuditPolicy, AuditPolicyRules } from '../apiserver/audit-policy.ts';
import { errorText } from '../base/failure.ts';
import type { Log } from '../base/log.ts';
import type { GatewayOptions } from './gateway-options.ts';

export interface GatewayAudit {
  readonly policy: AuditPolicy;
  readonly log: AuditLog;
}

/**
 * What `--audit-*` asks for; undefined without `--audit-log-path`. Throws for a policy that cannot be read, also where
 * no log wants it, and for a file that cannot be made.
 */
export async function createGatewayAudit(
  { audit }: Pick<GatewayOptions, 'audit'>,
  log: Log,
): Promise<GatewayAudit | undefined> {
  const rules = audit.policyFile === undefined ? defaultAuditPolicy : await readRules(audit.policyFile);
  const { logPath: path } = audit;
  if (path === undefined) return undefined;
  const output = path === '-' ? auditLogStdout() : await openFile({ ...audit, path, log });
  return { policy: createAuditPolicy(rules), log: createAuditLog({ output, log }) };
}

async function readRules(path: string): Promise<AuditPolicyRules> {
  try {
    return readAuditPolicy(await readFile(path, 'utf8'));
  } catch (error) {
    throw new Error(`--audit-policy-file ${path}: ${errorText(error)}`, { cause: error });
  }
}

async function openFile(options: Parameters<typeof openAuditLogFile>[0]) {
  try {
    return await openAuditLogFile(options);
  } catch (error) {
    throw new Error(`--audit-log-path ${options.path}: ${errorText(error)}`, { cause: error });
  }
}
