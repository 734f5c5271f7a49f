import { Failure } from '../base/failure.ts';

export interface LinkedSignal {
  readonly signal: AbortSignal;
  /** Ends the time that is running; the parent still counts. */
  readonly clearTimer: () => void;
  /** Lets go of timer and parent. Must be called, or a long-lived parent collects listeners. */
  readonly release: () => void;
}

/**
 * A signal that fires with its parent, or with a `Failure` (`timeout`) when the time is up. Not AbortSignal.timeout: its
 * reason is no Failure, and its timer cannot be ended.
 */
export function linkSignal(parent: AbortSignal, timeoutMs: number, what: string): LinkedSignal {
  const controller = new AbortController();
  const onAbort = () => controller.abort(parent.reason);
  const timer = setTimeout(
    () => controller.abort(new Failure('timeout', `${what} took longer than ${timeoutMs / 1000} s`)),
    timeoutMs,
  );
  const clearTimer = () => clearTimeout(timer);
  const release = () => {
    clearTimer();
    parent.removeEventListener('abort', onAbort);
  };
  parent.addEventListener('abort', onAbort, { once: true });
  if (parent.aborted) onAbort();
  return { signal: controller.signal, clearTimer, release };
}

/** Waits for something that knows no signal itself, for as long as the signal allows. */
export async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(abortReason(signal));
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
    // Whoever loses the race has nobody to hear it.
    work.catch(() => undefined);
  }
}

function abortReason(signal: AbortSignal): Failure {
  const reason: unknown = signal.reason;
  return reason instanceof Failure
    ? reason
    : new Failure('cancelled', 'the caller went away', { cause: reason });
}
