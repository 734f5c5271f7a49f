const smallest = 16;

/** What has the number of a stream. */
export interface Numbered {
  readonly id: number;
}

/**
 * The open streams of a connection by their number. A Map would do, but for what V8 does where entries come and go for
 * ever: it makes a new table every so many, and the old ones, which hold what was open at the time, are linked to the
 * new. Once one of them is in the old generation, all that follow get there, each with its requests: measured, 3.6 kB of
 * every request outlived it. Here a place is cleared when its stream is over.
 */
export class StreamTable<T extends Numbered> {
  #places: (T | undefined)[] = new Array<T | undefined>(smallest).fill(undefined);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(id: number): T | undefined {
    const places = this.#places;
    const mask = places.length - 1;
    for (let at = spread(id) & mask; ; at = (at + 1) & mask) {
      const found = places[at];
      if (found === undefined || found.id === id) return found;
    }
  }

  /** One whose number is not in the table. */
  add(entry: T): void {
    if ((this.#size + 1) * 2 > this.#places.length) this.#resize(this.#places.length * 2);
    this.#place(entry);
    this.#size += 1;
  }

  delete(id: number): void {
    const places = this.#places;
    const mask = places.length - 1;
    let hole = spread(id) & mask;
    for (let entry = places[hole]; entry?.id !== id; entry = places[hole]) {
      if (entry === undefined) return;
      hole = (hole + 1) & mask;
    }
    // What stands behind and could not have its own place moves up, so that nothing marks where entries were.
    for (let at = (hole + 1) & mask; ; at = (at + 1) & mask) {
      const entry = places[at];
      if (entry === undefined) break;
      const own = spread(entry.id) & mask;
      if (((at - own) & mask) < ((at - hole) & mask)) continue;
      places[hole] = entry;
      hole = at;
    }
    places[hole] = undefined;
    this.#size -= 1;
    if (places.length > smallest && this.#size * 8 < places.length) this.#resize(places.length / 2);
  }

  /** All of them, in no order; what happens to the table meanwhile does not show. */
  values(): T[] {
    return this.#places.filter((entry) => entry !== undefined);
  }

  #place(entry: T): void {
    const places = this.#places;
    const mask = places.length - 1;
    let at = spread(entry.id) & mask;
    while (places[at] !== undefined) at = (at + 1) & mask;
    places[at] = entry;
  }

  #resize(length: number): void {
    const entries = this.values();
    this.#places = new Array<T | undefined>(length).fill(undefined);
    for (const entry of entries) this.#place(entry);
  }
}

/** A peer chooses the numbers: steps of a power of two must not put all of them beside one another (Knuth 6.4). */
function spread(id: number): number {
  return Math.imul(id, 0x9e37_79b1) >>> 16;
}
