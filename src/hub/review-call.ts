import { Backoff } from '../base/backoff.ts';
import { Failure } from '../base/failure.ts';
import { StatusError } from '../kube/status.ts';
import type { HubClient } from './client.ts';

/** How often the answers of one kind of review came from memory: for metrics. */
export interface ReviewCounts {
  hits: number;
  misses: number;
  errors: number;
}

/** Of all tries together (k8s.io/apiserver webhook defaults). */
const timeoutMs = 10_000;
const tries = 5;

/**
 * Posts a review and gives the answer, repeating what may be repeated (`DefaultAuthWebhookRetryBackoff`: 500 ms times
 * 1.5). It has a time of its own: a caller who goes away must not end it for the others who wait for it.
 */
export async function postReview(client: HubClient, path: string, body: unknown): Promise<unknown> {
  const signal = AbortSignal.timeout(timeoutMs);
  const backoff = new Backoff({ initialMs: 500, maxMs: 3_000, factor: 1.5, jitter: 0.2 });
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await client.request({ method: 'POST', path, body, signal, timeoutMs });
    } catch (error) {
      if (attempt === tries || signal.aborted || !mayBeRepeated(error)) throw error;
      await backoff.wait(signal);
    }
  }
}

function mayBeRepeated(error: unknown): boolean {
  if (error instanceof Failure)
    return error.kind !== 'cancelled' && error.kind !== 'too-large' && error.kind !== 'untrusted';
  return error instanceof StatusError && (error.status.code >= 500 || error.status.code === 429);
}

/** Waits for a shared result only as long as this caller is there. */
export function forCaller<T>(shared: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) return Promise.reject(new Failure('cancelled', 'the caller went away'));
  return new Promise<T>((resolve, reject) => {
    const onAbort = () => reject(new Failure('cancelled', 'the caller went away'));
    signal.addEventListener('abort', onAbort, { once: true });
    shared.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
