import { LRUCache } from 'lru-cache';
import { SharedFlights } from './shared-flights.ts';

/** How often the answers of one kind of review came from memory, for metrics: read them when they are collected. */
export interface ReviewCounts {
  /** Answered from memory. */
  readonly hits: number;
  /** Asked, or joined to a question that was on its way. */
  readonly misses: number;
  /** Questions that had no answer. */
  readonly errors: number;
}

export interface Answer<T> {
  readonly value: T;
  /** How long it may be used again; 0: not at all. */
  readonly ttlMs: number;
}

interface Kept<T> {
  readonly value: T;
  /** From then on who uses it has it asked for anew, once and without waiting. */
  renewAt: number;
}

/** Share of its time after which an answer in use is asked for anew. */
const renewalShare = 0.8;
/** How long such a question may take; whoever comes when the answer is too old asks again. */
const renewalTimeoutMs = 10_000;

/**
 * Answers of the hub, for a while: bounded, one question at a time for each key, errors never kept. One that is used to
 * the end of its time is renewed before: otherwise all callers of a user would wait for the hub at the same moment, every
 * ten seconds. No answer is used longer than its time.
 */
export class ReviewCache<T extends object> {
  readonly #answers: LRUCache<string, Kept<T>>;
  readonly #flights = new SharedFlights<T>();
  readonly #counts = { hits: 0, misses: 0, errors: 0 };

  constructor(size: number) {
    // Resolution 0: no timer to save the clock's reading.
    this.#answers = new LRUCache({ max: size, ttlResolution: 0 });
  }

  get counts(): ReviewCounts {
    return this.#counts;
  }

  async get(key: string, ask: (signal: AbortSignal) => Promise<Answer<T>>, signal: AbortSignal): Promise<T> {
    const known = this.#answers.get(key);
    if (known) {
      this.#counts.hits += 1;
      if (performance.now() > known.renewAt) {
        known.renewAt = Infinity;
        this.#renew(key, ask);
      }
      return known.value;
    }
    this.#counts.misses += 1;
    return this.#flights.run(key, (shared) => this.#ask(key, ask, shared), signal);
  }

  #renew(key: string, ask: (signal: AbortSignal) => Promise<Answer<T>>): void {
    const signal = AbortSignal.timeout(renewalTimeoutMs);
    // What went wrong is told to whoever asks when the answer is too old.
    this.#flights.run(key, (shared) => this.#ask(key, ask, shared), signal).catch(() => undefined);
  }

  async #ask(key: string, ask: (signal: AbortSignal) => Promise<Answer<T>>, signal: AbortSignal): Promise<T> {
    try {
      const { value, ttlMs } = await ask(signal);
      const renewAt = performance.now() + ttlMs * renewalShare;
      if (ttlMs > 0) this.#answers.set(key, { value, renewAt }, { ttl: ttlMs });
      // A yes that became a no which is not to be kept.
      else this.#answers.delete(key);
      return value;
    } catch (error) {
      if (!signal.aborted) this.#counts.errors += 1;
      throw error;
    }
  }
}
