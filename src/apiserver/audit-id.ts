import { randomUUID } from 'node:crypto';
import { firstHeader } from '../base/header-lines.ts';
import type { HeaderLines } from '../base/header-lines.ts';

/** What a log can hold and a header can carry: kube-apiserver cuts to the same 64 characters where it logs one. */
const auditIdShape = /^[\x21-\x7e]{1,64}$/;

/**
 * The name under which the hub, this server and the target of a request write about it: the caller's `Audit-ID`, or a
 * new one where there is none, or none that may be passed on.
 */
export function auditIdOf(headers: HeaderLines): string {
  const given = firstHeader(headers, 'audit-id');
  return given !== undefined && auditIdShape.test(given) ? given : randomUUID();
}
