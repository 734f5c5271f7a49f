/** Places that were taken, before they are given up. */
const mostTaken = 1024;

/** Pieces in the order in which they came. `Array.shift` moves all that is behind, which adds up where they are many. */
export class PieceQueue {
  #pieces: (Buffer | undefined)[] = [];
  #from = 0;

  get isEmpty(): boolean {
    return this.#from === this.#pieces.length;
  }

  push(piece: Buffer): void {
    this.#pieces.push(piece);
  }

  take(): Buffer | undefined {
    const piece = this.#pieces[this.#from];
    if (!piece) return undefined;
    this.#pieces[this.#from] = undefined;
    this.#from += 1;
    const left = this.#pieces.length - this.#from;
    if (left === 0) this.clear();
    else if (this.#from >= mostTaken && this.#from > left) {
      this.#pieces = this.#pieces.slice(this.#from);
      this.#from = 0;
    }
    return piece;
  }

  clear(): void {
    this.#pieces = [];
    this.#from = 0;
  }
}
