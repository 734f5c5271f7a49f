import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { seededRandom } from '../http2/testing/hpack-random.ts';
import { until } from '../http2/testing/joined-sockets.ts';
import { PieceQueue } from './piece-queue.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
const mebibyte = 1024 * 1024;

test('gives pieces in the order in which they came, however many wait', () => {
  const random = seededRandom(1);
  const queue = new PieceQueue();
  const [came, went]: [Buffer[], Buffer[]] = [[], []];
  const wrong: number[] = [];
  for (let i = 0; i < 40_000; i += 1) {
    // More and more wait, then fewer and fewer.
    if (random() < (i < 20_000 ? 0.7 : 0.3)) {
      const piece = Buffer.from([came.length]);
      came.push(piece);
      queue.push(piece);
    } else {
      const piece = queue.take();
      if (piece) went.push(piece);
    }
    if (queue.isEmpty !== (came.length === went.length)) wrong.push(i);
  }
  expect(wrong).toEqual([]);
  expect(went.length).toBeGreaterThan(15_000);
  expect(went.every((piece, i) => piece === came[i])).toBe(true);
  queue.push(Buffer.alloc(1));
  queue.clear();
  expect([queue.isEmpty, queue.take()]).toEqual([true, undefined]);
});

test('does not keep what was taken', async () => {
  const queue = new PieceQueue();
  for (let i = 0; i < 32; i += 1) queue.push(Buffer.alloc(mebibyte));
  collect();
  const before = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 31; i += 1) queue.take();
  // Their memory is given back some time after they are found to be garbage.
  await until(() => {
    collect();
    return before - process.memoryUsage().arrayBuffers > 24 * mebibyte;
  });
  expect(queue.take()).toHaveLength(mebibyte);
});

test('does not grow where some always wait', () => {
  const queue = new PieceQueue();
  const piece = Buffer.alloc(1);
  queue.push(piece);
  collect();
  const before = process.memoryUsage().heapUsed;
  for (let i = 0; i < 2 * mebibyte; i += 1) {
    queue.push(piece);
    queue.take();
  }
  collect();
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(4 * mebibyte);
  expect(queue.isEmpty).toBe(false);
});
