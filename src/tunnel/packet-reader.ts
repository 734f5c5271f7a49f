import { GrpcStatus, grpcCode } from './grpc-status.ts';
import { dataHeadBytes, decodePacket, messagePrefixBytes, recogniseData } from './packet-codec.ts';
import type { DataPacket, Packet } from './packet.ts';
import { MalformedMessage } from './protobuf.ts';

/** Who takes what comes on a stream of packets. */
export interface PacketTaker {
  packet(packet: ControlPacket): void;
  /**
   * Bytes of a connection, as they come: those of one packet may come in several pieces, of which `isFirst` says which
   * begins it.
   */
  data(connectId: number, piece: Buffer, isFirst: boolean): void;
}

export type ControlPacket = Exclude<Packet, DataPacket>;

/** As in Go's programs; bytes of connections are passed on as they come, and have no such limit. */
export const maxMessageBytes = 4 * 1024 * 1024;

const nothing = Buffer.alloc(0);

/** Takes gRPC messages, cut anywhere, and gives packets. */
export class PacketReader {
  readonly #taker: PacketTaker;
  /** The beginning of a message that is not here yet. */
  #room = nothing;
  #gathered = 0;
  /** So many bytes are needed before it makes sense to look again. */
  #wanted = messagePrefixBytes;
  /** Of the DATA packet that is passed on. */
  #connectId = 0;
  #dataLeft = 0;
  #isFirst = false;
  #stopped = false;

  constructor(taker: PacketTaker) {
    this.#taker = taker;
  }

  /** Nothing more is given to anybody. */
  stop(): void {
    this.#stopped = true;
    this.#room = nothing;
    this.#gathered = 0;
  }

  /** Whether the stream may end here. */
  get isBetweenMessages(): boolean {
    return this.#gathered === 0 && this.#dataLeft === 0;
  }

  /** @throws GrpcStatus when what came is no message, or one that is too large */
  read(chunk: Buffer): void {
    let at = this.#passOn(chunk, 0);
    let bytes = chunk;
    if (this.#gathered > 0 && at < chunk.length) {
      this.#gather(chunk);
      if (this.#gathered < this.#wanted) return;
      bytes = this.#room.subarray(0, this.#gathered);
      this.#room = nothing;
      this.#gathered = 0;
      at = 0;
    }
    while (at < bytes.length && !this.#stopped) {
      const end = this.#readMessage(bytes, at);
      if (end === undefined) {
        this.#gather(bytes.subarray(at));
        return;
      }
      at = end;
    }
  }

  /** Keeps what is no whole message yet: in one piece, so that many small chunks cost no more than their bytes. */
  #gather(bytes: Buffer): void {
    const needed = this.#gathered + bytes.length;
    if (needed > this.#room.length) {
      const room = Buffer.allocUnsafe(Math.max(needed, 2 * this.#room.length));
      this.#room.copy(room, 0, 0, this.#gathered);
      this.#room = room;
    }
    bytes.copy(this.#room, this.#gathered);
    this.#gathered = needed;
  }

  /** Reads one message; undefined: more of it has to come first. */
  #readMessage(bytes: Buffer, at: number): number | undefined {
    const here = bytes.length - at;
    if (here < messagePrefixBytes) {
      this.#wanted = messagePrefixBytes;
      return undefined;
    }
    if (bytes[at] !== 0)
      throw new GrpcStatus(grpcCode.unimplemented, 'grpc: compressed messages are not accepted');
    const length = messagePrefixBytes + bytes.readUInt32BE(at + 1);
    if (here < Math.min(length, dataHeadBytes)) {
      this.#wanted = Math.min(length, dataHeadBytes);
      return undefined;
    }
    const data = recogniseData(bytes, at);
    if (data) {
      this.#connectId = data.connectId;
      this.#dataLeft = data.dataBytes;
      this.#isFirst = true;
      return this.#passOn(bytes, at + data.headBytes);
    }
    const message = length - messagePrefixBytes;
    if (message > maxMessageBytes)
      throw new GrpcStatus(
        grpcCode.resourceExhausted,
        `grpc: received message larger than max (${message} vs. ${maxMessageBytes})`,
      );
    if (here < length) {
      this.#wanted = length;
      return undefined;
    }
    this.#give(bytes.subarray(at + messagePrefixBytes, at + length));
    return at + length;
  }

  /** Passes on what is here of the DATA packet that was begun; gives where it ends. */
  #passOn(bytes: Buffer, from: number): number {
    if (this.#dataLeft === 0 || this.#stopped) return from;
    const end = Math.min(bytes.length, from + this.#dataLeft);
    if (end === from) return from;
    this.#dataLeft -= end - from;
    const isFirst = this.#isFirst;
    this.#isFirst = false;
    const piece = from === 0 && end === bytes.length ? bytes : bytes.subarray(from, end);
    this.#taker.data(this.#connectId, piece, isFirst);
    return end;
  }

  #give(message: Buffer): void {
    let packet;
    try {
      packet = decodePacket(message);
    } catch (error) {
      if (!(error instanceof MalformedMessage)) throw error;
      throw new GrpcStatus(grpcCode.internal, `grpc: error unmarshalling request: ${error.message}`);
    }
    if (packet.type === 'DATA') this.#taker.data(packet.connectId, packet.data, true);
    else this.#taker.packet(packet);
  }
}
