import {
  Http2ConnectionError,
  defaultMaxFrameBytes,
  errorCode,
  frameFlag,
  frameHeaderBytes,
  frameType,
} from './frame.ts';

/** What stands in front of a frame's payload. */
export interface FrameHead {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
}

/**
 * Takes one frame. `head` is good for this call alone. `payload` is a view of what was read; whoever keeps it keeps all
 * of that. Throws to end the connection.
 */
export type FrameListener = (head: FrameHead, payload: Buffer) => void;

const noBytes = Buffer.alloc(0);
const mostPieces = 64;

/**
 * Cuts what a connection brings into frames, whatever pieces it comes in. A frame that came whole is not copied; one in
 * several pieces is put together once, when its last byte is there. DATA is not: it goes on as it comes, in several calls
 * of which the last alone can have END_STREAM.
 */
export class FrameReader {
  readonly #onFrame: FrameListener;
  readonly #head = { type: 0, flags: 0, streamId: 0 };
  #pieces: Buffer[] = [];
  #bytes = 0;
  /** Bytes until the next frame is whole, as far as that is known. */
  #needed = frameHeaderBytes;
  /** Bytes of a DATA frame that are still to come; its head is in `#head`, without END_STREAM until the last. */
  #dataLeft = 0;
  #dataFlags = 0;

  constructor(onFrame: FrameListener) {
    this.#onFrame = onFrame;
  }

  /** @throws Http2ConnectionError when a frame is larger than we said we would take, and what the listener throws */
  read(chunk: Buffer): void {
    let from = chunk;
    if (this.#dataLeft > 0) {
      const bytes = Math.min(this.#dataLeft, chunk.length);
      this.#deliverData(bytes === chunk.length ? chunk : chunk.subarray(0, bytes));
      if (bytes === chunk.length) return;
      from = chunk.subarray(bytes);
    }
    if (this.#bytes > 0) {
      this.#pieces.push(chunk);
      this.#bytes += chunk.length;
      if (this.#bytes < this.#needed) {
        // A frame that comes byte by byte costs no more than its bytes.
        if (this.#pieces.length > mostPieces) this.#pieces = [this.#join()];
        return;
      }
      const rest = this.#finishFrame(chunk);
      if (!rest) return;
      from = rest;
    }
    this.#readWhole(from);
  }

  /** The frame that began in earlier pieces; gives what of the last piece lies behind it, if it is whole. */
  #finishFrame(last: Buffer): Buffer | undefined {
    if (this.#needed === frameHeaderBytes) {
      // The head alone was in pieces: with it known, the frame may be whole or not.
      const joined = this.#join();
      this.#needed = frameHeaderBytes + lengthAt(joined, 0);
      this.#pieces = [joined];
      if (this.#bytes < this.#needed) return undefined;
      this.#forget();
      return joined;
    }
    const behind = this.#bytes - this.#needed;
    this.#pieces[this.#pieces.length - 1] = behind === 0 ? last : last.subarray(0, last.length - behind);
    const frame = Buffer.concat(this.#pieces, this.#needed);
    this.#forget();
    this.#deliver(frame, 0, frame.length);
    return behind === 0 ? undefined : last.subarray(last.length - behind);
  }

  #readWhole(chunk: Buffer): void {
    let at = 0;
    const end = chunk.length;
    while (end - at >= frameHeaderBytes) {
      const next = at + frameHeaderBytes + lengthAt(chunk, at);
      if (next <= end) {
        this.#deliver(chunk, at, next);
        at = next;
        continue;
      }
      if (this.#beginsData(chunk, at, next - end)) return;
      this.#needed = next - at;
      break;
    }
    if (at === end) return;
    const rest = at === 0 ? chunk : chunk.subarray(at);
    // A few bytes must not hold a large piece until the rest comes, which may be never.
    this.#pieces.push(rest.length * 4 < chunk.length ? Buffer.from(rest) : rest);
    this.#bytes = rest.length;
    if (rest.length < frameHeaderBytes) this.#needed = frameHeaderBytes;
  }

  #deliver(chunk: Buffer, at: number, end: number): void {
    const start = at + frameHeaderBytes;
    const payload = start === end ? noBytes : chunk.subarray(start, end);
    this.#readHead(chunk, at);
    this.#onFrame(this.#head, payload);
  }

  /** Half a DATA frame at the end of what came; false: another one, or one with padding, whose end has to be known. */
  #beginsData(chunk: Buffer, at: number, missing: number): boolean {
    if (chunk[at + 3] !== frameType.data || (chunk[at + 4] ?? 0) & frameFlag.padded) return false;
    this.#readHead(chunk, at);
    this.#dataFlags = this.#head.flags;
    const part = chunk.subarray(at + frameHeaderBytes);
    this.#dataLeft = missing + part.length;
    if (part.length > 0) this.#deliverData(part);
    return true;
  }

  #deliverData(part: Buffer): void {
    this.#dataLeft -= part.length;
    const isLast = this.#dataLeft === 0;
    this.#head.flags = isLast ? this.#dataFlags : this.#dataFlags & ~frameFlag.endStream;
    this.#onFrame(this.#head, part);
  }

  #readHead(chunk: Buffer, at: number): void {
    const head = this.#head;
    head.type = chunk[at + 3] ?? 0;
    head.flags = chunk[at + 4] ?? 0;
    head.streamId = chunk.readUInt32BE(at + 5) & 0x7fffffff;
  }

  #join(): Buffer {
    return this.#pieces.length === 1 ? (this.#pieces[0] ?? noBytes) : Buffer.concat(this.#pieces);
  }

  #forget(): void {
    this.#pieces = [];
    this.#bytes = 0;
    this.#needed = frameHeaderBytes;
  }
}

function lengthAt(chunk: Buffer, at: number): number {
  const length = chunk.readUIntBE(at, 3);
  if (length > defaultMaxFrameBytes)
    throw new Http2ConnectionError(errorCode.frameSizeError, `a frame of ${length} bytes`);
  return length;
}
