import { packetNumbers, payloadFields } from './packet.ts';
import type { Packet } from './packet.ts';
import {
  FieldReader,
  FieldWriter,
  MalformedMessage,
  varintLength,
  wireType,
  writeVarint,
} from './protobuf.ts';

/** gRPC's length-prefixed message: a flag (compressed or not) and a length of four bytes. */
export const messagePrefixBytes = 5;

type PacketName = keyof typeof packetNumbers;

const nothing = Buffer.alloc(0);
const nameByNumber = new Map<number, PacketName>(
  (Object.keys(packetNumbers) as PacketName[]).map((name) => [packetNumbers[name], name]),
);

/** Every field that a payload may have; which of them count depends on the type. */
interface Payload {
  field: number;
  protocol: string;
  address: string;
  error: string;
  connectId: number;
  dialId: bigint;
  data: Buffer;
}

const emptyPayload: Payload = {
  field: 0,
  protocol: '',
  address: '',
  error: '',
  connectId: 0,
  dialId: 0n,
  data: nothing,
};

/**
 * Decodes one `Packet`. A payload that is not the one of the packet's type counts as an empty one, as in Go's getters.
 * @throws MalformedMessage when it is none
 */
export function decodePacket(bytes: Buffer): Packet {
  const reader = new FieldReader(bytes);
  let number = 0;
  let payload = emptyPayload;
  while (reader.next()) {
    if (reader.number === 1 && reader.wire === wireType.varint) number = reader.int32();
    else if (reader.number >= 2 && reader.number <= 8 && reader.wire === wireType.bytes)
      payload = readPayload(reader, payload);
    else reader.skip();
  }
  return packetOf(number, payload);
}

/** Of several payloads the last counts; one that comes in parts is put together (proto3: oneof, merging). */
function readPayload(reader: FieldReader, before: Payload): Payload {
  const field = reader.number;
  const payload = before.field === field ? { ...before } : { ...emptyPayload, field };
  const message = reader.message();
  while (message.next()) readPayloadField(message, payload);
  return payload;
}

/** What each field of each payload is; see client.proto. */
const payloadShapes: Record<number, Record<number, Exclude<keyof Payload, 'field'>>> = {
  [payloadFields.DIAL_REQ]: { 1: 'protocol', 2: 'address', 3: 'dialId' },
  [payloadFields.DIAL_RSP]: { 1: 'error', 2: 'connectId', 3: 'dialId' },
  [payloadFields.DATA]: { 1: 'connectId', 2: 'error', 3: 'data' },
  [payloadFields.CLOSE_REQ]: { 1: 'connectId' },
  [payloadFields.CLOSE_RSP]: { 1: 'error', 2: 'connectId' },
  [payloadFields.DIAL_CLS]: { 1: 'dialId' },
};

function readPayloadField(reader: FieldReader, payload: Payload): void {
  const name = payloadShapes[payload.field]?.[reader.number];
  const isVarint = name === 'connectId' || name === 'dialId';
  if (name === undefined || reader.wire !== (isVarint ? wireType.varint : wireType.bytes)) {
    reader.skip();
    return;
  }
  switch (name) {
    case 'connectId':
      payload.connectId = reader.integer();
      return;
    case 'dialId':
      payload.dialId = reader.bigint();
      return;
    case 'data':
      payload.data = reader.bytes();
      return;
    default:
      payload[name] = reader.text();
  }
}

function packetOf(number: number, found: Payload): Packet {
  const type = nameByNumber.get(number);
  if (type === undefined) return { type: 'UNKNOWN', number };
  const payload = found.field === payloadFields[type] ? found : emptyPayload;
  const { protocol, address, error, connectId, dialId, data } = payload;
  switch (type) {
    case 'DIAL_REQ':
      return { type, protocol, address, dialId };
    case 'DIAL_RSP':
      return { type, error, connectId, dialId };
    case 'CLOSE_RSP':
      return { type, error, connectId };
    case 'DATA':
      return { type, connectId, error, data };
    case 'DIAL_CLS':
      return { type, dialId };
    case 'DRAIN':
      return { type };
    default:
      return { type, connectId };
  }
}

function payloadOf(packet: Packet): Buffer {
  const fields = new FieldWriter();
  switch (packet.type) {
    case 'DIAL_REQ':
      return fields.text(1, packet.protocol).text(2, packet.address).bigint(3, packet.dialId).finish();
    case 'DIAL_RSP':
      return fields.text(1, packet.error).integer(2, packet.connectId).bigint(3, packet.dialId).finish();
    case 'CLOSE_RSP':
      return fields.text(1, packet.error).integer(2, packet.connectId).finish();
    case 'DATA':
      return fields.integer(1, packet.connectId).text(2, packet.error).finish();
    case 'DIAL_CLS':
      return fields.bigint(1, packet.dialId).finish();
    case 'DRAIN':
      return nothing;
    case 'UNKNOWN':
      throw new MalformedMessage('a packet of an unknown type is not sent');
    default:
      return fields.integer(1, packet.connectId).finish();
  }
}

/** A packet as a gRPC message, its prefix included. */
export function encodePacket(packet: Packet): Buffer {
  if (packet.type === 'DATA' && packet.error === '')
    return Buffer.concat([encodeDataHead(packet.connectId, packet.data.length), packet.data]);
  const payload = payloadOf(packet);
  const whole = packet.type === 'DATA' ? withData(payload, packet.data) : payload;
  if (packet.type === 'UNKNOWN') throw new MalformedMessage('a packet of an unknown type is not sent');
  const message = new FieldWriter()
    .integer(1, packetNumbers[packet.type])
    .bytes(payloadFields[packet.type], whole)
    .finish();
  const prefix = Buffer.alloc(messagePrefixBytes);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

function withData(payload: Buffer, data: Buffer): Buffer {
  return data.length === 0 ? payload : Buffer.concat([payload, new FieldWriter().bytes(3, data).finish()]);
}

const dataTypeTag = 0x08;
const dataPayloadTag = payloadFields.DATA * 8 + wireType.bytes;
const connectIdTag = 0x08;
const bytesTag = 0x1a;

/**
 * What stands before the bytes of a DATA packet: gRPC's prefix and the fields before them. The bytes follow as they
 * are, so that sending them copies none.
 */
export function encodeDataHead(connectId: number, bytes: number): Buffer {
  const ownBytes = bytes > 0 ? 1 + varintLength(bytes) : 0;
  const payload = 1 + varintLength(connectId) + ownBytes + bytes;
  const message = 3 + varintLength(payload) + payload;
  const head = Buffer.allocUnsafe(messagePrefixBytes + message - bytes);
  head[0] = 0;
  head.writeUInt32BE(message, 1);
  head[5] = dataTypeTag;
  head[6] = packetNumbers.DATA;
  head[7] = dataPayloadTag;
  let at = writeVarint(head, 8, payload);
  head[at++] = connectIdTag;
  at = writeVarint(head, at, connectId);
  if (bytes > 0) {
    head[at++] = bytesTag;
    writeVarint(head, at, bytes);
  }
  return head;
}

/** So many bytes are enough to know whether a message is a DATA packet in the common order of fields. */
export const dataHeadBytes = messagePrefixBytes + 3 + 5 + 1 + 8 + 1 + 5;

/** Where the bytes of a DATA packet begin, and whose they are. */
export interface DataHead {
  readonly connectId: number;
  /** Of gRPC's prefix and the fields before the bytes. */
  readonly headBytes: number;
  readonly dataBytes: number;
}

/**
 * Recognises a message that is a DATA packet in the order that every implementation writes (type, connectID, bytes, and
 * the message ends with them), from its first bytes: what follows can be passed on piece by piece. Undefined: it is
 * another packet, fields stand in another order, or there are no bytes.
 */
export function recogniseData(bytes: Buffer, from: number): DataHead | undefined {
  if (bytes[from + 5] !== dataTypeTag || bytes[from + 6] !== packetNumbers.DATA) return undefined;
  if (bytes[from + 7] !== dataPayloadTag || bytes[from] !== 0) return undefined;
  const end = from + messagePrefixBytes + bytes.readUInt32BE(from + 1);
  const length = readSmall(bytes, from + 8);
  if (!length || bytes[length.end] !== connectIdTag || length.end + length.value !== end) return undefined;
  const id = readSmall(bytes, length.end + 1);
  if (!id || bytes[id.end] !== bytesTag) return undefined;
  const data = readSmall(bytes, id.end + 1);
  if (!data || data.value === 0 || data.end + data.value !== end) return undefined;
  return { connectId: id.value, headBytes: data.end - from, dataBytes: data.value };
}

function readSmall(bytes: Buffer, from: number): { value: number; end: number } | undefined {
  let value = 0;
  for (let at = from, shift = 1; at < bytes.length && shift < 2 ** 53; at += 1, shift *= 128) {
    const byte = bytes[at] ?? 0;
    value += (byte & 0x7f) * shift;
    if (byte < 0x80) return value <= Number.MAX_SAFE_INTEGER ? { value, end: at + 1 } : undefined;
  }
  return undefined;
}
