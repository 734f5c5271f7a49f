import { describe, expect, test } from 'vitest';
import { errorCode, frameFlag } from './frame.ts';
import { HeaderBlocks } from './header-blocks.ts';
import { RandomFields } from './testing/hpack-random.ts';
import { headerBlock } from './testing/scripted-peer.ts';

const { endStream, endHeaders, padded, priority } = frameFlag;
const lines = ['a', 'b', 'some-name', 'some value'];
const block = headerBlock(lines);
const failsWith = (code: number): unknown => expect.objectContaining({ code });
const bytes = (...all: (number | Buffer)[]) =>
  Buffer.concat(all.map((one) => (typeof one === 'number' ? Buffer.from([one]) : one)));
const fiveBytes = Buffer.from([0x80, 0, 0, 3, 255]);

describe('HEADERS', () => {
  test.each<[string, number, Buffer]>([
    ['alone', 0, block],
    ['with padding', padded, bytes(3, block, Buffer.alloc(3))],
    ['with no padding but its length', padded, bytes(0, block)],
    ['with priority', priority, bytes(fiveBytes, block)],
    ['with both', padded | priority, bytes(2, fiveBytes, block, Buffer.alloc(2))],
  ])('%s', (_, flags, payload) => {
    const blocks = new HeaderBlocks(1_000);
    blocks.begin(flags | endHeaders, 5, payload);
    expect(blocks.end()).toEqual({ endStream: false, lines });
    blocks.begin(flags | endHeaders | endStream, 5, payload);
    expect(blocks.end()).toEqual({ endStream: true, lines });
  });

  test.each<[string, number, Buffer, number]>([
    ['more padding than there is', padded, bytes(9, 1, 2), errorCode.protocolError],
    ['no place for the length of its padding', padded, bytes(), errorCode.protocolError],
    ['half a priority', priority, bytes(1, 2, 3, 4), errorCode.frameSizeError],
    ['padding where its priority is', padded | priority, bytes(5, fiveBytes), errorCode.frameSizeError],
  ])('%s is refused', (_, flags, payload, code) => {
    expect(() => new HeaderBlocks(1_000).begin(flags, 1, payload)).toThrow(failsWith(code));
  });
});

describe('CONTINUATION', () => {
  test('in random pieces, block after block: what was encoded is what comes out', () => {
    const fields = new RandomFields(3);
    const blocks = new HeaderBlocks(1 << 24);
    for (let id = 1; id < 400; id += 2) {
      const given = fields.lines();
      const whole = headerBlock(given);
      const most = fields.random() < 0.5 ? 1 + fields.below(3) : whole.length + 1;
      const isWhole = whole.length <= most;
      blocks.begin(isWhole ? endHeaders : 0, id, whole.subarray(0, most));
      expect([blocks.isOpen, blocks.streamId]).toEqual([true, id]);
      if (whole.length / most > 2_000) {
        blocks.continue(endHeaders, id, whole.subarray(most));
      } else {
        for (let at = most; at < whole.length; at += most)
          blocks.continue(at + most < whole.length ? 0 : endHeaders, id, whole.subarray(at, at + most));
      }
      expect(blocks.end().lines).toEqual(given.map((text, i) => (i % 2 === 0 ? text.toLowerCase() : text)));
      expect(blocks.isOpen).toBe(false);
    }
  });

  test('the end of the stream is what HEADERS said', () => {
    const blocks = new HeaderBlocks(1_000);
    blocks.begin(endStream, 1, block.subarray(0, 3));
    blocks.continue(endHeaders, 1, block.subarray(3));
    expect(blocks.end().endStream).toBe(true);
    blocks.begin(0, 3, block);
    blocks.continue(endHeaders | endStream, 3, Buffer.alloc(0));
    expect(blocks.end()).toEqual({ endStream: false, lines });
  });

  test.each([0, 3])('of another stream (%i) is refused', (other) => {
    const blocks = new HeaderBlocks(1_000);
    blocks.begin(0, 1, block);
    expect(() => blocks.continue(endHeaders, other, block)).toThrow(failsWith(errorCode.protocolError));
  });

  test.each([0, 1])('of nothing is refused (stream %i)', (id) => {
    const blocks = new HeaderBlocks(1_000);
    expect(() => blocks.continue(endHeaders, id, block)).toThrow(failsWith(errorCode.protocolError));
    blocks.begin(endHeaders, 1, block);
    blocks.end();
    expect(() => blocks.continue(endHeaders, id, block)).toThrow(failsWith(errorCode.protocolError));
  });
});

describe('a block without an end (CVE-2024-27983)', () => {
  const piecesBeforeRefusal = (maxHeaderBytes: number, piece: Buffer): number => {
    const blocks = new HeaderBlocks(maxHeaderBytes);
    blocks.begin(0, 1, Buffer.alloc(0));
    for (let count = 0; count < 10_000; count += 1) {
      try {
        blocks.continue(0, 1, piece);
      } catch (error) {
        expect(error).toEqual(failsWith(errorCode.enhanceYourCalm));
        return count;
      }
    }
    return Infinity;
  };

  test('has no more bytes than a head may have', () => {
    expect(piecesBeforeRefusal(10_000, Buffer.alloc(1_000))).toBe(10);
    expect(piecesBeforeRefusal(9_999, Buffer.alloc(1_000))).toBe(9);
  });

  test('has no more pieces than some, however small', () => {
    expect(piecesBeforeRefusal(1 << 20, Buffer.alloc(1))).toBe(2_047);
  });

  test('has no empty pieces', () => {
    expect(piecesBeforeRefusal(1 << 20, Buffer.alloc(0))).toBe(0);
  });
});

describe('blocks that cannot be', () => {
  test('what is no HPACK ends the connection', () => {
    const blocks = new HeaderBlocks(1_000);
    blocks.begin(endHeaders, 1, Buffer.alloc(10, 0xff));
    expect(() => blocks.end()).toThrow(failsWith(errorCode.compressionError));
  });

  test('a table larger than we allow, too', () => {
    const blocks = new HeaderBlocks(1_000);
    // RFC 7541 6.3: the size 4097.
    blocks.begin(endHeaders, 1, Buffer.from([0x3f, 0xe2, 0x1f]));
    expect(() => blocks.end()).toThrow(failsWith(errorCode.compressionError));
    blocks.begin(endHeaders, 1, Buffer.from([0x3f, 0xe1, 0x1f]));
    expect(blocks.end().lines).toEqual([]);
  });

  test('more lines than may be are none, and the table is in step all the same', () => {
    const blocks = new HeaderBlocks(100);
    const name = 'x'.repeat(40);
    blocks.begin(endHeaders, 1, headerBlock([name, 'y'.repeat(29)]));
    expect(blocks.end().lines).toBeUndefined();
    blocks.begin(endHeaders, 3, headerBlock([name, 'y'.repeat(28)]));
    expect(blocks.end().lines).toHaveLength(2);
    // The older of the two entries.
    blocks.begin(endHeaders, 5, Buffer.from([0xbf]));
    expect(blocks.end().lines).toBeUndefined();
    blocks.begin(endHeaders, 7, Buffer.from([0xbe]));
    expect(blocks.end().lines).toEqual([name, 'y'.repeat(28)]);
  });
});
