import type { Duplex } from 'node:stream';
import { frame, uint32 } from '../../net/testing/http2-frames.ts';
import { clientPreface, errorName, frameFlag, frameType } from '../frame.ts';
import { HpackDecoder } from '../hpack-decoder.ts';
import { HpackEncoder } from '../hpack-encoder.ts';

export interface ReceivedFrame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
  /** Of a header block that ends with this frame. */
  readonly lines: string[] | undefined;
}

/** A block that leaves nothing behind: its encoder knows of no table but its own. */
export const headerBlock = (lines: readonly string[]): Buffer =>
  Buffer.from(new HpackEncoder().encode(lines));

export const getLines = (path = '/', more: readonly string[] = []): string[] => [
  ...[':method', 'GET', ':scheme', 'https', ':authority', 'localhost', ':path', path],
  ...more,
];
export const postLines = (more: readonly string[] = []): string[] => [
  ...[':method', 'POST', ':scheme', 'https', ':authority', 'localhost', ':path', '/'],
  ...more,
];

/** Frames as anybody could send them. */
export const frames = {
  settings: (parameters: readonly (readonly [id: number, value: number])[] = []) => {
    const payload = Buffer.alloc(parameters.length * 6);
    for (const [i, [id, value]] of parameters.entries()) {
      payload.writeUInt16BE(id, i * 6);
      payload.writeUInt32BE(value, i * 6 + 2);
    }
    return frame(frameType.settings, 0, { payload });
  },
  settingsAck: () => frame(frameType.settings, frameFlag.ack),
  headers: (stream: number, lines: readonly string[], endStream = false) =>
    frame(frameType.headers, frameFlag.endHeaders | (endStream ? 1 : 0), {
      stream,
      payload: headerBlock(lines),
    }),
  data: (stream: number, data: string | Buffer, endStream = false) =>
    frame(frameType.data, endStream ? 1 : 0, { stream, payload: Buffer.from(data) }),
  /** With so many bytes of padding, beside the one that says so. */
  paddedData: (stream: number, data: string | Buffer, padding: number) =>
    frame(frameType.data, frameFlag.padded, {
      stream,
      payload: Buffer.concat([Buffer.from([padding]), Buffer.from(data), Buffer.alloc(padding)]),
    }),
  reset: (stream: number, code: number) => frame(frameType.rstStream, 0, { stream, payload: uint32(code) }),
  windowUpdate: (stream: number, bytes: number) =>
    frame(frameType.windowUpdate, 0, { stream, payload: uint32(bytes) }),
  ping: (text = '12345678', flags = 0) => frame(frameType.ping, flags, { payload: Buffer.from(text) }),
  goaway: (lastStreamId: number, code: number) =>
    frame(frameType.goaway, 0, { payload: Buffer.concat([uint32(lastStreamId), uint32(code)]) }),
};

/** The other side of a connection, which sends what a test says and understands no more than it needs to note it. */
export class ScriptedPeer {
  readonly socket: Duplex;
  readonly received: ReceivedFrame[] = [];
  ended = false;
  readonly #decoder = new HpackDecoder({ maxTableBytes: 4096, maxListBytes: 1 << 24 });
  #rest = Buffer.alloc(0);
  #block: Buffer[] = [];

  constructor(
    socket: Duplex,
    { isClient, saysPreface = isClient }: { readonly isClient: boolean; readonly saysPreface?: boolean },
  ) {
    this.socket = socket;
    let skip = isClient ? 0 : clientPreface.length;
    socket.on('data', (chunk: Buffer) => {
      const from = chunk.subarray(Math.min(skip, chunk.length));
      skip -= chunk.length - from.length;
      this.#rest = Buffer.concat([this.#rest, from]);
      this.#cutFrames();
    });
    socket.on('end', () => (this.ended = true));
    socket.on('error', () => {});
    if (saysPreface) socket.write(clientPreface);
  }

  send(...all: readonly Buffer[]): void {
    this.socket.write(Buffer.concat(all));
  }

  of(type: number, streamId?: number): ReceivedFrame[] {
    return this.received.filter(
      (one) => one.type === type && (streamId === undefined || one.streamId === streamId),
    );
  }

  /** The lines of header blocks of a stream. */
  heads(streamId: number): string[][] {
    return this.received.flatMap((one) => (one.streamId === streamId && one.lines ? [one.lines] : []));
  }

  body(streamId: number): Buffer {
    return Buffer.concat(this.of(frameType.data, streamId).map(({ payload }) => payload));
  }

  /** Whether END_STREAM came. */
  isWhole(streamId: number): boolean {
    return this.received.some(
      ({ type, flags, streamId: id }) =>
        id === streamId && (type === frameType.data || type === frameType.headers) && (flags & 1) !== 0,
    );
  }

  /** What RST_STREAM said of a stream, by name. */
  resets(streamId: number): string[] {
    return this.of(frameType.rstStream, streamId).map(({ payload }) => errorName(payload.readUInt32BE(0)));
  }

  /** What each GOAWAY said. */
  goaways(): { readonly lastStreamId: number; readonly code: string }[] {
    return this.of(frameType.goaway).map(({ payload }) => ({
      lastStreamId: payload.readUInt32BE(0),
      code: errorName(payload.readUInt32BE(4)),
    }));
  }

  /** Credit that came for a stream, or for 0 that of the connection. */
  credit(streamId: number): number {
    return this.of(frameType.windowUpdate, streamId).reduce(
      (sum, { payload }) => sum + payload.readUInt32BE(0),
      0,
    );
  }

  #cutFrames(): void {
    while (this.#rest.length >= 9 && this.#rest.length >= 9 + this.#rest.readUIntBE(0, 3)) {
      const end = 9 + this.#rest.readUIntBE(0, 3);
      const [type, flags] = [this.#rest.readUInt8(3), this.#rest.readUInt8(4)];
      const payload = this.#rest.subarray(9, end);
      const lines = this.#linesOf(type, flags, payload);
      this.received.push({ type, flags, streamId: this.#rest.readUInt32BE(5), payload, lines });
      this.#rest = this.#rest.subarray(end);
    }
  }

  #linesOf(type: number, flags: number, payload: Buffer): string[] | undefined {
    if (type !== frameType.headers && type !== frameType.continuation) return undefined;
    this.#block.push(payload);
    if ((flags & frameFlag.endHeaders) === 0) return undefined;
    const block = Buffer.concat(this.#block);
    this.#block = [];
    return this.#decoder.decode(block);
  }
}
