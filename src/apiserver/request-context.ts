import type { Readable } from 'node:stream';
import type { RequestInfo } from '../kube/request-info.ts';
import type { UserInfo } from '../kube/user-info.ts';
import type { RequestAudit } from './audit-record.ts';

/** What was found out about a request before anything answers it: who asks, and what was authorized. */
export interface RequestContext {
  readonly user: UserInfo;
  readonly requestInfo: RequestInfo;
  readonly auditId: string;
  /** Whoever decodes a body or makes an answer tells it; undefined where nothing is written of the request. */
  readonly audit?: RequestAudit | undefined;
  /** Unread; undefined where the request has none. */
  readonly body: Readable | undefined;
  /** Fires when the caller goes away, or the request's time is over, before the answer is complete. */
  readonly signal: AbortSignal;
}

// Keyed by Node's request object: fastify hands that through unchanged, whichever protocol it came by.
const contexts = new WeakMap<object, RequestContext>();

export function attachRequestContext(request: object, context: RequestContext): void {
  contexts.set(request, context);
}

/** Throws where nothing was attached: a request that was not authorized must not be answered. */
export function requestContext(request: object): RequestContext {
  const context = contexts.get(request);
  if (!context) throw new Error('the request was not admitted');
  return context;
}
