import type { Log } from '../../base/log.ts';

const mostMs = 2 * 3600_000;

/** How often servers are asked whether they are there; less often where they say that it is too often. */
export class Keepalive {
  readonly #log: Log;
  #ms: number;

  constructor(ms: number, log: Log) {
    this.#ms = ms;
    this.#log = log;
  }

  /** For new connections. */
  get ms(): number {
    return this.#ms;
  }

  double(): void {
    this.#ms = Math.min(this.#ms * 2, mostMs);
    this.#log.warn(
      { keepaliveMs: this.#ms },
      'the tunnel server asks for calm: it is sent a PING less often',
    );
  }
}
