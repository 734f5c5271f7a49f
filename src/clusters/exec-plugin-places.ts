import { Failure } from '../base/failure.ts';

export interface PluginPlacesOptions {
  /** Plugins that run at once: each is a process, often of tens of megabytes. */
  readonly max: number;
  /** How long one waits for its place. */
  readonly waitMs: number;
}

/** A bounded number of places for plugins; the others wait in their order, for a bounded time. */
export class PluginPlaces {
  readonly #options: PluginPlacesOptions;
  readonly #waiting = new Set<() => void>();
  #taken = 0;

  constructor(options: PluginPlacesOptions) {
    this.#options = options;
  }

  /** Runs the work in a place. Throws a Failure when none came free in time. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    await this.#take();
    try {
      return await work();
    } finally {
      this.#release();
    }
  }

  #take(): Promise<void> {
    const { max, waitMs } = this.#options;
    if (this.#taken < max) {
      this.#taken += 1;
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const onTurn = () => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(onTurn);
        const text = `exec: ${max} plugins run already, and none ended within ${waitMs / 1000} s`;
        reject(new Failure('timeout', text));
      }, waitMs);
      this.#waiting.add(onTurn);
    });
  }

  #release(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#taken -= 1;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}
