import { describe, expect, test } from 'vitest';
import { clientPreface, errorCode } from './frame.ts';
import { PrefaceReader } from './preface.ts';

describe('the preface', () => {
  const behind = Buffer.from('what comes next');

  test('is taken off the front, wherever it is cut', () => {
    const all = Buffer.concat([clientPreface, behind]);
    for (let at = 0; at <= all.length; at += 1) {
      const reader = new PrefaceReader();
      const given = [reader.read(all.subarray(0, at))];
      expect(reader.isDone).toBe(at >= clientPreface.length);
      given.push(reader.isDone ? all.subarray(at) : reader.read(all.subarray(at)));
      expect(reader.isDone).toBe(true);
      expect(Buffer.concat(given).toString()).toBe(behind.toString());
    }
  });

  test('byte by byte', () => {
    const reader = new PrefaceReader();
    for (const byte of clientPreface) {
      expect(reader.isDone).toBe(false);
      expect(reader.read(Buffer.from([byte]))).toHaveLength(0);
    }
    expect(reader.isDone).toBe(true);
  });

  test('any byte that is another is refused as soon as it is there', () => {
    for (let at = 0; at < clientPreface.length; at += 1) {
      const other = Buffer.from(clientPreface);
      other[at] = (other[at] ?? 0) ^ 0x20;
      const reader = new PrefaceReader();
      reader.read(other.subarray(0, at));
      expect(() => reader.read(other.subarray(at, at + 1))).toThrow(
        expect.objectContaining({ code: errorCode.protocolError }),
      );
      expect(() => new PrefaceReader().read(other)).toThrow('not the preface');
    }
  });

  test('HTTP/1.1 is none', () => {
    expect(() => new PrefaceReader().read(Buffer.from('GET / HTTP/1.1\r\n'))).toThrow('not the preface');
  });
});
