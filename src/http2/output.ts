import type { Duplex } from 'node:stream';
import { frameHeaderBytes } from './frame.ts';

const blockBytes = 64 * 1024;
const blocks: Buffer[] = [];
/** 4 MiB for all connections together. */
const mostFreeBlocks = 64;

function takeBlock(): Buffer {
  return blocks.pop() ?? Buffer.allocUnsafeSlow(blockBytes);
}

/** Takes a block back by what was used of it. */
function giveBack({ buffer }: Buffer): void {
  if (blocks.length < mostFreeBlocks) blocks.push(Buffer.from(buffer, 0, blockBytes));
}

/** Bytes on their way out at which producers are asked to wait, and at which they may go on. */
const highWater = 256 * 1024;
const lowWater = 64 * 1024;

/**
 * What a connection sends: frames are copied into blocks, and all that comes up in one turn of the event loop goes out in
 * one write, that is one TLS record where it fits. One write at a time: what comes meanwhile waits for the next. Blocks
 * are used again, so that sending allocates nothing, and a connection that is quiet holds none.
 */
export class Http2Output {
  readonly #socket: Duplex;
  readonly #onDrain: () => void;
  readonly #onFlushed: () => void;
  #block: Buffer | undefined;
  #used = 0;
  #full: Buffer[] = [];
  #scheduled = false;
  #writing: Buffer | undefined;
  #pending = 0;
  #congested = false;
  #ended = false;
  #over = false;

  /** `onDrain`: producers may go on; `onFlushed`: everything was handed to the socket. */
  constructor(socket: Duplex, listeners: { onDrain: () => void; onFlushed: () => void }) {
    this.#socket = socket;
    this.#onDrain = listeners.onDrain;
    this.#onFlushed = listeners.onFlushed;
  }

  /** Bytes that the socket has not taken yet. */
  get pendingBytes(): number {
    return this.#pending;
  }

  /** More should wait for `onDrain`. */
  get congested(): boolean {
    return this.#congested;
  }

  /** The head of a frame of `kind` (see `frameKind`); its payload of `length` bytes follows by `append`. */
  frame(kind: number, streamId: number, length: number): void {
    const block = this.#roomFor(frameHeaderBytes);
    let at = this.#used;
    block[at++] = length >>> 16;
    block[at++] = length >>> 8;
    block[at++] = length;
    block[at++] = kind >>> 8;
    block[at++] = kind;
    block.writeUInt32BE(streamId, at);
    this.#grew(frameHeaderBytes);
  }

  append(bytes: Uint8Array): void {
    let from = 0;
    while (from < bytes.length) {
      const block = this.#roomFor(1);
      const length = Math.min(bytes.length - from, blockBytes - this.#used);
      block.set(length === bytes.length ? bytes : bytes.subarray(from, from + length), this.#used);
      from += length;
      this.#grew(length);
    }
  }

  uint32(value: number): void {
    this.#roomFor(4).writeUInt32BE(value, this.#used);
    this.#grew(4);
  }

  uint16(value: number): void {
    this.#roomFor(2).writeUInt16BE(value, this.#used);
    this.#grew(2);
  }

  /** Sends what there is, and ends the socket behind it. */
  end(): void {
    this.#ended = true;
    if (this.#pending === 0) this.#endSocket();
    else this.#flush();
  }

  /** Gives back what will not be sent any more. */
  drop(): void {
    this.#ended = this.#over = true;
    if (this.#block) giveBack(this.#block);
    this.#block = undefined;
    for (const block of this.#full) giveBack(block);
    this.#full = [];
    this.#used = 0;
    this.#pending = this.#writing?.length ?? 0;
  }

  #roomFor(bytes: number): Buffer {
    if (this.#block && blockBytes - this.#used >= bytes) return this.#block;
    if (this.#block) this.#full.push(this.#block.subarray(0, this.#used));
    this.#used = 0;
    return (this.#block = takeBlock());
  }

  #grew(bytes: number): void {
    this.#used += bytes;
    this.#pending += bytes;
    if (this.#pending > highWater) this.#congested = true;
    if (this.#scheduled || this.#writing) return;
    this.#scheduled = true;
    setImmediate(this.#onTurn);
  }

  readonly #onTurn = (): void => {
    this.#scheduled = false;
    this.#flush();
  };

  #flush(): void {
    if (this.#writing) return;
    if (this.#over) {
      this.drop();
      return;
    }
    const next = this.#full.shift() ?? this.#takeCurrent();
    if (!next) return;
    this.#writing = next;
    this.#socket.write(next, this.#onWritten);
  }

  #takeCurrent(): Buffer | undefined {
    if (!this.#block || this.#used === 0) return undefined;
    const current = this.#block.subarray(0, this.#used);
    this.#block = undefined;
    this.#used = 0;
    return current;
  }

  readonly #onWritten = (error?: Error | null): void => {
    const written = this.#writing;
    this.#writing = undefined;
    if (!written) return;
    this.#pending -= written.length;
    giveBack(written);
    if (error) {
      this.drop();
      return;
    }
    this.#flush();
    if (this.#congested && this.#pending <= lowWater) {
      this.#congested = false;
      this.#onDrain();
    }
    if (this.#pending > 0) return;
    if (this.#ended) this.#endSocket();
    else this.#onFlushed();
  };

  #endSocket(): void {
    this.#over = true;
    this.#socket.end();
  }
}
