import { Backoff } from '../base/backoff.ts';
import { Failure } from '../base/failure.ts';
import { StatusError } from '../kube/status.ts';
import type { HubClient } from './client.ts';
import { linkSignal } from './deadline.ts';

export interface ReviewPost {
  readonly path: string;
  readonly body: object;
  readonly signal: AbortSignal;
  readonly observe?: ReviewObserver | undefined;
}

/** Told of each try: the HTTP status, or `<error>` where there was none, and how long it took. */
export type ReviewObserver = (code: string, seconds: number) => void;

/** Of all tries together (k8s.io/apiserver options/authentication.go). */
const timeoutMs = 10_000;
const maxTries = 5;

/** Posts a review and gives the answer, repeating what may be repeated (webhook.go DefaultRetryBackoff: 500 ms × 1.5). */
export async function postReview(client: HubClient, review: ReviewPost): Promise<unknown> {
  const { path, body, signal, observe } = review;
  const deadline = linkSignal(signal, timeoutMs, `POST ${path} at the hub`);
  const backoff = new Backoff({ initialMs: 500, maxMs: 3_000, factor: 1.5, jitter: 0.2 });
  try {
    for (let tries = 1; ; tries += 1) {
      const startedAt = performance.now();
      const told = (code: string) => observe?.(code, (performance.now() - startedAt) / 1000);
      try {
        const answer = await client.request({
          method: 'POST',
          path,
          body,
          signal: deadline.signal,
          timeoutMs,
        });
        told('201');
        return answer;
      } catch (error) {
        told(error instanceof StatusError ? String(error.status.code) : '<error>');
        if (tries === maxTries || !mayBeRepeated(error)) throw error;
        await backoff.wait(deadline.signal);
        if (deadline.signal.aborted) throw error;
      }
    }
  } finally {
    deadline.release();
  }
}

/** A review changes nothing, so it may be sent again whatever became of it. */
function mayBeRepeated(error: unknown): boolean {
  if (error instanceof StatusError) return error.status.code >= 500 || error.status.code === 429;
  return error instanceof Failure && ['unreachable', 'refused', 'reset', 'timeout'].includes(error.kind);
}
