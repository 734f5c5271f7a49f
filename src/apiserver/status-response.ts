import { Failure } from '../base/failure.ts';
import type { FailureKind } from '../base/failure.ts';
import { StatusError } from '../kube/status.ts';
import type { Status, StatusDetails, StatusReason } from '../kube/status.ts';
import type { Exchange } from './exchange.ts';

/** The one table from what went wrong on the way to a target to what the caller is told. */
const reasonOfFailure: Record<FailureKind, StatusReason> = {
  unreachable: 'ServiceUnavailable',
  refused: 'ServiceUnavailable',
  untrusted: 'BadGateway',
  reset: 'BadGateway',
  timeout: 'Timeout',
  cancelled: 'ServiceUnavailable',
  'too-large': 'RequestEntityTooLarge',
};

/** Says whose failure it is: a caller can tell the gateway's own 503 from a cluster's. */
export interface FailureContext {
  /** Stands before the failure's text. */
  readonly prefix: string;
  readonly details: StatusDetails;
}

/** Turns anything thrown into a Status. What is not meant for callers becomes a 500 with a fixed text. */
export function statusErrorOf(error: unknown, context?: FailureContext): StatusError {
  if (error instanceof StatusError) return error;
  if (error instanceof Failure) {
    // A timeout before anything was sent means that the target could not be reached.
    const reason =
      error.kind === 'timeout' && !error.sent ? 'ServiceUnavailable' : reasonOfFailure[error.kind];
    const message = context ? `${context.prefix}: ${error.message}` : error.message;
    return new StatusError(reason, message, {
      cause: error,
      ...(context ? { details: context.details } : {}),
    });
  }
  return new StatusError('InternalError', 'Internal Server Error', { cause: error });
}

/** Answers with a Status, as kube-apiserver does (apiserver responsewriters/status.go). */
export function respondStatus(
  exchange: Exchange,
  status: Status,
  extraHeaders: readonly string[] = [],
): void {
  const retryAfter = status.details?.retryAfterSeconds;
  const headers = [
    'content-type',
    'application/json',
    'x-content-type-options',
    'nosniff',
    'cache-control',
    'no-cache, private',
    ...(retryAfter ? ['retry-after', String(retryAfter)] : []),
    ...extraHeaders,
  ];
  exchange.respond(status.code, headers, `${JSON.stringify(status)}\n`);
}

/** Answers a short text, as probes do. */
export function respondText(
  exchange: Exchange,
  { status, text }: { status: number; text: string },
  extraHeaders: readonly string[] = [],
): void {
  const headers = ['content-type', 'text/plain; charset=utf-8', 'x-content-type-options', 'nosniff'];
  exchange.respond(status, [...headers, ...extraHeaders], text);
}
