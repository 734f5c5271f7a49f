import { StatusError } from '../kube/status.ts';
import type { Exchange } from './exchange.ts';
import { respondStatus } from './status-response.ts';

/**
 * Answers 429 with a text, as kube-apiserver's filters do (apiserver pkg/server/filters/priority-and-fairness.go,
 * with_retry_after.go): client-go makes a Status of it, and sends the request again after `retryAfterSeconds`.
 */
export function respondTryLater(
  exchange: Exchange,
  { text, retryAfterSeconds }: { text: string; retryAfterSeconds: number },
  extraHeaders: readonly string[] = [],
): void {
  const headers = [
    ...['content-type', 'text/plain; charset=utf-8', 'x-content-type-options', 'nosniff'],
    ...['cache-control', 'no-cache, private', 'retry-after', String(retryAfterSeconds)],
    ...extraHeaders,
  ];
  exchange.respond(429, headers, `${text}\n`);
}

/**
 * What new requests are told while the server stops: `none` nothing, they are served; `retry` 429 and the end of the
 * connection (`--shutdown-send-retry-after`), `unavailable` 503. Probes and /metrics are always served.
 */
export type ShutdownAnswer = 'none' | 'retry' | 'unavailable';

/** True where the request was answered: see {@link ShutdownAnswer}. */
export function refuseAtShutdown(
  exchange: Exchange,
  answer: Exclude<ShutdownAnswer, 'none'>,
  extraHeaders: readonly string[] = [],
): boolean {
  if (isExempt(exchange.target)) return false;
  if (answer === 'retry') {
    exchange.closeConnectionAfter();
    const text = 'The apiserver is shutting down, please try again later.';
    respondTryLater(exchange, { text, retryAfterSeconds: 5 }, extraHeaders);
  } else {
    // apiserver pkg/server/filters/waitgroup.go
    const { status } = new StatusError('ServiceUnavailable', 'apiserver is shutting down', {
      details: { retryAfterSeconds: 1 },
    });
    respondStatus(exchange, status, extraHeaders);
  }
  return true;
}

/** Whole segments, where kube-apiserver is content with a prefix: `/metricsx` is nothing that anybody scrapes. */
const isExempt = (target: string) => /^\/(?:livez|readyz|healthz|metrics)(?:[/?]|$)/.test(target);
