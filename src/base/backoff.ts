import { setTimeout as sleep } from 'node:timers/promises';

export interface BackoffOptions {
  /** First pause in milliseconds. */
  readonly initialMs: number;
  readonly maxMs: number;
  readonly factor?: number;
  /** Share of each pause that is random, 0 to 1, so that many waiters do not return at once. */
  readonly jitter?: number;
}

/** Growing, jittered pauses between tries of one thing. */
export class Backoff {
  readonly #options: Required<BackoffOptions>;
  #nextMs: number;

  constructor(options: BackoffOptions) {
    this.#options = { factor: 2, jitter: 0.5, ...options };
    this.#nextMs = options.initialMs;
  }

  reset(): void {
    this.#nextMs = this.#options.initialMs;
  }

  /** The next pause in milliseconds. */
  next(): number {
    const { factor, jitter, maxMs } = this.#options;
    const pause = this.#nextMs;
    this.#nextMs = Math.min(maxMs, pause * factor);
    return pause * (1 - jitter + Math.random() * jitter);
  }

  /** Waits for the next pause; returns early, without throwing, when the signal fires. */
  async wait(signal: AbortSignal): Promise<void> {
    await sleep(this.next(), undefined, { signal }).catch(() => undefined);
  }
}
