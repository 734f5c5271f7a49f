import type { Exchange } from './exchange.ts';

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
 * Tells a new request, while the server stops, to come again elsewhere, and ends its connection
 * (`--shutdown-send-retry-after`). False where it is to be served all the same: probes and /metrics.
 */
export function refuseAtShutdown(exchange: Exchange, extraHeaders: readonly string[] = []): boolean {
  if (isExempt(exchange.target)) return false;
  exchange.closeConnectionAfter();
  const text = 'The apiserver is shutting down, please try again later.';
  respondTryLater(exchange, { text, retryAfterSeconds: 5 }, extraHeaders);
  return true;
}

/** Whole segments, where kube-apiserver is content with a prefix: `/metricsx` is nothing that anybody scrapes. */
const isExempt = (target: string) => /^\/(?:livez|readyz|healthz|metrics)(?:[/?]|$)/.test(target);
