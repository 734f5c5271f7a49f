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
  /** Told what it opens for, and undefined when it closes; not of probes between. */
  readonly onChange?: (failure: Failure | undefined) => void;
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
  readonly #onChange: (failure: Failure | undefined) => void;
  #failures = 0;
  /** What is thrown while it is open: made once, as hundreds of callers may come again and again. */
  #refusal: Failure | undefined;
  #pauseMs = 0;
  #probeAt = 0;

  constructor(options: CircuitBreakerOptions = {}) {
    this.#threshold = options.threshold ?? 5;
    this.#firstPauseMs = options.firstPauseMs ?? 500;
    this.#maxPauseMs = options.maxPauseMs ?? 5_000;
    this.#now = options.now ?? (() => performance.now());
    this.#random = options.random ?? Math.random;
    this.#onChange = options.onChange ?? (() => undefined);
  }

  get isOpen(): boolean {
    return this.#refusal !== undefined;
  }

  /** Throws the last `Failure`, of its kind and in its words, while it is open. */
  begin(): Attempt {
    const refusal = this.#refusal;
    if (!refusal) return this.#attempt;
    if (this.#now() < this.#probeAt) throw refusal;
    // A probe may be a followed log that has nothing to say: the next one does not wait for it for ever.
    this.#probeAt = this.#now() + this.#maxPauseMs;
    return this.#probe;
  }

  readonly #attempt: Attempt = {
    succeeded: () => this.#close(),
    failed: (error) => {
      if (this.#refusal || !isOfConnection(error)) return;
      this.#failures += 1;
      if (this.#failures >= this.#threshold) this.#open(error, this.#firstPauseMs);
    },
  };

  readonly #probe: Attempt = {
    succeeded: () => this.#close(),
    failed: (error) => {
      if (!this.#refusal) return;
      if (isOfConnection(error)) this.#open(error, Math.min(this.#pauseMs * 2, this.#maxPauseMs));
      else this.#probeAt = this.#now();
    },
  };

  #open(failure: Failure, pauseMs: number): void {
    const wasOpen = this.isOpen;
    const message = `${failure.message} (not tried again yet)`;
    this.#refusal = new Failure(failure.kind, message, { cause: failure, repeated: true });
    this.#pauseMs = pauseMs;
    // Many gateways must not knock at the same moment.
    this.#probeAt = this.#now() + pauseMs * (0.8 + this.#random() * 0.4);
    if (!wasOpen) this.#onChange(failure);
  }

  #close(): void {
    this.#failures = 0;
    if (!this.#refusal) return;
    this.#refusal = undefined;
    this.#onChange(undefined);
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
