import type { Duplex } from 'node:stream';

import { clientPreface, defaultMaxFrameBytes, errorCode, frameType } from '../../src/http2/frame.ts';
import { FrameReader } from '../../src/http2/frame-reader.ts';
import { frames } from '../../src/http2/testing/scripted-peer.ts';
import type { Packet } from '../../src/tunnel/packet.ts';
import { PacketReader } from '../../src/tunnel/packet-reader.ts';
import type { Live, Stroke } from './tunnel-strokes.ts';

const streamId = 1;
/** Numbers that are kept of each kind: old ones are as good as unknown ones. */
const mostLive = 20;

/** One end of one gRPC stream on a connection of its own, which does as it is told and not as it should. */
export class Hostile {
  readonly live: Live = { dialIds: [], connectIds: [] };
  /** Connections that came about. */
  opened = 0;
  isOver = false;
  reads = true;
  /** The other side ended the stream, or the connection, before us. */
  wasCut = false;
  readonly #socket: Duplex;
  #begun = false;
  #unread = 0;

  /** `head` comes before packets: that of a request, or of the answer to one, which waits for the request. */
  constructor(socket: Duplex, { head, isClient }: { readonly head: Buffer; readonly isClient: boolean }) {
    this.#socket = socket;
    let skip = isClient ? 0 : clientPreface.length;
    const packets = new PacketReader({ packet: (packet) => this.#note(packet), data: () => undefined });
    const reader = new FrameReader(({ type, flags, streamId: id }, payload) => {
      if (type === frameType.headers && !isClient && !this.#begun) this.#begin(head);
      if (id === streamId && (type === frameType.rstStream || (flags & 1) !== 0)) this.#onCut();
      if (type === frameType.goaway) this.#onCut();
      if (type !== frameType.data) return;
      this.#giveCredit(payload.length);
      packets.read(payload);
    });
    socket.on('error', () => this.#onCut());
    socket.on('close', () => this.#onCut());
    socket.on('data', (chunk: Buffer) => {
      const from = chunk.subarray(Math.min(skip, chunk.length));
      skip -= chunk.length - from.length;
      reader.read(from);
    });
    if (isClient) this.#begin(head);
    else socket.write(frames.settings());
  }

  /** The stream is there. */
  get isReady(): boolean {
    return this.#begun && !this.isOver;
  }

  do(stroke: Stroke): void {
    if (this.isOver) return;
    switch (stroke.type) {
      case 'message':
        this.#noteSent(stroke.packet);
        this.#writeData(stroke.bytes);
        return;
      case 'wrong':
        this.#writeData(stroke.bytes);
        return;
      case 'torn':
        this.#write(stroke.bytes);
        return;
      case 'read':
        this.reads = stroke.reads;
        this.#giveCredit(0);
        return;
      case 'end':
        this.#end(stroke.how);
        return;
      case 'pause':
    }
  }

  destroy(): void {
    this.isOver = true;
    this.#socket.destroy();
  }

  #end(how: Extract<Stroke, { type: 'end' }>['how']): void {
    this.isOver = true;
    if (how === 'END_STREAM') this.#write(frames.data(streamId, '', true));
    else if (how === 'RST_STREAM') this.#write(frames.reset(streamId, errorCode.cancel));
    if (how === 'destroy') this.#socket.destroy();
    else this.#socket.end();
  }

  #begin(head: Buffer): void {
    this.#begun = true;
    this.#write(head);
    this.#write(frames.settingsAck());
  }

  #onCut(): void {
    if (!this.isOver) this.wasCut = true;
    this.isOver = true;
    this.#socket.destroy();
  }

  #write(bytes: Buffer): void {
    if (!this.#socket.destroyed) this.#socket.write(bytes);
  }

  #writeData(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; at += defaultMaxFrameBytes)
      this.#write(frames.data(streamId, bytes.subarray(at, at + defaultMaxFrameBytes)));
  }

  /** Windows are 64 KiB: without it the other side may send no more. */
  #giveCredit(bytes: number): void {
    this.#unread += bytes;
    if (!this.reads || this.#unread === 0) return;
    this.#write(frames.windowUpdate(0, this.#unread));
    this.#write(frames.windowUpdate(streamId, this.#unread));
    this.#unread = 0;
  }

  #note(packet: Packet): void {
    if (packet.type === 'DIAL_REQ') keep(this.live.dialIds, packet.dialId);
    if (packet.type !== 'DIAL_RSP' || packet.error !== '') return;
    this.opened += 1;
    keep(this.live.connectIds, packet.connectId);
  }

  #noteSent(packet: Packet | undefined): void {
    if (packet?.type === 'DIAL_REQ') keep(this.live.dialIds, packet.dialId);
    if (packet?.type !== 'DIAL_RSP' || packet.error !== '') return;
    this.opened += 1;
    keep(this.live.connectIds, packet.connectId);
  }
}

function keep<T>(list: T[], value: T): void {
  list.push(value);
  if (list.length > mostLive) list.shift();
}
