/** A request that has come and that nobody works on yet. */
export interface WaitingRequest {
  /** Its caller has gone: there is nothing to begin. */
  readonly isGone: () => boolean;
  readonly begin: () => void;
}

/**
 * Begins the requests of one connection, some in each turn of the event loop. Node reads up to two megabytes of a
 * connection before it looks at another, which are ten thousand requests: begun at once, they would hold up everybody
 * else for seconds. Those that are reset while they wait are never begun, which takes most of its work from rapid reset
 * (CVE-2023-44487; Go's server has such a queue, too).
 */
export class RequestTurns {
  readonly #perTurn: number;
  #waiting: WaitingRequest[] = [];
  #begun = 0;
  #isScheduled = false;

  constructor(perTurn: number) {
    this.#perTurn = perTurn;
  }

  add(request: WaitingRequest): void {
    if (!this.#isScheduled) setImmediate(() => this.#onTurn());
    this.#isScheduled = true;
    if (this.#begun === this.#perTurn) {
      this.#waiting.push(request);
      return;
    }
    this.#begun += 1;
    request.begin();
  }

  #onTurn(): void {
    this.#isScheduled = false;
    this.#begun = 0;
    // What is left is bounded by the streams that a connection may have.
    const waiting = this.#waiting.filter(({ isGone }) => !isGone());
    this.#waiting = waiting.splice(this.#perTurn);
    for (const request of waiting) this.add(request);
  }
}
