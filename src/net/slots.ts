import { Failure } from '../base/failure.ts';
import { abortFailure } from './node-errors.ts';

export interface SlotsOptions {
  readonly max: number;
  readonly maxWaiting: number;
  /** What is waited for, for the message when too many wait. */
  readonly name: string;
}

/** A bounded number of places, and a bounded line of those who wait for one. */
export class Slots {
  readonly #options: SlotsOptions;
  readonly #waiting = new Set<() => void>();
  #taken = 0;

  constructor(options: SlotsOptions) {
    this.#options = options;
  }

  /** Resolves with a place taken. Whoever has one gives it back with `release`. */
  take(signal: AbortSignal): Promise<void> {
    if (this.#taken < this.#options.max) {
      this.#taken += 1;
      return Promise.resolve();
    }
    if (this.#waiting.size >= this.#options.maxWaiting) {
      const text = `too many requests wait for a connection to ${this.#options.name}`;
      return Promise.reject(new Failure('refused', text));
    }
    return new Promise((resolve, reject) => {
      const onTurn = () => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
      const onAbort = () => {
        this.#waiting.delete(onTurn);
        signal.removeEventListener('abort', onAbort);
        reject(abortFailure(signal));
      };
      this.#waiting.add(onTurn);
      signal.addEventListener('abort', onAbort);
    });
  }

  release(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#taken -= 1;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}
