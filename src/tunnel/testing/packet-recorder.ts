import { afterEach, expect } from 'vitest';
import type { HeaderLines } from '../../base/header-lines.ts';
import type { GrpcStatus } from '../grpc-status.ts';
import type { ControlPacket } from '../packet-reader.ts';
import type { PacketStreamListener } from '../packet-stream.ts';
import type { Packet } from '../packet.ts';

/** What listeners were told against the rules that `PacketStreamListener` and `PacketTaker` state. */
const violations: string[] = [];

afterEach(() => {
  expect(violations.splice(0)).toEqual([]);
});

/** Notes what comes on a stream of packets, the pieces of DATA put together again. */
export class PacketRecorder implements PacketStreamListener {
  readonly packets: Packet[] = [];
  /** Bytes of each piece of DATA. */
  readonly pieces: number[] = [];
  readonly metadata: HeaderLines[] = [];
  readonly statuses: GrpcStatus[] = [];
  drains = 0;
  onData: (connectId: number, piece: Buffer) => void = () => {};
  onPacket: (packet: ControlPacket) => void = () => {};
  onDrained: () => void = () => {};
  onClosed: (status: GrpcStatus) => void = () => {};
  #parts: Buffer[] = [];

  get status(): GrpcStatus | undefined {
    return this.statuses[0];
  }

  /** How it ended: code and text. */
  get end(): readonly [number, string] | undefined {
    return this.status && [this.status.code, this.status.message];
  }

  get dataBytes(): number {
    return this.pieces.reduce((sum, bytes) => sum + bytes, 0);
  }

  opened(metadata: HeaderLines): void {
    this.#expectOpen('metadata');
    this.metadata.push(metadata);
  }

  packet(packet: ControlPacket): void {
    this.#expectOpen(packet.type);
    this.packets.push(packet);
    this.onPacket(packet);
  }

  data(connectId: number, piece: Buffer, isFirst: boolean): void {
    this.#expectOpen('DATA');
    this.pieces.push(piece.length);
    const last = this.packets.at(-1);
    if (isFirst) {
      this.#parts = [Buffer.from(piece)];
      this.packets.push({ type: 'DATA', connectId, error: '', data: this.#parts[0] ?? piece });
    } else if (last?.type === 'DATA' && last.connectId === connectId) {
      this.#parts.push(Buffer.from(piece));
      this.packets[this.packets.length - 1] = { ...last, data: Buffer.concat(this.#parts) };
    } else violations.push('a piece of DATA that nothing begins');
    this.onData(connectId, piece);
  }

  drained(): void {
    this.#expectOpen('drained');
    this.drains += 1;
    this.onDrained();
  }

  closed(status: GrpcStatus): void {
    this.#expectOpen('closed');
    this.statuses.push(status);
    this.onClosed(status);
  }

  #expectOpen(what: string): void {
    if (this.statuses.length > 0) violations.push(`${what} after the end`);
  }
}
