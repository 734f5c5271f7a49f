import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { UnreadableEvent, jsonLines, readBody } from './response-body.ts';

const bodyOf = (chunks: readonly Buffer[]) => ({
  status: 200,
  headers: [],
  body: Readable.from(chunks),
  trailers: () => [],
});

function cutAtRandom(bytes: Buffer): Buffer[] {
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = 1 + Math.floor(Math.random() * 9);
    chunks.push(bytes.subarray(at, at + length));
    at += length;
  }
  return chunks;
}

async function linesOf(chunks: readonly Buffer[], max = 1000): Promise<unknown[]> {
  const found: unknown[] = [];
  for await (const value of jsonLines(Readable.from(chunks), max)) found.push(value);
  return found;
}

describe('lines', () => {
  test('come whole, however they are cut', async () => {
    const values = [{ a: 'ä€🎈' }, [], 'x'.repeat(50), null, { b: '\n' }, 7];
    const bytes = Buffer.from(values.map((value) => `${JSON.stringify(value)}\n`).join(''));
    for (let round = 0; round < 200; round += 1) expect(await linesOf(cutAtRandom(bytes))).toEqual(values);
    expect(await linesOf([bytes])).toEqual(values);
  });

  test('empty ones and CRLF do not count, half of one neither', async () => {
    expect(await linesOf([Buffer.from('\n1\r\n\n 2 \n{"a"')])).toEqual([1, 2]);
  });

  test('one that is no JSON ends them, without its text', async () => {
    const error: unknown = await linesOf([Buffer.from('1\nsecret\n2\n')]).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(UnreadableEvent);
    expect(`${String(error)} ${JSON.stringify(error)} ${String((error as Error).cause)}`).not.toContain(
      'secret',
    );
  });

  test('a line that is too long ends them before its end has come, and also in one piece', async () => {
    const endless = async function* () {
      await Promise.resolve();
      for (;;) yield Buffer.alloc(100, 'x');
    };
    const read = async () => {
      for await (const value of jsonLines(Readable.from(endless()), 1000)) expect(value).toBe('none');
    };
    await expect(read()).rejects.toMatchObject({ kind: 'too-large' });
    await expect(linesOf([Buffer.from(`"${'x'.repeat(1000)}"\n`)])).rejects.toMatchObject({
      kind: 'too-large',
    });
    expect(await linesOf([Buffer.from(`"${'x'.repeat(998)}"\n`)])).toHaveLength(1);
  });

  test('a long line costs as much as its length', async () => {
    const chunk = Buffer.alloc(1024, 'x');
    const chunks = [Buffer.from('"'), ...Array.from({ length: 15_000 }, () => chunk), Buffer.from('"\n')];
    const startedAt = performance.now();
    expect(await linesOf(chunks, 16 * 1024 * 1024)).toHaveLength(1);
    expect(performance.now() - startedAt).toBeLessThan(2000);
  });
});

describe('a body', () => {
  test('is UTF-8 across chunks', async () => {
    const text = 'schön 🎈';
    expect(await readBody(bodyOf([...Buffer.from(text)].map((byte) => Buffer.from([byte]))), 100)).toBe(text);
  });

  test('is read to its bound, and then let go', async () => {
    const answer = bodyOf([Buffer.alloc(60), Buffer.alloc(60), Buffer.alloc(60)]);
    await expect(readBody(answer, 100)).rejects.toMatchObject({ kind: 'too-large' });
    expect(answer.body.destroyed).toBe(true);
  });
});
