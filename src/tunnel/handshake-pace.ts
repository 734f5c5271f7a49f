/**
 * Begins the TLS handshakes of connections in the order in which they came, a few in each turn of the event loop. A handshake
 * costs a server more than a millisecond, nearly all of it at once. When thousands of agents come back in one moment, begun
 * all together none would be done before the last was, and clients that give up after some seconds would all have done
 * so; like this those who came first are served while the others wait. It is a pace and not a number of handshakes in
 * progress, since clients that say nothing could hold those.
 */
export class HandshakePace<T> {
  readonly #begin: (connection: T) => void;
  readonly #perTurn: number;
  readonly #waiting = new Set<T>();
  #hasTurn = false;

  constructor(begin: (connection: T) => void, perTurn = 4) {
    this.#begin = begin;
    this.#perTurn = perTurn;
  }

  /** As many as there are connections: whoever accepts those bounds them. */
  get waiting(): number {
    return this.#waiting.size;
  }

  add(connection: T): void {
    this.#waiting.add(connection);
    this.#takeTurn();
  }

  /** It has gone, and has no turn. */
  remove(connection: T): void {
    this.#waiting.delete(connection);
  }

  #takeTurn(): void {
    if (this.#hasTurn) return;
    this.#hasTurn = true;
    setImmediate(this.#nextTurn);
  }

  readonly #nextTurn = (): void => {
    let left = this.#perTurn;
    this.#hasTurn = false;
    for (const connection of this.#waiting) {
      if (left === 0) {
        this.#takeTurn();
        return;
      }
      left -= 1;
      this.#waiting.delete(connection);
      this.#begin(connection);
    }
  };
}
