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

/** Answers of the hub, for a while: bounded, one question at a time for each key, errors never kept. */
export class ReviewCache<T extends object> {
  readonly #answers: LRUCache<string, T>;
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
      return known;
    }
    this.#counts.misses += 1;
    return this.#flights.run(key, (shared) => this.#ask(key, ask, shared), signal);
  }

  async #ask(key: string, ask: (signal: AbortSignal) => Promise<Answer<T>>, signal: AbortSignal): Promise<T> {
    try {
      const { value, ttlMs } = await ask(signal);
      if (ttlMs > 0) this.#answers.set(key, value, { ttl: ttlMs });
      return value;
    } catch (error) {
      if (!signal.aborted) this.#counts.errors += 1;
      throw error;
    }
  }
}
