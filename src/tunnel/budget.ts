/** Something that holds bytes, and can be made to let go of them. */
export interface Charged {
  readonly heldBytes: number;
  /** Too much is held by all together, and this one holds most. */
  overBudget(): void;
}

/** Bytes that all connections of a process may hold together for readers that do not read. */
export class Budget {
  readonly #maxBytes: number;
  readonly #holders = new Set<Charged>();
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get heldBytes(): number {
    return this.#bytes;
  }

  /** A quarter is held: everybody should be asked to send less. */
  get isTight(): boolean {
    return this.#bytes * 4 > this.#maxBytes;
  }

  charge(holder: Charged, bytes: number): void {
    this.#bytes += bytes;
    this.#holders.add(holder);
    // Each one that goes gives back what it held.
    while (this.#bytes > this.#maxBytes) {
      const largest = this.#largest();
      if (!largest || largest.heldBytes === 0) return;
      largest.overBudget();
    }
  }

  release(holder: Charged, bytes: number): void {
    if (bytes === 0) return;
    this.#bytes -= bytes;
    if (holder.heldBytes === 0) this.#holders.delete(holder);
  }

  #largest(): Charged | undefined {
    let largest: Charged | undefined;
    for (const holder of this.#holders)
      if (!largest || holder.heldBytes > largest.heldBytes) largest = holder;
    return largest;
  }
}
