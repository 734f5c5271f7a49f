import { describe, expect, test } from 'vitest';
import { derContent, derTag, readDerInside, readDerValues, readObjectIdentifier } from './der.ts';

const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
const oid = (hex: string) => readObjectIdentifier({ tag: derTag.objectIdentifier, content: bytes(hex) });

test('values follow each other and hold others', () => {
  const [first, second] = readDerValues(bytes('3006 020101 020102 0500'));
  expect(readDerInside(first, derTag.sequence)).toEqual([
    { tag: derTag.integer, content: bytes('01') },
    { tag: derTag.integer, content: bytes('02') },
  ]);
  expect(second).toEqual({ tag: 0x05, content: bytes('') });
});

test('long lengths', () => {
  const [value] = readDerValues(bytes(`0482 0100 ${'ab'.repeat(256)}`));
  expect(value?.content).toHaveLength(256);
});

test.each([
  ['a tag without length', '30'],
  ['a length that is cut', '3082 01'],
  ['a value that is cut', '3003 0201'],
  ['a length larger than memory', '3084 ffffffff 00'],
  ['a length of five octets', '3085 0000000001 00'],
  ['an indefinite length', '3080 0000'],
  ['a tag of several octets', '1f8101 00'],
])('%s is refused', (_, hex) => {
  expect(() => readDerValues(bytes(hex))).toThrow(/DER/);
});

test('another tag than expected is refused', () => {
  expect(() => derContent({ tag: derTag.set, content: bytes('') }, derTag.sequence)).toThrow(
    /expected tag 48/,
  );
  expect(() => derContent(undefined, derTag.sequence)).toThrow(/nothing/);
});

describe('object identifiers', () => {
  test.each([
    ['55 04 03', '2.5.4.3'],
    ['2a 86 48 86 f7 0d 01 01 0b', '1.2.840.113549.1.1.11'],
    ['2b 06 01 04 01 83 c2 41 02', '1.3.6.1.4.1.57665.2'],
    ['00', '0.0'],
    ['88 37 03', '2.999.3'],
    // 2.25 stands above a UUID of 128 bits: more than a double holds exactly.
    ['69 82 b9 d8 a3 c9 a4 c9 fa f1 8d ca a0 d5 c9 b2 d3 ea c9 1f', undefined],
  ])('%s', (hex, text) => {
    if (text === undefined) expect(oid(hex)).toMatch(/^2\.25\.\d{30,}$/);
    else expect(oid(hex)).toBe(text);
  });

  test.each(['', '55 84'])('cut off: "%s"', (hex) => {
    expect(() => oid(hex)).toThrow(/cut off/);
  });
});
