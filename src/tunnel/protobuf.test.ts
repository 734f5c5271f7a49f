import { describe, expect, test } from 'vitest';
import { FieldReader, FieldWriter, MalformedMessage, varintLength, writeVarint } from './protobuf.ts';

const edges = [0, 1, 127, 128, 16_383, 16_384, 2 ** 28, 2 ** 31, 2 ** 32 - 1, 2 ** 35, 2 ** 49, 2 ** 53 - 1];

describe('varints', () => {
  test.each(edges)('%i', (value) => {
    const target = Buffer.alloc(12);
    const end = writeVarint(target, 1, value);
    expect(end).toBe(1 + varintLength(value));
    const field = new FieldWriter().integer(1, value).finish();
    expect(field.subarray(1)).toEqual(value === 0 ? Buffer.alloc(0) : target.subarray(1, end));
    const reader = new FieldReader(Buffer.concat([Buffer.from([8]), target.subarray(1, end)]));
    expect([reader.next(), reader.integer(), reader.next()]).toEqual([true, value, false]);
  });

  test('int64 and int32 have signs', () => {
    for (const value of [1n, -1n, 2n ** 63n - 1n, -(2n ** 63n), -(2n ** 31n)]) {
      const reader = new FieldReader(new FieldWriter().bigint(3, value).finish());
      expect([reader.next(), reader.number, reader.bigint()]).toEqual([true, 3, value]);
    }
    for (const [value, read] of [
      [2n ** 31n - 1n, 2 ** 31 - 1],
      [2n ** 31n, -(2 ** 31)],
      [-5n, -5],
    ] as const) {
      const reader = new FieldReader(new FieldWriter().bigint(3, value).finish());
      reader.next();
      expect(reader.int32()).toBe(read);
    }
  });
});

describe('a reader', () => {
  test('gives each field, and steps over those that nobody asks for', () => {
    const parts = [
      new FieldWriter().integer(1, 300).finish(),
      Buffer.from([(2 << 3) | 1, 1, 2, 3, 4, 5, 6, 7, 8]),
      new FieldWriter().text(3, 'text').finish(),
      Buffer.from([(4 << 3) | 5, 1, 2, 3, 4]),
      new FieldWriter().integer(2 ** 29 - 1, 1).finish(),
    ];
    const reader = new FieldReader(Buffer.concat(parts));
    const seen: [number, number][] = [];
    while (reader.next()) {
      seen.push([reader.number, reader.wire]);
      reader.skip();
    }
    expect(seen).toEqual([
      [1, 0],
      [2, 1],
      [3, 2],
      [4, 5],
      [2 ** 29 - 1, 0],
    ]);
  });

  test('reads a part of its bytes, and nothing behind it', () => {
    const bytes = Buffer.from('ff0801ff', 'hex');
    const reader = new FieldReader(bytes, 1, 3);
    expect([reader.next(), reader.integer(), reader.next()]).toEqual([true, 1, false]);
    const cut = new FieldReader(bytes, 1, 2);
    cut.next();
    expect(() => cut.integer()).toThrow(MalformedMessage);
  });

  test('a message within a message ends where it says', () => {
    const inner = new FieldWriter().text(1, 'in').finish();
    const reader = new FieldReader(new FieldWriter().bytes(2, inner).text(3, 'behind').finish());
    reader.next();
    const message = reader.message();
    expect([message.next(), message.text(), message.next()]).toEqual([true, 'in', false]);
    expect([reader.next(), reader.number, reader.text()]).toEqual([true, 3, 'behind']);
  });

  test('does not copy', () => {
    const bytes = new FieldWriter().bytes(1, Buffer.from('abc')).finish();
    const reader = new FieldReader(bytes);
    reader.next();
    expect(reader.bytes().buffer).toBe(bytes.buffer);
  });
});

describe('a writer', () => {
  test('leaves out what has its default, but not bytes that were asked for', () => {
    const fields = new FieldWriter().integer(1, 0).bigint(2, 0n).text(3, '');
    expect(fields.finish()).toHaveLength(0);
    expect(fields.bytes(4, Buffer.alloc(0)).finish().toString('hex')).toBe('2200');
  });
});
