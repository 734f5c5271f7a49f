/** Something with two ends: `close` finishes what was accepted, `destroy` stops now. Both may be called more than once. */
export interface Closable {
  close(): Promise<void>;
  destroy(reason?: unknown): void;
}

/**
 * Owns long-lived things and ends them in reverse order of their making. `signal` fires as soon as the scope begins
 * to end, so that whoever waits inside it stops waiting.
 */
export class Scope implements Closable {
  readonly #owned: Partial<Closable>[] = [];
  readonly #controller = new AbortController();
  #closing: Promise<void> | undefined;

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Takes ownership and gives the thing back, so that making and owning stand on one line. */
  own<T extends Partial<Closable>>(thing: T): T {
    if (this.signal.aborted) {
      thing.destroy?.(this.signal.reason);
      throw new Error('cannot own: the scope has ended');
    }
    this.#owned.push(thing);
    return thing;
  }

  /** Runs `end` when the scope ends. */
  onEnd(end: () => void): void {
    this.own({
      close: () => {
        end();
        return Promise.resolve();
      },
      destroy: end,
    });
  }

  close(): Promise<void> {
    this.#closing ??= this.#closeAll();
    return this.#closing;
  }

  async #closeAll(): Promise<void> {
    this.#controller.abort(new Error('closing'));
    for (let thing = this.#owned.pop(); thing !== undefined; thing = this.#owned.pop()) {
      if (thing.close) await thing.close();
      else thing.destroy?.();
    }
  }

  destroy(reason: unknown = new Error('destroyed')): void {
    this.#controller.abort(reason);
    for (let thing = this.#owned.pop(); thing !== undefined; thing = this.#owned.pop())
      thing.destroy?.(reason);
  }
}
