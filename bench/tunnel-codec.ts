// What packets of the tunnel cost to encode and to decode, beside protobufjs and @bufbuild/protobuf:
//   node bench/tunnel-codec.ts [ROUNDS]
import { create, createFileRegistry, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FileDescriptorProtoSchema,
} from '@bufbuild/protobuf/wkt';
import {
  decodePacket,
  encodeDataHead,
  encodePacket,
  messagePrefixBytes,
} from '../src/tunnel/packet-codec.ts';
import { PacketReader } from '../src/tunnel/packet-reader.ts';
import type { DataPacket } from '../src/tunnel/packet.ts';
import { packetType, plainOf, withPrefix } from '../src/tunnel/testing/packet-schema.ts';
import type { KnownPacket } from '../src/tunnel/testing/packet-schema.ts';
import { spreadOf } from './statistics.ts';

const roundMs = 40;
const rounds = Number(process.argv[2] ?? 7);

/** The same schema as @bufbuild/protobuf wants it, as far as it is measured here. */
function bufbuildPacket() {
  const { INT32, INT64, STRING, BYTES, MESSAGE } = FieldDescriptorProto_Type;
  const label = FieldDescriptorProto_Label.OPTIONAL;
  const field = (name: string, number: number, type: FieldDescriptorProto_Type) => ({
    name,
    number,
    type,
    label,
  });
  const payload = { oneofIndex: 0 };
  const file = create(FileDescriptorProtoSchema, {
    name: 'client.proto',
    syntax: 'proto3',
    messageType: [
      {
        name: 'Packet',
        field: [
          field('type', 1, INT32),
          { ...field('dialRequest', 2, MESSAGE), ...payload, typeName: '.DialRequest' },
          { ...field('data', 4, MESSAGE), ...payload, typeName: '.Data' },
        ],
        oneofDecl: [{ name: 'payload' }],
      },
      {
        name: 'DialRequest',
        field: [field('protocol', 1, STRING), field('address', 2, STRING), field('random', 3, INT64)],
      },
      {
        name: 'Data',
        field: [field('connectID', 1, INT64), field('error', 2, STRING), field('data', 3, BYTES)],
      },
    ],
  });
  const registry = createFileRegistry(file, () => undefined);
  const packet = registry.getMessage('Packet');
  const parts = { DIAL_REQ: registry.getMessage('DialRequest'), DATA: registry.getMessage('Data') };
  if (!packet || !parts.DIAL_REQ || !parts.DATA) throw new Error('the schema lacks a message');
  return { packet, parts: { DIAL_REQ: parts.DIAL_REQ, DATA: parts.DATA } };
}

const bufbuild = bufbuildPacket();

type Measured = DataPacket | Extract<KnownPacket, { type: 'DIAL_REQ' }>;

function bufbuildMessage(packet: Measured) {
  const { parts } = bufbuild;
  const value =
    packet.type === 'DATA'
      ? create(parts.DATA, { connectID: BigInt(packet.connectId), data: packet.data })
      : create(parts.DIAL_REQ, { protocol: packet.protocol, address: packet.address, random: packet.dialId });
  const payload = { case: packet.type === 'DATA' ? 'data' : 'dialRequest', value };
  return create(bufbuild.packet, { type: packet.type === 'DATA' ? 4 : 0, payload });
}

/** What one side does again and again; a sum of lengths keeps the work from being left out. */
function worksOf(packet: Measured): Readonly<Record<string, () => number>> {
  const message = encodePacket(packet);
  const bare = message.subarray(messagePrefixBytes);
  const type = packet.type === 'DATA' ? 4 : 0;
  let read = 0;
  const count = { packet: () => (read += 1), data: (_: number, piece: Buffer) => (read += piece.length) };
  const reader = new PacketReader(count);
  return {
    'encode, ours': () => encodePacket(packet).length,
    ...(packet.type === 'DATA' && {
      'encode, ours, head alone': () => encodeDataHead(packet.connectId, packet.data.length).length,
    }),
    'encode, protobufjs': () =>
      withPrefix(Buffer.from(packetType.encode({ ...plainOf(packet), type }).finish())).length,
    'encode, bufbuild': () =>
      withPrefix(Buffer.from(toBinary(bufbuild.packet, bufbuildMessage(packet)))).length,
    'decode, ours': () => decodePacket(bare).type.length,
    'decode, ours, as a stream': () => {
      reader.read(message);
      return read;
    },
    'decode, protobufjs': () => Object.keys(packetType.decode(bare)).length,
    'decode, bufbuild': () => Object.keys(fromBinary(bufbuild.packet, bare)).length,
  };
}

/** Operations in a second of processor time, which is the same however busy the machine is otherwise. */
function perSecond(work: () => number): number {
  let done = 0;
  let sum = 0;
  const before = process.cpuUsage();
  let usedMs = 0;
  while (usedMs < roundMs) {
    for (let i = 0; i < 200; i += 1) sum += work();
    done += 200;
    const { user, system } = process.cpuUsage(before);
    usedMs = (user + system) / 1000;
  }
  if (sum <= 0) throw new Error('nothing was done');
  return (done / usedMs) * 1000;
}

const data = (bytes: number): Measured => ({
  type: 'DATA',
  connectId: 1234,
  error: '',
  data: Buffer.alloc(bytes, 7),
});
const packets: Readonly<Record<string, Measured>> = {
  'DATA 32 KiB': data(32 * 1024),
  'DATA 64 B': data(64),
  DIAL_REQ: { type: 'DIAL_REQ', protocol: 'tcp', address: 'cluster1:443', dialId: 2n ** 62n + 12_345n },
};

const figures = new Map<string, number[]>();
const works = Object.entries(packets).flatMap(([name, packet]) =>
  Object.entries(worksOf(packet)).map(([work, run]) => [`${name.padEnd(12)} ${work}`, run] as const),
);
for (const [, run] of works) perSecond(run);
for (let round = 0; round < rounds; round += 1)
  for (const [name, run] of works) figures.set(name, [...(figures.get(name) ?? []), perSecond(run)]);
for (const [name, values] of figures) {
  const [median, least, most] = Object.values(spreadOf(values)).map((value) => Math.round(value / 1000));
  console.log(`${name.padEnd(42)} ${String(median).padStart(7)} k/s (${least}-${most})`);
}
