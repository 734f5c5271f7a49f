import { Backoff } from '../base/backoff.ts';
import { Failure } from '../base/failure.ts';
import { StatusError } from '../kube/status.ts';
import type { HubClient } from './client.ts';
import { linkSignal } from './deadline.ts';

export interface ReviewPost {
  readonly path: string;
  readonly body: object;
  readonly signal: AbortSignal;
}

/** Of all tries together (k8s.io/apiserver options/authentication.go). */
const timeoutMs = 10_000;
const maxTries = 5;

/** Posts a review and gives the answer, repeating what may be repeated (webhook.go DefaultRetryBackoff: 500 ms × 1.5). */
export async function postReview(client: HubClient, { path, body, signal }: ReviewPost): Promise<unknown> {
  const deadline = linkSignal(signal, timeoutMs, `POST ${path} at the hub`);
  const backoff = new Backoff({ initialMs: 500, maxMs: 3_000, factor: 1.5, jitter: 0.2 });
  try {
    for (let tries = 1; ; tries += 1) {
      try {
        return await client.request({ method: 'POST', path, body, signal: deadline.signal, timeoutMs });
      } catch (error) {
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
