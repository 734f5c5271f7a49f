import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { GrpcStatus, grpcCode } from './grpc-status.ts';
import { encodeDataHead, encodePacket } from './packet-codec.ts';
import type { Packet } from './packet.ts';
import { PacketReader, maxMessageBytes } from './packet-reader.ts';
import type { PacketTaker } from './packet-reader.ts';
import { FieldWriter } from './protobuf.ts';
import { PacketRecorder } from './testing/packet-recorder.ts';
import { withPrefix } from './testing/packet-schema.ts';
import { RandomPackets } from './testing/random-packets.ts';

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');
const close: Packet = { type: 'CLOSE_REQ', connectId: 5 };

function readAll(chunks: readonly Buffer[]): PacketRecorder {
  const recorder = new PacketRecorder();
  const reader = new PacketReader(recorder);
  for (const chunk of chunks) reader.read(chunk);
  expect(reader.isBetweenMessages).toBe(true);
  return recorder;
}

/** What `read` throws; undefined: nothing. */
function statusOf(read: () => void): GrpcStatus | undefined {
  try {
    read();
  } catch (error) {
    if (error instanceof GrpcStatus) return error;
    throw error;
  }
  return undefined;
}

const nobody: PacketTaker = { packet: () => {}, data: () => {} };

/** A CLOSE_RSP of so many bytes without its prefix. */
function closeOf(bytes: number): Buffer {
  const text = Buffer.alloc(bytes - 12, 'x');
  return Buffer.concat([hex('0803 32'), varint4(bytes - 7), hex('0a'), varint4(text.length), text]);
}

/** Always four bytes, however small the value. */
function varint4(value: number): Buffer {
  return Buffer.from([
    (value & 127) | 128,
    ((value >> 7) & 127) | 128,
    ((value >> 14) & 127) | 128,
    value >> 21,
  ]);
}

describe('packets that are cut anywhere', () => {
  test.each([1, 2, 3, 4, 5, 6])('are the same packets (seed %i)', (seed) => {
    const random = new RandomPackets(seed, 20_000);
    const packets = Array.from({ length: 200 }, () => random.next());
    const whole = Buffer.concat(packets.map((packet) => encodePacket(packet)));
    const recorder = readAll(random.cut(whole));
    expect(recorder.packets).toEqual(packets.map((packet) => withoutError(packet)));
  });

  test('byte by byte, and all at once', () => {
    const random = new RandomPackets(9, 200);
    const packets = Array.from({ length: 200 }, () => random.next());
    const whole = Buffer.concat(packets.map((packet) => encodePacket(packet)));
    const expected = packets.map((packet) => withoutError(packet));
    expect(readAll(Array.from(whole, (byte) => Buffer.from([byte]))).packets).toEqual(expected);
    expect(readAll([whole]).packets).toEqual(expected);
  });

  /** The text of DATA goes nowhere. */
  function withoutError(packet: Packet): Packet {
    return packet.type === 'DATA' ? { ...packet, error: '' } : packet;
  }

  test('chunks may be used again by whoever read them', () => {
    const recorder = new PacketRecorder();
    const reader = new PacketReader(recorder);
    const whole = encodePacket({ type: 'CLOSE_RSP', error: 'why', connectId: 3 });
    for (const byte of whole) {
      const chunk = Buffer.from([byte]);
      reader.read(chunk);
      chunk.fill(0xff);
    }
    expect(recorder.packets).toEqual([{ type: 'CLOSE_RSP', error: 'why', connectId: 3 }]);
  });

  test('the stream may end between messages only', () => {
    const reader = new PacketReader(nobody);
    const ends: boolean[] = [];
    for (const packet of [close, { type: 'DATA', connectId: 1, error: '', data: Buffer.alloc(40) } as const])
      for (const byte of encodePacket(packet)) {
        reader.read(Buffer.from([byte]));
        ends.push(reader.isBetweenMessages);
      }
    const [first, second] = [encodePacket(close).length, encodeDataHead(1, 40).length + 40];
    expect(ends.flatMap((isBetween, at) => (isBetween ? [at + 1] : []))).toEqual([first, first + second]);
  });
});

describe('the bytes of connections', () => {
  test('are passed on as they come, without a limit, and not copied', () => {
    const chunkBytes = 16_384;
    const data = new RandomPackets(1).bytes(5 * 1024 * 1024);
    const whole = Buffer.concat([encodeDataHead(7, data.length), data, encodePacket(close)]);
    const pieces: Buffer[] = [];
    const firsts: boolean[] = [];
    const packets: Packet[] = [];
    const reader = new PacketReader({
      packet: (packet) => packets.push(packet),
      data: (connectId, piece, isFirst) => {
        expect([connectId, piece.buffer]).toEqual([7, whole.buffer]);
        pieces.push(piece);
        firsts.push(isFirst);
      },
    });
    for (let at = 0; at < whole.length; at += chunkBytes) reader.read(whole.subarray(at, at + chunkBytes));
    expect(Buffer.concat(pieces).equals(data)).toBe(true);
    expect(Math.max(...pieces.map(({ length }) => length))).toBe(chunkBytes);
    expect([firsts[0], firsts.lastIndexOf(true)]).toEqual([true, 0]);
    expect(packets).toEqual([close]);
  });

  test('begin once, wherever the head is cut', () => {
    const first = encodePacket({ type: 'DATA', connectId: 300, error: '', data: Buffer.alloc(30, 1) });
    const second = encodePacket({ type: 'DATA', connectId: 300, error: '', data: Buffer.alloc(50, 2) });
    const whole = Buffer.concat([first, second]);
    for (let cut = 1; cut < whole.length; cut += 1) {
      const { packets, pieces } = readAll([whole.subarray(0, cut), whole.subarray(cut)]);
      expect(Math.min(...pieces)).toBeGreaterThan(0);
      expect(packets.map((packet) => packet.type === 'DATA' && packet.data.length)).toEqual([30, 50]);
    }
  });

  test('may be more than anybody holds', () => {
    const bytes = 2 ** 29;
    const head = encodeDataHead(Number.MAX_SAFE_INTEGER, bytes);
    for (let cut = 1; cut <= head.length; cut += 1) {
      const pieces: number[] = [];
      const reader = new PacketReader({ ...nobody, data: (_, piece) => pieces.push(piece.length) });
      reader.read(head.subarray(0, cut));
      reader.read(Buffer.concat([head.subarray(cut), Buffer.alloc(100)]));
      expect(pieces).toEqual([100]);
    }
  });

  test('stay as they are while more comes', () => {
    const random = new RandomPackets(31);
    const data = Array.from({ length: 300 }, () => random.bytes(1 + random.below(400)));
    const pieces: Buffer[] = [];
    const reader = new PacketReader({ ...nobody, data: (_, piece) => pieces.push(piece) });
    const whole = Buffer.concat(data.map((bytes) => Buffer.concat([encodeDataHead(3, bytes.length), bytes])));
    for (const chunk of random.cut(whole)) reader.read(chunk);
    expect(Buffer.concat(pieces).equals(Buffer.concat(data))).toBe(true);
  });

  test.each([
    ['error first, number last', '0804 22 0a 120165 1a03616263 0807', 7],
    ['number last', '0804 22 07 1a03616263 0807', 7],
    ['no number', '0804 22 05 1a03616263', 0],
    ['the payload before the type', '22 07 0807 1a03616263 0804', 7],
    ['something behind the bytes', '0804 22 09 0807 1a03616263 4801', 7],
  ])('are taken with their fields in another order: %s', (_, message, connectId) => {
    const packet = { type: 'DATA', connectId, error: '', data: Buffer.from('abc') };
    const whole = Buffer.concat([withPrefix(hex(message)), encodePacket(close)]);
    for (let cut = 0; cut < whole.length; cut += 1)
      expect(readAll([whole.subarray(0, cut), whole.subarray(cut)]).packets).toEqual([packet, close]);
  });

  test.each([
    ['left out', '0804 22 02 0807'],
    ['said to be none', '0804 22 04 0807 1a00'],
  ])('may be none: %s', (_, message) => {
    const empty = { type: 'DATA', connectId: 7, error: '', data: Buffer.alloc(0) };
    const data = { type: 'DATA', connectId: 7, error: '', data: Buffer.from('x') } as const;
    const whole = Buffer.concat([withPrefix(hex(message)), encodePacket(data)]);
    for (let cut = 0; cut < whole.length; cut += 1)
      expect(readAll([whole.subarray(0, cut), whole.subarray(cut)]).packets).toEqual([empty, data]);
  });
});

describe('what is not taken', () => {
  const tooLarge = (bytes: number) =>
    `grpc: received message larger than max (${bytes} vs. ${maxMessageBytes})`;

  test('a packet above 4 MiB, as soon as its length is known', () => {
    const reader = new PacketReader(nobody);
    const message = withPrefix(closeOf(maxMessageBytes + 1));
    const status = statusOf(() => reader.read(message.subarray(0, 28)));
    expect([status?.code, status?.message]).toEqual([8, tooLarge(maxMessageBytes + 1)]);
  });

  test('but one of 4 MiB is', () => {
    const { packets } = readAll([withPrefix(closeOf(maxMessageBytes))]);
    expect(packets.map(({ type }) => type)).toEqual(['CLOSE_RSP']);
  });

  test('DATA above it whose fields stand in another order', () => {
    const data = Buffer.alloc(maxMessageBytes);
    const payload = new FieldWriter().text(2, 'e').finish();
    const bytes = Buffer.concat([payload, Buffer.from([0x1a]), varint4(data.length), data]);
    const message = withPrefix(Buffer.concat([hex('0804 22'), varint4(bytes.length), bytes]));
    const status = statusOf(() => new PacketReader(nobody).read(message));
    expect(status?.code).toBe(grpcCode.resourceExhausted);
  });

  test('a compressed message', () => {
    const status = statusOf(() => new PacketReader(nobody).read(withPrefix(hex('0802'), 1)));
    expect(status?.code).toBe(grpcCode.unimplemented);
  });

  test('what is no packet', () => {
    const status = statusOf(() => new PacketReader(nobody).read(withPrefix(hex('0880'))));
    expect([status?.code, status?.message]).toEqual([
      13,
      'grpc: error unmarshalling request: a message that is cut',
    ]);
  });

  test('random bytes are packets, or end it with a status', () => {
    const random = new RandomPackets(21);
    for (let i = 0; i < 5_000; i += 1) {
      const reader = new PacketReader(nobody);
      const message = withPrefix(random.bytes(random.below(30)), random.random() < 0.1 ? 1 : 0);
      statusOf(() => {
        for (const chunk of random.cut(Buffer.concat([message, message]))) reader.read(chunk);
      });
    }
  });
});

describe('many small chunks', () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;

  test.each([1, 1024, 65_536])('of %i bytes make a packet of 4 MiB in linear time', (chunkBytes) => {
    const packets: Packet[] = [];
    const reader = new PacketReader({ ...nobody, packet: (packet) => packets.push(packet) });
    const message = withPrefix(closeOf(maxMessageBytes));
    const before = process.cpuUsage();
    for (let at = 0; at < message.length; at += chunkBytes)
      reader.read(message.subarray(at, at + chunkBytes));
    // Each byte by itself takes half a second; all of what is there copied for each KiB would take many.
    expect(process.cpuUsage(before).user / 1000).toBeLessThan(4_000);
    expect(packets).toHaveLength(1);
  });

  test('hold no more than their bytes', () => {
    const reader = new PacketReader(nobody);
    const message = withPrefix(closeOf(1024 * 1024));
    collect();
    const before = process.memoryUsage();
    for (let at = 0; at < message.length - 1; at += 1) reader.read(message.subarray(at, at + 1));
    collect();
    const after = process.memoryUsage();
    const grown = after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers;
    expect(grown).toBeLessThan(8 * 1024 * 1024);
    reader.read(message.subarray(-1));
    expect(reader.isBetweenMessages).toBe(true);
  });
});

describe('a reader that is stopped', () => {
  const data = encodePacket({ type: 'DATA', connectId: 1, error: '', data: Buffer.alloc(100) });

  test('by whom it gives a packet to, gives nothing more', () => {
    const seen: string[] = [];
    const reader: PacketReader = new PacketReader({
      packet: ({ type }) => {
        seen.push(type);
        reader.stop();
      },
      data: () => seen.push('DATA'),
    });
    const whole = Buffer.concat([encodePacket(close), encodePacket(close), data]);
    reader.read(whole);
    for (const byte of whole) reader.read(Buffer.from([byte]));
    expect(seen).toEqual(['CLOSE_REQ']);
  });

  test('in the middle of DATA, gives nothing more', () => {
    const seen: number[] = [];
    const reader: PacketReader = new PacketReader({
      packet: ({ type }) => seen.push(type.length),
      data: (_, piece) => {
        seen.push(piece.length);
        reader.stop();
      },
    });
    reader.read(data.subarray(0, 60));
    reader.read(data.subarray(60));
    reader.read(encodePacket(close));
    expect(seen).toEqual([60 - (data.length - 100)]);
  });

  test('looks at nothing more, not even at what is wrong', () => {
    const reader: PacketReader = new PacketReader({ ...nobody, packet: () => reader.stop() });
    reader.read(Buffer.concat([encodePacket(close), withPrefix(hex('08'), 1)]));
    reader.read(withPrefix(hex('08'), 1));
  });
});
