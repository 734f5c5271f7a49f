import type { PacketStream } from '../packet-stream.ts';
import type { Packet } from '../packet.ts';

/** Takes packets as a stream does, and has as much room as a test says. */
export class FakePacketStream {
  isClosed = false;
  readonly sent: Packet[] = [];
  /** Bytes whose credit the peer was given back. */
  credit = 0;
  /** Packets that still find room. */
  room = Infinity;

  get stream(): PacketStream {
    return this as unknown as PacketStream;
  }

  /** What was sent for a connection, by type, DATA with its bytes. */
  of(connectId: number): string[] {
    return this.sent
      .filter((packet) => 'connectId' in packet && packet.connectId === connectId)
      .map((packet) => (packet.type === 'DATA' ? `DATA ${packet.data.toString('latin1')}` : packet.type));
  }

  consumed(bytes: number): void {
    this.credit += bytes;
  }

  send(packet: Packet): boolean {
    this.sent.push(packet);
    this.room -= 1;
    return this.room > 0;
  }

  sendData(connectId: number, data: Buffer): boolean {
    return this.send({ type: 'DATA', connectId, error: '', data });
  }
}
