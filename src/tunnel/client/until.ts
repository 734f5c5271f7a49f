import { abortFailure } from '../../net/node-errors.ts';

/** Waits for something that goes on for others, and no longer than the signal allows; then rejects with a `Failure`. */
export function until<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(abortFailure(signal));
      return;
    }
    const onAbort = () => reject(abortFailure(signal));
    signal.addEventListener('abort', onAbort);
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
