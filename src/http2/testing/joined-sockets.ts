import { Duplex } from 'node:stream';

export interface JoinedSocketsOptions {
  /** Into how many pieces what arrives is cut, and where: numbers from 0 to below 1. Without it nothing is cut. */
  readonly random?: () => number;
}

/** One end of a connection in memory. Like a socket it copies what is written, and takes its time to carry it. */
export class JoinedSocket extends Duplex {
  /** Bytes of each write. */
  readonly writes: number[] = [];
  readonly #random: (() => number) | undefined;
  #other: JoinedSocket | undefined;
  /** The other end has written, and waits for this one to read. */
  #waiting: (() => void) | undefined;

  constructor(options: JoinedSocketsOptions) {
    // The end of one side ends the other, as with sockets of node:tls.
    super({ allowHalfOpen: false });
    this.#random = options.random;
  }

  join(other: JoinedSocket): void {
    this.#other = other;
  }

  override _read(): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.();
  }

  override _write(chunk: Buffer, _: BufferEncoding, done: () => void): void {
    this.writes.push(chunk.length);
    setImmediate(() => {
      // After `done` the writer uses its bytes for something else.
      const pieces = this.#cut(Buffer.from(chunk));
      if (this.#other && !this.#other.destroyed) this.#other.#take(pieces, done);
      else done();
    });
  }

  override _final(done: () => void): void {
    setImmediate(() => this.#other?.push(null));
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#waiting?.();
    setImmediate(() => {
      if (this.#other && !this.#other.destroyed) this.#other.push(null);
    });
    done(error);
  }

  #take(pieces: readonly Buffer[], done: () => void): void {
    let hasRoom = true;
    for (const piece of pieces) hasRoom = this.push(piece);
    if (hasRoom) done();
    else this.#waiting = done;
  }

  #cut(chunk: Buffer): Buffer[] {
    const random = this.#random;
    if (!random) return [chunk];
    const cuts = Array.from({ length: Math.floor(random() * 5) }, () => Math.floor(random() * chunk.length));
    const sorted = [0, ...cuts.sort((a, b) => a - b), chunk.length];
    return sorted
      .slice(1)
      .map((end, i) => Buffer.from(chunk.subarray(sorted[i], end)))
      .filter(({ length }) => length > 0);
  }
}

/** Two ends of one connection. */
export function joinedSockets(options: JoinedSocketsOptions = {}): [JoinedSocket, JoinedSocket] {
  const [one, other] = [new JoinedSocket(options), new JoinedSocket(options)];
  one.join(other);
  other.join(one);
  return [one, other];
}

/** So many turns of the event loop: what was on its way has arrived, and been answered. */
export async function turns(count = 16): Promise<void> {
  for (let i = 0; i < count; i += 1) await new Promise((resolve) => setImmediate(resolve));
}

/** Waits turn by turn until something is so, or throws. */
export async function until(isSo: () => boolean, withinMs = 5_000): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!isSo()) {
    if (performance.now() > deadline) throw new Error('it did not become so in time');
    await new Promise((resolve) => setImmediate(resolve));
  }
}
