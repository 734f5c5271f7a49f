/**
 * Streams that last until somebody ends them, and the end of all of them: spread over a time, so that ten thousand
 * clients do not come back, elsewhere, in one instant.
 *
 * @example
 * const remove = streams.add(() => watch.end());
 * watch.once('close', remove);
 * streams.endAll(10_000);
 */
export class SpreadEnds {
  readonly #ends = new Set<() => void>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #ending = false;

  get size(): number {
    return this.#ends.size;
  }

  /** `end` is called once, at most. Gives a function that forgets it. What is added after the end ends at once. */
  add(end: () => void): () => void {
    if (this.#ending) {
      end();
      return () => undefined;
    }
    this.#ends.add(end);
    return () => this.#ends.delete(end);
  }

  /** Calls the ends in random order, evenly over at most `spreadMs`; few of them take less: ten milliseconds each. */
  endAll(spreadMs: number): void {
    if (this.#ending) return;
    this.#ending = true;
    const ends = shuffled([...this.#ends]);
    const step = Math.min(spreadMs, ends.length * 10) / Math.max(1, ends.length);
    ends.forEach((end, i) => this.#after(i * step, end));
  }

  #after(ms: number, end: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      if (this.#ends.delete(end)) end();
    }, ms);
    this.#timers.add(timer);
  }

  /** Ends all that are left now. */
  destroy(): void {
    this.#ending = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    for (const end of this.#ends) {
      this.#ends.delete(end);
      end();
    }
  }
}

function shuffled<T>(items: readonly T[]): T[] {
  return items
    .map((item) => ({ item, key: Math.random() }))
    .sort((left, right) => left.key - right.key)
    .map(({ item }) => item);
}
