import { broken, clientPreface } from './frame.ts';

const noBytes = Buffer.alloc(0);

/** Takes from the front of what a client sends the bytes that say it speaks HTTP/2 (RFC 9113 3.4). */
export class PrefaceReader {
  #read = 0;

  get isDone(): boolean {
    return this.#read === clientPreface.length;
  }

  /** Gives what lies behind the preface. */
  read(chunk: Buffer): Buffer {
    const part = chunk.subarray(0, clientPreface.length - this.#read);
    if (!part.equals(clientPreface.subarray(this.#read, this.#read + part.length)))
      throw broken('not the preface of HTTP/2');
    this.#read += part.length;
    return part.length === chunk.length ? noBytes : chunk.subarray(part.length);
  }
}
