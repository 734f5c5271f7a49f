import { describe, expect, test } from 'vitest';
import {
  decodePacket,
  encodeDataHead,
  encodePacket,
  messagePrefixBytes,
  recogniseData,
} from './packet-codec.ts';
import type { Packet } from './packet.ts';
import { FieldWriter, MalformedMessage } from './protobuf.ts';
import { decodeWithProtobufjs, encodeWithProtobufjs, plainOf, withPrefix } from './testing/packet-schema.ts';
import { RandomPackets } from './testing/random-packets.ts';

const seeds = [1, 2, 3, 4];
const perSeed = 1_000;
const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');
const messageOf = (packet: Packet) => encodePacket(packet).subarray(messagePrefixBytes);
/** A field of the wire type for bytes. */
const bytesField = (field: number, bytes: Uint8Array) => new FieldWriter().bytes(field, bytes).finish();
const varintField = (field: number, value: number) => new FieldWriter().integer(field, value).finish();

/** Undefined: refused as malformed. Whatever else is thrown fails the test. */
function decodeOrRefuse(message: Buffer): Packet | undefined {
  try {
    return decodePacket(message);
  } catch (error) {
    if (error instanceof MalformedMessage) return undefined;
    throw error;
  }
}

describe('the same packets as protobufjs', () => {
  test.each(seeds)('what we encode, it reads (seed %i)', (seed) => {
    const random = new RandomPackets(seed);
    for (let i = 0; i < perSeed; i += 1) {
      const packet = random.next();
      const encoded = encodePacket(packet);
      expect([encoded[0], encoded.readUInt32BE(1)]).toEqual([0, encoded.length - messagePrefixBytes]);
      expect(decodeWithProtobufjs(encoded.subarray(messagePrefixBytes))).toEqual(plainOf(packet));
    }
  });

  test.each(seeds)('what it encodes, we read (seed %i)', (seed) => {
    const random = new RandomPackets(seed + 100);
    for (let i = 0; i < perSeed; i += 1) {
      const packet = random.next();
      expect(decodePacket(encodeWithProtobufjs(plainOf(packet)))).toEqual(packet);
    }
  });

  test('fields that nobody knows and fields in any order change nothing', () => {
    const random = new RandomPackets(7);
    const unknown = () => {
      const field = 9 + random.below(2 ** 20);
      const kinds = [
        () => varintField(field, 1 + random.below(2 ** 31)),
        () => Buffer.concat([tag(field, 1), random.bytes(8)]),
        () => bytesField(field, random.bytes(random.below(200))),
        () => Buffer.concat([tag(field, 5), random.bytes(4)]),
      ];
      return (kinds[random.below(kinds.length)] ?? kinds[0])?.() ?? Buffer.alloc(0);
    };
    const mixed = (fields: Buffer[]) => {
      const all = [...fields, ...Array.from({ length: random.below(4) }, unknown)];
      return Buffer.concat(all.sort(() => random.random() - 0.5));
    };
    for (let i = 0; i < 500; i += 1) {
      const connectId = random.below(2 ** 31);
      const [error, data] = [String(i), random.bytes(random.below(50))];
      const payload = mixed([
        varintField(1, connectId),
        bytesField(2, Buffer.from(error)),
        bytesField(3, data),
      ]);
      const message = mixed([varintField(1, 4), bytesField(4, payload)]);
      const packet = { type: 'DATA', connectId, error, data } as const;
      expect(decodePacket(message)).toEqual(packet);
      expect(decodeWithProtobufjs(message)).toEqual(plainOf(packet));
    }
  });
});

function tag(field: number, wire: number): Buffer {
  const written = varintField(1, field * 8 + wire);
  return written.subarray(1);
}

describe('bytes on the wire', () => {
  const minusOne = 'ffffffffffffffffff01';
  const most = 'ffffffffffffffff7f';
  test.each<[string, Packet]>([
    ['12 07 0a03746370 1801', { type: 'DIAL_REQ', protocol: 'tcp', address: '', dialId: 1n }],
    [`12 0b 18 ${minusOne}`, { type: 'DIAL_REQ', protocol: '', address: '', dialId: -1n }],
    [`0801 1a 0c 1007 18 ${most}`, { type: 'DIAL_RSP', error: '', connectId: 7, dialId: 2n ** 63n - 1n }],
    ['0802 2a 02 0805', { type: 'CLOSE_REQ', connectId: 5 }],
    ['0803 32 05 0a0165 1005', { type: 'CLOSE_RSP', error: 'e', connectId: 5 }],
    ['0804 22 05 0805 1a0161', { type: 'DATA', connectId: 5, error: '', data: Buffer.from('a') }],
    ['0804 22 05 0805 120165', { type: 'DATA', connectId: 5, error: 'e', data: Buffer.alloc(0) }],
    ['0805 3a 0b 08 80808080808080808001', { type: 'DIAL_CLS', dialId: -(2n ** 63n) }],
    ['0806 42 00', { type: 'DRAIN' }],
    ['0864 2a 02 0805', { type: 'PAUSE', connectId: 5 }],
    ['0865 2a 02 0805', { type: 'RESUME', connectId: 5 }],
  ])('%s', (bytes, packet) => {
    expect(messageOf(packet).toString('hex')).toBe(bytes.replaceAll(' ', ''));
    expect(decodePacket(hex(bytes))).toEqual(packet);
  });

  test('a DATA packet is its head and its bytes', () => {
    for (const length of [0, 1, 127, 128, 16_383, 16_384, 100_000]) {
      for (const connectId of [0, 1, 127, 128, 2 ** 32, Number.MAX_SAFE_INTEGER]) {
        const data = Buffer.alloc(length, 7);
        const whole = Buffer.concat([encodeDataHead(connectId, length), data]);
        expect(whole.equals(encodePacket({ type: 'DATA', connectId, error: '', data }))).toBe(true);
        const head = whole.length - length;
        expect(recogniseData(whole, 0)).toEqual(
          length === 0 ? undefined : { connectId, headBytes: head, dataBytes: length },
        );
      }
    }
  });

  test('a packet of an unknown type is not sent', () => {
    expect(() => encodePacket({ type: 'UNKNOWN', number: 7 })).toThrow(MalformedMessage);
  });
});

describe('what a packet need not be', () => {
  const nothingAsked = { type: 'DIAL_REQ', protocol: '', address: '', dialId: 0n };
  const nothingClosed = { type: 'CLOSE_RSP', error: '', connectId: 0 };
  const closed = { type: 'CLOSE_RSP', error: 'e', connectId: 5 };
  test.each<[string, string, unknown]>([
    ['empty', '', nothingAsked],
    ['a type without its payload', '0803', nothingClosed],
    ['a type with the payload of another', '0803 22 05 0805 1a0161', nothingClosed],
    ['a payload without a type', '32 05 0a0165 1005', nothingAsked],
    ['two payloads: the last counts', '0803 32 05 0a0165 1005 2a 02 0806', nothingClosed],
    ['two payloads, the right one last', '0803 2a 02 0806 32 05 0a0165 1005', closed],
    ['one payload in two parts', '0803 32 03 0a0165 32 02 1005', closed],
    ['one payload in two parts, the last of a field counts', '0803 32 05 0a0178 1005 32 03 0a0165', closed],
    [
      'parts with another payload between them',
      '0803 32 03 0a0165 2a 02 0806 32 02 1005',
      { ...closed, error: '' },
    ],
    ['two types: the last counts', '0804 0803 32 05 0a0165 1005', closed],
    ['a type of the wrong wire type', '0a0103 32 05 0a0165 1005', nothingAsked],
    ['a payload of the wrong wire type', '0803 3005', nothingClosed],
    ['a number of the wrong wire type', '0803 32 06 0a0165 120105', { ...closed, connectId: 0 }],
    ['a text of the wrong wire type', '0803 32 04 0801 1005', { ...closed, error: '' }],
    ['a longer varint than needed', '088300 32 07 0a0165 10858000', closed],
    ['a length that is longer than needed', '0803 328500 0a0165 1005', closed],
    ['a type of a later version', '0807 2a 02 0805', { type: 'UNKNOWN', number: 7 }],
    ['a type below zero', '08 ffffffffffffffffff01', { type: 'UNKNOWN', number: -1 }],
    ['a number of which the low 64 bits count', '0803 32 0e 0a0165 1085808080808080808002', closed],
    ['a type of which the low 32 bits count', '08 8380808010 32 05 0a0165 1005', closed],
  ])('%s', (_, bytes, packet) => {
    expect(decodePacket(hex(bytes))).toEqual(packet);
  });

  test('text that is not UTF-8 is read all the same', () => {
    expect(decodePacket(hex('0803 32 03 0a01ff'))).toEqual({ ...nothingClosed, error: '\ufffd' });
  });
});

describe('what no packet is', () => {
  test.each([
    ['a connection number above 2^53', '0802 2a 09 08 8080808080808010'],
    ['a connection number below zero', '0802 2a 0b 08 ffffffffffffffffff01'],
    ['a varint of eleven bytes', '08 8080808080808080808001'],
    ['a varint that is cut', '0880'],
    ['a field without a number', '0001'],
    ['a tag beyond 32 bits', '88 80808010 01'],
    ['a tag that does not end', '80808080 80808080 8001'],
    ['a length that does not end', '12 80808080808000'],
    ['a payload without fields, with what is none', '0806 42 01 80'],
    ['a length beyond 32 bits', '12 ffffffff7f'],
    ['a payload beyond its message', '12 03 0a01'],
    ['a text beyond its payload', '12 02 0a01 61'],
    ['a fixed64 that is cut', '49 00000000000000'],
    ['a fixed32 that is cut', '4d 000000'],
    ['a group', '4b 4c'],
    ['the end of a group', '4c'],
    ['wire type 6', '4e 00'],
    ['wire type 7', '4f 00'],
  ])('%s', (_, bytes) => {
    expect(() => decodePacket(hex(bytes))).toThrow(MalformedMessage);
  });

  test('the largest connection number is 2^53 - 1', () => {
    const connectId = Number.MAX_SAFE_INTEGER;
    expect(decodePacket(messageOf({ type: 'CLOSE_REQ', connectId }))).toEqual({
      type: 'CLOSE_REQ',
      connectId,
    });
  });

  test('cut anywhere, it is another packet or none', () => {
    const random = new RandomPackets(11, 60);
    let refused = 0;
    for (let i = 0; i < 300; i += 1) {
      const message = messageOf(random.next());
      for (let end = 0; end < message.length; end += 1)
        if (!decodeOrRefuse(message.subarray(0, end))) refused += 1;
    }
    expect(refused).toBeGreaterThan(1_000);
  });

  test('with any byte changed, it is another packet or none', () => {
    const random = new RandomPackets(12, 40);
    let refused = 0;
    for (let i = 0; i < 150; i += 1) {
      const message = Buffer.from(messageOf(random.next()));
      for (let at = 0; at < Math.min(message.length, 120); at += 1) {
        const before = message[at] ?? 0;
        for (const after of [before ^ 1, before ^ 0x80, before + 8, 0, 0xff, random.below(256)]) {
          message[at] = after;
          if (!decodeOrRefuse(message)) refused += 1;
        }
        message[at] = before;
      }
    }
    expect(refused).toBeGreaterThan(1_000);
  });

  test('random bytes are some packet or none', () => {
    const random = new RandomPackets(13);
    for (let i = 0; i < 20_000; i += 1) decodeOrRefuse(random.bytes(random.below(24)));
  });
});

describe('DATA is recognised by its first bytes', () => {
  const data = encodePacket({ type: 'DATA', connectId: 300, error: '', data: Buffer.from('abc') });

  test('anywhere in what came', () => {
    const bytes = Buffer.concat([Buffer.from('before'), data, Buffer.from('behind')]);
    expect(recogniseData(bytes, 6)).toEqual({ connectId: 300, headBytes: data.length - 3, dataBytes: 3 });
  });

  test.each([
    ['another type', '0803 22 05 0805 1a0161'],
    ['the payload of another type', '0804 2a 05 0805 1a0161'],
    ['no type', '22 05 0805 1a0161'],
    ['an error before the bytes', '0804 22 08 0805 120165 1a0161'],
    ['an error behind the bytes', '0804 22 08 0805 1a0161 120165'],
    ['the number behind the bytes', '0804 22 05 1a0161 0805'],
    ['a payload that ends before the bytes', '0804 22 02 0805 1a0161'],
    ['another number', '0804 22 05 1005 1a0161'],
    ['no bytes', '0804 22 02 0805'],
    ['bytes that are none', '0804 22 04 0805 1a00'],
    ['something behind the payload', '0804 22 05 0805 1a0161 4800'],
    ['bytes that are longer than the payload', '0804 22 05 0805 1a0261'],
    ['a number beyond 2^53', '0804 22 0e 08 80808080808080808001 1a0161'],
  ])('not: %s', (_, bytes) => {
    expect(recogniseData(Buffer.concat([withPrefix(hex(bytes)), Buffer.alloc(40)]), 0)).toBeUndefined();
  });

  test('not: a compressed one', () => {
    const compressed = Buffer.from(data);
    compressed[0] = 1;
    expect(recogniseData(compressed, 0)).toBeUndefined();
  });
});
