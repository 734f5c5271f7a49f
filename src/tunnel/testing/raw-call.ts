import type { Duplex } from 'node:stream';
import { clientPreface, errorCode } from '../../http2/frame.ts';
import { ScriptedPeer, frames } from '../../http2/testing/scripted-peer.ts';
import { encodePacket } from '../packet-codec.ts';
import type { Packet } from '../packet.ts';
import { PacketReader } from '../packet-reader.ts';
import { withPrefix } from './packet-schema.ts';

const streamId = 1;

/** Everything that a client sends before its first packet. */
export function callHead(path: string, metadata: readonly string[] = []): Buffer {
  const lines = [
    ...[':method', 'POST', ':scheme', 'http', ':authority', 'server', ':path', path],
    ...['content-type', 'application/grpc', 'te', 'trailers', ...metadata],
  ];
  return Buffer.concat([clientPreface, frames.settings(), frames.headers(streamId, lines)]);
}

/** A packet of a type that nobody knows. */
export const strangePacket = withPrefix(Buffer.from([0x08, 0xc8, 0x01]));

export const messages = (...packets: readonly (Packet | Buffer)[]): Buffer =>
  Buffer.concat(packets.map((packet) => (Buffer.isBuffer(packet) ? packet : encodePacket(packet))));

/** Ways in which a stream ends. */
export const endings = ['END_STREAM', 'RST_STREAM', 'the end of its connection', 'the loss of it'] as const;
export type Ending = (typeof endings)[number];

/** One call on a connection of its own, of which the test says every byte. */
export class RawCall {
  readonly #socket: Duplex;
  readonly #peer: ScriptedPeer;

  constructor(socket: Duplex) {
    this.#socket = socket;
    this.#peer = new ScriptedPeer(socket, { isClient: true, saysPreface: false });
    socket.on('error', () => undefined);
  }

  /** Writes bytes of the connection as they are. */
  write(bytes: Buffer): void {
    if (bytes.length > 0) this.#socket.write(bytes);
  }

  /** Writes both parts so that they are read one after the other, where nothing else keeps the process busy. */
  async writeCut(bytes: Buffer, at: number): Promise<void> {
    this.write(bytes.subarray(0, at));
    await turns();
    this.write(bytes.subarray(at));
  }

  end(how: Ending): void {
    if (how === 'END_STREAM') this.write(frames.data(streamId, '', true));
    else if (how === 'RST_STREAM') this.write(frames.reset(streamId, errorCode.cancel));
    else if (how === 'the loss of it') this.#socket.destroy();
    else this.#socket.end();
  }

  /** Packets that have come, the bytes of connections in the pieces in which they came. */
  get packets(): Packet[] {
    const packets: Packet[] = [];
    const reader = new PacketReader({
      packet: (packet) => packets.push(packet),
      data: (connectId, data) => packets.push({ type: 'DATA', connectId, error: '', data }),
    });
    reader.read(this.#peer.body(streamId));
    return packets;
  }

  count(type: Packet['type']): number {
    return this.packets.filter((packet) => packet.type === type).length;
  }

  /** The lines of the head and those of the end. */
  get lines(): string[] {
    return this.#peer.heads(streamId).flat();
  }

  /** That the server has ended its side, in order or not. */
  get isOver(): boolean {
    return this.#peer.isWhole(streamId) || this.#peer.resets(streamId).length > 0 || this.#socket.destroyed;
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

/** DATA frames of a call, one for each part. */
export const dataFrames = (...parts: readonly Buffer[]): Buffer =>
  Buffer.concat(parts.filter((part) => part.length > 0).map((part) => frames.data(streamId, part)));

/** Long enough for what was written to be read by another part of this process. */
export async function turns(): Promise<void> {
  for (let i = 0; i < 3; i += 1) await new Promise(setImmediate);
}

/** Does something for each number below a count, so many at a time. */
export async function forEachBelow(
  count: number,
  atOnce: number,
  act: (at: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const work = async () => {
    while (next < count) {
      next += 1;
      await act(next - 1);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
}
