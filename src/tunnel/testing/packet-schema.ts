import protobuf from 'protobufjs';
import { messagePrefixBytes } from '../packet-codec.ts';
import type { Packet } from '../packet.ts';

/** What frontends, servers and agents agree on, with the two types that are ours. */
const schema = `
  syntax = "proto3";
  enum PacketType {
    DIAL_REQ = 0; DIAL_RSP = 1; CLOSE_REQ = 2; CLOSE_RSP = 3; DATA = 4; DIAL_CLS = 5; DRAIN = 6;
    PAUSE = 100; RESUME = 101;
  }
  message Packet {
    PacketType type = 1;
    oneof payload {
      DialRequest dialRequest = 2;
      DialResponse dialResponse = 3;
      Data data = 4;
      CloseRequest closeRequest = 5;
      CloseResponse closeResponse = 6;
      CloseDial closeDial = 7;
      Drain drain = 8;
    }
  }
  message DialRequest { string protocol = 1; string address = 2; int64 random = 3; }
  message DialResponse { string error = 1; int64 connectID = 2; int64 random = 3; }
  message CloseRequest { int64 connectID = 1; }
  message CloseResponse { string error = 1; int64 connectID = 2; }
  message CloseDial { int64 random = 1; }
  message Drain {}
  message Data { int64 connectID = 1; string error = 2; bytes data = 3; }
`;

/** `Packet`, as protobufjs has it. */
export const packetType = protobuf.parse(schema, { keepCase: true }).root.lookupType('Packet');

/** A packet as protobufjs shows it: the name of its type, its payload, int64 as text. */
export type PlainPacket = Readonly<Record<string, unknown>>;

export type KnownPacket = Exclude<Packet, { type: 'UNKNOWN' }>;

export function plainOf(packet: KnownPacket): PlainPacket {
  const { type } = packet;
  switch (type) {
    case 'DIAL_REQ':
      return {
        type,
        dialRequest: { protocol: packet.protocol, address: packet.address, random: String(packet.dialId) },
      };
    case 'DIAL_RSP':
      return {
        type,
        dialResponse: {
          ...{ error: packet.error, connectID: String(packet.connectId), random: String(packet.dialId) },
        },
      };
    case 'CLOSE_RSP':
      return { type, closeResponse: { error: packet.error, connectID: String(packet.connectId) } };
    case 'DATA':
      return {
        type,
        data: { connectID: String(packet.connectId), error: packet.error, data: packet.data },
      };
    case 'DIAL_CLS':
      return { type, closeDial: { random: String(packet.dialId) } };
    case 'DRAIN':
      return { type, drain: {} };
    default:
      return { type, closeRequest: { connectID: String(packet.connectId) } };
  }
}

/** Reads a message, without gRPC's prefix, with protobufjs. */
export function decodeWithProtobufjs(message: Buffer): PlainPacket {
  return packetType.toObject(packetType.decode(message), { longs: String, enums: String, defaults: true });
}

/** Makes a message, without gRPC's prefix, with protobufjs. */
export function encodeWithProtobufjs(plain: PlainPacket): Buffer {
  return Buffer.from(packetType.encode(packetType.fromObject(plain)).finish());
}

/** A gRPC message. */
export function withPrefix(message: Buffer, flag = 0): Buffer {
  const prefix = Buffer.alloc(messagePrefixBytes);
  prefix[0] = flag;
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}
