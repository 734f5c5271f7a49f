import type { Duplex } from 'node:stream';
import {
  clientPreface,
  defaultMaxFrameBytes,
  defaultWindowBytes,
  frameFlag,
  frameKind,
  frameType,
  maxWindowBytes,
} from './frame.ts';
import { HpackEncoder } from './hpack-encoder.ts';
import { Http2Output } from './output.ts';
import { writeSettings } from './settings.ts';
import type { OwnSettings } from './settings.ts';

/** A stream that has something to send, or would like to. */
export interface WaitingStream {
  readonly closed: boolean;
  /** Sends of what waits no more than so many bytes; false: more waits, and its own window would allow it. */
  sendMore(most: number): boolean;
  /** Its producer may go on. */
  tellDrain(): void;
}

/** DATA bytes of one stream before the next has its turn, where the connection's window is what there is too little of. */
const turnBytes = defaultMaxFrameBytes;
const nothing = Buffer.alloc(8);

/** The sending side of a connection: its frames, its window, and the streams that wait for either. */
export class FrameSender {
  readonly #output: Http2Output;
  readonly #encoder = new HpackEncoder();
  #window = defaultWindowBytes;
  #maxFrameBytes = defaultMaxFrameBytes;
  readonly #waitForWindow = new Set<WaitingStream>();
  #waitForDrain: WaitingStream[] = [];

  /** `onFlushed`: the socket has everything. */
  constructor(socket: Duplex, onFlushed: () => void) {
    this.#output = new Http2Output(socket, { onDrain: () => this.#onDrain(), onFlushed });
  }

  /** So much waits to be sent that producers should, too. */
  get congested(): boolean {
    return this.#output.congested;
  }

  /** Bytes that the socket has not taken yet. */
  get pendingBytes(): number {
    return this.#output.pendingBytes;
  }

  /** What a connection begins with. */
  begin(own: OwnSettings, connectionWindowBytes: number): void {
    if (own.maxConcurrentStreams === undefined) this.#output.append(clientPreface);
    writeSettings(this.#output, own);
    this.windowUpdate(0, connectionWindowBytes - defaultWindowBytes);
  }

  setPeerTableBytes(bytes: number): void {
    this.#encoder.setPeerTableBytes(bytes);
  }

  setMaxFrameBytes(bytes: number): void {
    this.#maxFrameBytes = bytes;
  }

  headers(id: number, lines: readonly string[], endStream: boolean): void {
    const block = this.#encoder.encode(lines);
    const output = this.#output;
    const end = endStream ? frameFlag.endStream : 0;
    const most = this.#maxFrameBytes;
    if (block.length <= most) {
      output.frame(frameKind(frameType.headers, end | frameFlag.endHeaders), id, block.length);
      output.append(block);
      return;
    }
    for (let at = 0; at < block.length; at += most) {
      const part = block.subarray(at, at + most);
      const last = at + most >= block.length ? frameFlag.endHeaders : 0;
      if (at === 0) output.frame(frameKind(frameType.headers, end | last), id, part.length);
      else output.frame(frameKind(frameType.continuation, last), id, part.length);
      output.append(part);
    }
  }

  /** `bytes` of it were taken of the window before, by `takeWindow`. */
  data(id: number, chunk: Buffer, endStream: boolean): void {
    this.#output.frame(frameKind(frameType.data, endStream ? frameFlag.endStream : 0), id, chunk.length);
    this.#output.append(chunk);
  }

  reset(id: number, code: number): void {
    this.#output.frame(frameKind(frameType.rstStream), id, 4);
    this.#output.uint32(code);
  }

  windowUpdate(id: number, bytes: number): void {
    if (bytes <= 0) return;
    this.#output.frame(frameKind(frameType.windowUpdate), id, 4);
    this.#output.uint32(bytes);
  }

  settingsAck(): void {
    this.#output.frame(frameKind(frameType.settings, frameFlag.ack), 0, 0);
  }

  /** Without `payload` one of our own. */
  ping(flags: number = frameFlag.none, payload: Buffer = nothing): void {
    this.#output.frame(frameKind(frameType.ping, flags), 0, payload.length);
    this.#output.append(payload);
  }

  goaway(lastStreamId: number, code: number): void {
    this.#output.frame(frameKind(frameType.goaway), 0, 8);
    this.#output.uint32(lastStreamId);
    this.#output.uint32(code);
  }

  /** Takes of the connection's window as much as there is of what is wanted, and no more than fits a frame. */
  takeWindow(wanted: number): number {
    const bytes = Math.min(wanted, this.#window, this.#maxFrameBytes);
    if (bytes > 0) this.#window -= bytes;
    return bytes;
  }

  /** The peer gave credit; false: more than there can be. */
  growWindow(bytes: number): boolean {
    this.#window += bytes;
    if (this.#window > maxWindowBytes) return false;
    // In turns, so that one large answer does not take the whole window of a connection from the others.
    while (this.#waitForWindow.size > 0 && this.#window > 0) {
      for (const stream of [...this.#waitForWindow]) {
        if (this.#window <= 0) break;
        this.#waitForWindow.delete(stream);
        if (!stream.closed && !stream.sendMore(turnBytes)) this.#waitForWindow.add(stream);
      }
    }
    return true;
  }

  waitForWindow(stream: WaitingStream): void {
    this.#waitForWindow.add(stream);
  }

  waitForDrain(stream: WaitingStream): void {
    this.#waitForDrain.push(stream);
  }

  forget(stream: WaitingStream): void {
    this.#waitForWindow.delete(stream);
  }

  /** Sends what there is, and ends the socket behind it. */
  end(): void {
    this.#output.end();
  }

  /** Gives back what will not be sent any more. */
  drop(): void {
    this.#output.drop();
    this.#waitForDrain = [];
  }

  #onDrain(): void {
    const waiting = this.#waitForDrain;
    this.#waitForDrain = [];
    for (const [at, stream] of waiting.entries()) {
      if (this.#output.congested) {
        // The rest has its turn first next time.
        this.#waitForDrain = [...waiting.slice(at), ...this.#waitForDrain];
        return;
      }
      stream.tellDrain();
    }
  }
}
