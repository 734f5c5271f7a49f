import { Readable } from 'node:stream';
import type { Http2Stream } from './stream.ts';

/**
 * The body that a peer sends on a stream, as a Readable. The peer gets credit as somebody reads: a reader that stopped
 * costs the stream's window, and no more.
 */
export class IncomingBody extends Readable {
  #from: Http2Stream | undefined;
  /** Bytes that came while nobody reads. */
  #held = 0;
  #flowing = true;

  protected receiveFrom(stream: Http2Stream): void {
    this.#from = stream;
  }

  override _read(): void {
    if (this.#flowing) return;
    this.#flowing = true;
    const held = this.#held;
    this.#held = 0;
    if (held > 0) this.#from?.consumed(held);
  }

  /** A piece of it came. */
  receive(chunk: Buffer): void {
    if (this.destroyed) {
      // For nobody: it must not hold the window, of its stream and of all others on the connection.
      this.#from?.consumed(chunk.length);
      return;
    }
    if (this.push(chunk) && this.#flowing) this.#from?.consumed(chunk.length);
    else {
      this.#flowing = false;
      this.#held += chunk.length;
    }
  }

  /** The body is whole. */
  complete(): void {
    this.push(null);
    this.#dropHeld();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#dropHeld();
    done(error);
  }

  /** What nobody has read yet is no more the connection's affair: nothing comes behind it. */
  #dropHeld(): void {
    this.#held = 0;
    this.#from?.discardUnread();
  }
}
