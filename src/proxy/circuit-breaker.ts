import { Failure } from '../base/failure.ts';

export interface CircuitBreakerOptions {
  /** Failures in a row after which it opens: 5 unless told. */
  readonly threshold?: number;
  /** Milliseconds until the first probe (500), and at most between two (5 000): a cluster that is back is used at once. */
  readonly firstPauseMs?: number;
  readonly maxPauseMs?: number;
  /** Milliseconds, monotonic. */
  readonly now?: () => number;
  /** 0 up to 1. */
  readonly random?: () => number;
}

/** What came of one try. */
export interface Attempt {
  succeeded(): void;
  /** What is not about the connection (a caller who goes away, an answer that is cut) says nothing of the cluster. */
  failed(error: unknown): void;
}

/**
 * Notices that no connection can be made and spares callers the wait: after some failures in a row it is open, and
 * requests fail at once with the last failure. After a pause one request goes through as a probe; the pause grows
 * while probes fail. One belongs to one state of a cluster's endpoint and TLS material: a changed Secret begins anew.
 */
export class CircuitBreaker {
  readonly #threshold: number;
  readonly #firstPauseMs: number;
  readonly #maxPauseMs: number;
  readonly #now: () => number;
  readonly #random: () => number;
  #failures = 0;
  /** Set while it is open. */
  #last: Failure | undefined;
  #pauseMs = 0;
  #probeAt = 0;

  constructor(options: CircuitBreakerOptions = {}) {
    this.#threshold = options.threshold ?? 5;
    this.#firstPauseMs = options.firstPauseMs ?? 500;
    this.#maxPauseMs = options.maxPauseMs ?? 5_000;
    this.#now = options.now ?? (() => performance.now());
    this.#random = options.random ?? Math.random;
  }

  get isOpen(): boolean {
    return this.#last !== undefined;
  }

  /** Throws the last `Failure`, of its kind and in its words, while it is open. */
  begin(): Attempt {
    const last = this.#last;
    if (!last) return this.#attempt;
    if (this.#now() < this.#probeAt)
      throw new Failure(last.kind, `${last.message} (not tried again yet)`, { cause: last });
    // A probe may be a followed log that has nothing to say: the next one does not wait for it for ever.
    this.#probeAt = this.#now() + this.#maxPauseMs;
    return this.#probe;
  }

  readonly #attempt: Attempt = {
    succeeded: () => this.#close(),
    failed: (error) => {
      if (this.#last || !isOfConnection(error)) return;
      this.#failures += 1;
      if (this.#failures >= this.#threshold) this.#open(error, this.#firstPauseMs);
    },
  };

  readonly #probe: Attempt = {
    succeeded: () => this.#close(),
    failed: (error) => {
      if (!this.#last) return;
      if (isOfConnection(error)) this.#open(error, Math.min(this.#pauseMs * 2, this.#maxPauseMs));
      else this.#probeAt = this.#now();
    },
  };

  #open(failure: Failure, pauseMs: number): void {
    this.#last = failure;
    this.#pauseMs = pauseMs;
    // Many gateways must not knock at the same moment.
    this.#probeAt = this.#now() + pauseMs * (0.8 + this.#random() * 0.4);
  }

  #close(): void {
    this.#failures = 0;
    this.#last = undefined;
  }
}

/** No connection could be made, or not one that can be trusted. */
function isOfConnection(error: unknown): error is Failure {
  return (
    error instanceof Failure &&
    !error.sent &&
    (error.kind === 'unreachable' || error.kind === 'timeout' || error.kind === 'untrusted')
  );
}
