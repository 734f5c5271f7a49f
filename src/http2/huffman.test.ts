import { describe, expect, test } from 'vitest';
import { HpackError } from './hpack-error.ts';
import { huffmanDecode } from './huffman.ts';
import { huffmanBytes, huffmanWrite } from './testing/huffman-encoder.ts';
import { seededRandom } from './testing/hpack-random.ts';

const decode = (hex: string) => {
  const bytes = Buffer.from(hex, 'hex');
  return huffmanDecode(bytes, 0, bytes.length);
};

function encode(text: string): Buffer {
  const target = Buffer.alloc(huffmanBytes(text));
  expect(huffmanWrite(text, target, 0)).toBe(target.length);
  return target;
}

const allBytes = String.fromCharCode(...Array.from({ length: 256 }, (_, i) => i));

describe('Huffman code (RFC 7541 appendix B)', () => {
  test.each([
    ['www.example.com', 'f1e3c2e5f23a6ba0ab90f4ff'],
    ['no-cache', 'a8eb10649cbf'],
    ['302', '6402'],
    ['Mon, 21 Oct 2013 20:13:21 GMT', 'd07abe941054d444a8200595040b8166e082a62d1bff'],
    ['https://www.example.com', '9d29ad171863c78f0b97c8e9ae82ae43d3'],
    ['', ''],
    // The longest codes that stand for a byte.
    ['\n\r\x16', 'fffffff3ffffffdfffffffbf'],
  ])('%j', (text, hex) => {
    expect(encode(text).toString('hex')).toBe(hex);
    expect(decode(hex)).toBe(text);
  });

  test('every byte, alone and beside every other', () => {
    for (const first of allBytes) {
      expect(huffmanDecode(encode(first), 0, huffmanBytes(first))).toBe(first);
      const pairs = Array.from(allBytes, (second) => first + second).join('');
      expect(huffmanDecode(encode(pairs), 0, huffmanBytes(pairs))).toBe(pairs);
    }
  });

  test('a part of a buffer, longer than the scratch buffer too', () => {
    const random = seededRandom(1);
    for (const length of [1, 30, 2047, 2048, 5000, 70_000]) {
      const text = Array.from({ length }, () => allBytes[Math.floor(random() * 256)]).join('');
      const target = Buffer.alloc(huffmanBytes(text) + 7, 0x55);
      const end = huffmanWrite(text, target, 3);
      expect(end).toBe(target.length - 4);
      expect(huffmanDecode(target, 3, end)).toBe(text);
      expect(target.subarray(0, 3).toString('hex') + target.subarray(end).toString('hex')).toBe(
        '55'.repeat(7),
      );
    }
  });

  test.each([
    ['padding of zeros', '18'],
    ['padding of eight ones', '6402ff'],
    ['padding of a whole byte and no text', 'ff'],
    ['padding that is not all ones', 'f1e3c2e5f23a6ba0ab90f4fe'],
    ['the code of the end of the string', 'ffffffff'],
    ['the end of the string, after it text', 'fffffffca8eb10649cbf'],
    ['the end of the string after text', '1fffffffff'],
    ['a code that is cut', 'fffffff3ffffffdfff'],
  ])('refuses %s', (_what, hex) => {
    expect(() => decode(hex)).toThrow(HpackError);
  });

  test('what is read is what would have been written, or refused', () => {
    const random = seededRandom(2);
    let [read, refused] = [0, 0];
    for (let run = 0; run < 20_000; run += 1) {
      const bytes = Buffer.from(Array.from({ length: 1 + (run % 6) }, () => Math.floor(random() * 256)));
      try {
        expect(encode(huffmanDecode(bytes, 0, bytes.length))).toEqual(bytes);
        read += 1;
      } catch (error) {
        if (!(error instanceof HpackError)) throw error;
        refused += 1;
      }
    }
    expect(Math.min(read, refused)).toBeGreaterThan(1000);
  });
});
