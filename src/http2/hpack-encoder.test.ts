import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { HpackDecoder } from './hpack-decoder.ts';
import { HpackEncoder } from './hpack-encoder.ts';
import { RandomFields } from './testing/hpack-random.ts';

const decoderOf = (maxTableBytes = 4096) => new HpackDecoder({ maxTableBytes, maxListBytes: 1 << 24 });
const hexOf = (encoder: HpackEncoder, lines: readonly string[]) => encoder.encode(lines).toString('hex');
const textHex = (text: string) => Buffer.from(text, 'latin1').toString('hex');
const lowerNames = (lines: readonly string[]) =>
  lines.map((text, i) => (i % 2 === 0 ? text.toLowerCase() : text));

describe('how a field is sent', () => {
  test('static fields by their index', () => {
    const lines = [':method', 'GET', ':scheme', 'https', ':path', '/', ':status', '404', 'accept-encoding'];
    expect(hexOf(new HpackEncoder(), [...lines, 'gzip, deflate', 'accept', ''])).toBe('8287848d9093');
  });

  test('other fields go into the table, and come by their index then', () => {
    const encoder = new HpackEncoder();
    expect(hexOf(encoder, ['accept', 'a/b'])).toBe(`5303${textHex('a/b')}`);
    expect(hexOf(encoder, ['accept', 'a/b'])).toBe('be');
    expect(hexOf(encoder, ['x-a', 'b'])).toBe(`4003${textHex('x-a')}01${textHex('b')}`);
    expect(hexOf(encoder, ['x-a', 'b', 'accept', 'a/b', 'x-a', 'b'])).toBe('bebfbe');
    // The name by the index of its newest entry.
    expect(hexOf(encoder, ['x-a', 'c'])).toBe('7e0163');
    expect(hexOf(encoder, ['x-a', 'd', 'x-a', 'b', 'accept', 'a/b'])).toBe('7e0164c0c1');
  });

  test.each([
    [':path', '/api', '04'],
    ['age', '7', '0f06'],
    ['content-length', '12', '0f0d'],
    ['content-range', 'bytes 0-1/2', '0f0f'],
    ['etag', '"1"', '0f13'],
    ['if-modified-since', 'x', '0f19'],
    ['if-none-match', '"1"', '0f1a'],
    ['last-modified', 'x', '0f1d'],
    ['location', '/a', '0f1f'],
    ['range', 'bytes=0-1', '0f23'],
    ['audit-id', 'x', `0008${textHex('audit-id')}`],
    ['traceparent', 'x', `000b${textHex('traceparent')}`],
    ['x-forwarded-uri', '/a', `000f${textHex('x-forwarded-uri')}`],
  ])('%s is not put into the table', (name, value, start) => {
    const encoder = new HpackEncoder();
    const expected = `${start}${Buffer.from([value.length]).toString('hex')}${textHex(value)}`;
    expect(hexOf(encoder, [name, value])).toBe(expected);
    expect(hexOf(encoder, [name, value])).toBe(expected);
  });

  test.each([
    ['cookie', '1f11'],
    ['set-cookie', '1f28'],
    ['proxy-authorization', '1f22'],
  ])('%s may never be put into any table', (name, start) => {
    const encoder = new HpackEncoder();
    for (let i = 0; i < 2; i += 1) expect(hexOf(encoder, [name, 'abc'])).toBe(`${start}03616263`);
    expect(hexOf(encoder, [name.toUpperCase(), 'abc'])).toBe(`${start}03616263`);
  });

  test('a token of 1 KB is sent once', () => {
    const encoder = new HpackEncoder();
    const lines = ['authorization', `Bearer ${'t'.repeat(1000)}`];
    expect(encoder.encode(lines).length).toBeGreaterThan(1000);
    expect(hexOf(encoder, lines)).toBe('be');
  });

  test('an entry of more than half of the table is not put in', () => {
    const encoder = new HpackEncoder();
    const most = 2048 - 32 - 3;
    encoder.encode(['x-a', 'v'.repeat(most + 1)]);
    expect(encoder.encode(['x-a', 'v'.repeat(most + 1)]).length).toBeGreaterThan(most);
    expect(encoder.encode(['x-a', 'v'.repeat(most)])[0]).toBe(0x40);
    expect(hexOf(encoder, ['x-a', 'v'.repeat(most)])).toBe('be');
  });

  test('names are sent in lower case, whatever their spelling', () => {
    const encoder = new HpackEncoder();
    expect(hexOf(encoder, ['X-Foo', 'Bar'])).toBe(`4005${textHex('x-foo')}03${textHex('Bar')}`);
    expect(hexOf(encoder, ['x-foo', 'Bar', 'X-FOO', 'Bar', 'X-Foo', 'Bar'])).toBe('bebebe');
    const long = `X-${'LONG'.repeat(30)}`;
    for (let i = 0; i < 2; i += 1) {
      expect(decoderOf().decode(new HpackEncoder().encode([long, 'V']))).toEqual([long.toLowerCase(), 'V']);
    }
    // Bytes above ASCII are bytes, not letters.
    expect(decoderOf().decode(new HpackEncoder().encode(['A\xc0', 'V']))).toEqual(['a\xc0', 'V']);
  });

  test.each(['\u0100', '\u010a', 'a\u{1f600}'])('a character outside latin1 is refused: %j', (bad) => {
    const [encoder, decoder] = [new HpackEncoder(), decoderOf()];
    decoder.decode(encoder.encode(['x-a', 'b']));
    expect(() => encoder.encode(['x-c', 'd', 'x-a', bad])).toThrow(TypeError);
    expect(() => encoder.encode(['x-c', 'd', bad, 'x'])).toThrow(TypeError);
    // The peer never saw x-c: both begin anew.
    const start = hexOf(encoder, []);
    expect(start).toBe('203fe11f');
    decoder.decode(Buffer.from(start, 'hex'));
    const lines = ['x-a', 'b', 'x-c', 'd', 'x-a', 'b'];
    for (let i = 0; i < 2; i += 1) expect(decoder.decode(encoder.encode(lines))).toEqual(lines);
  });

  test('the name of an entry is used until its newest has left the table', () => {
    const encoder = new HpackEncoder();
    const long = 'v'.repeat(1900);
    encoder.encode(['x-a', long, 'x-a', 'short', 'x-b', long, 'x-c', long]);
    expect(hexOf(encoder, ['x-a', 'short'])).toBe('c0');
    expect(hexOf(encoder, ['x-a', 'new'])).toBe(`7f0103${textHex('new')}`);
    encoder.encode(['x-d', long, 'x-e', long, 'x-f', long]);
    expect(hexOf(encoder, ['x-a', 'short'])).toBe(`4003${textHex('x-a')}05${textHex('short')}`);
  });

  test('names do not heap up', () => {
    setFlagsFromString('--expose-gc');
    const gc = runInNewContext('gc') as () => void;
    const encoder = new HpackEncoder();
    const heapAfter = (names: number) => {
      for (let i = 0; i < names; i += 1) encoder.encode([`x-${names}-${i}`, 'value']);
      gc();
      return process.memoryUsage().heapUsed;
    };
    const before = heapAfter(2000);
    expect(heapAfter(20_000) - before).toBeLessThan(2_000_000);
  });

  test('names that fill the memory for them do not make the table forgotten', () => {
    const [encoder, decoder] = [new HpackEncoder(), decoderOf()];
    decoder.decode(encoder.encode(['x-kept', 'value']));
    const tooLarge = 'v'.repeat(2100);
    for (let i = 0; i < 3000; i += 1) {
      const lines = [`X-${i}`, tooLarge];
      expect(decoder.decode(encoder.encode(lines))).toEqual(lowerNames(lines));
      expect(hexOf(encoder, ['x-kept', 'value'])).toBe('be');
    }
  });
});

describe('the buffer', () => {
  test('holds a block of any size, after which it is small again', () => {
    const [encoder, decoder] = [new HpackEncoder(), decoderOf()];
    for (const length of [0, 3000, 5000, 70_000, 1_000_000, 10]) {
      const lines = ['x-a', 'v'.repeat(length), 'x-b', 'v'.repeat(length), ':status', '200'];
      expect(decoder.decode(encoder.encode(lines))).toEqual(lines);
    }
    const many = Array.from({ length: 9000 }, () => [':status', '200']).flat();
    expect(decoder.decode(encoder.encode(many))).toEqual(many);
    encoder.encode(['x-a', 'v'.repeat(1_000_000)]);
    expect(encoder.encode([':status', '200']).buffer.byteLength).toBeLessThanOrEqual(65_536);
  });
});

describe('the size of the table (RFC 7541 §4.2)', () => {
  test('nothing is said of the one that both ends begin with', () => {
    const encoder = new HpackEncoder();
    encoder.setPeerTableBytes(4096);
    encoder.setPeerTableBytes(65_536);
    expect(hexOf(encoder, [])).toBe('');
  });

  test('a smaller one is said first, once', () => {
    const encoder = new HpackEncoder();
    encoder.encode(['x-a', 'b']);
    encoder.setPeerTableBytes(100);
    expect(hexOf(encoder, ['x-a', 'b'])).toBe('3f45be');
    expect(hexOf(encoder, ['x-a', 'b'])).toBe('be');
    encoder.setPeerTableBytes(30);
    expect(hexOf(encoder, ['x-a', 'b'])).toBe(`3e0003${textHex('x-a')}0162`);
  });

  test('down and up between two blocks: the smallest and the last', () => {
    const encoder = new HpackEncoder();
    encoder.encode(['x-a', 'b']);
    for (const bytes of [200, 0, 50, 4096]) encoder.setPeerTableBytes(bytes);
    expect(hexOf(encoder, ['x-a', 'b'])).toBe(`203fe11f4003${textHex('x-a')}0162`);
    expect(hexOf(encoder, ['x-a', 'b'])).toBe('be');
  });

  test('no table at all', () => {
    const [encoder, decoder] = [new HpackEncoder({ maxTableBytes: 0 }), decoderOf()];
    const lines = ['x-a', 'b', ':status', '200', 'accept', ''];
    for (let i = 0; i < 3; i += 1) expect(decoder.decode(encoder.encode(lines))).toEqual(lines);
    expect(hexOf(encoder, ['x-a', 'b'])).toBe(`0003${textHex('x-a')}0162`);
  });

  test('ours is the most that is used of what the peer offers', () => {
    const encoder = new HpackEncoder({ maxTableBytes: 10_000 });
    expect(hexOf(encoder, [])).toBe('');
    encoder.setPeerTableBytes(2 ** 32 - 1);
    // 10 000 - 31 as RFC 7541 §5.1 writes it.
    expect(hexOf(encoder, [])).toBe('3ff14d');
  });
});

describe('what is encoded is what is decoded', () => {
  test.each([
    [21, 4096],
    [22, 300],
    [23, 65_536],
    [24, 0],
  ])('random fields and table sizes, seed %i, a table of %i', (seed, maxTableBytes) => {
    const fields = new RandomFields(seed);
    const decoder = decoderOf(Math.max(maxTableBytes, 4096));
    const encoder = new HpackEncoder({ maxTableBytes });
    for (let block = 0; block < 700; block += 1) {
      while (fields.random() < 0.1) encoder.setPeerTableBytes(fields.below(2 * maxTableBytes));
      const lines = fields.lines();
      if (fields.random() < 0.01) {
        expect(() => encoder.encode([...lines, 'x-bad', '\u2028'])).toThrow(TypeError);
      }
      const sent = lines.map((text, i) => (i % 2 === 0 && fields.random() < 0.2 ? text.toUpperCase() : text));
      expect(decoder.decode(encoder.encode(sent))).toEqual(lines);
    }
  });
});
