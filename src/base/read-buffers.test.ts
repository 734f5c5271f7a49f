import { PerformanceObserver, constants } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { countRead } from './read-buffers.ts';

const mebibyte = 1024 * 1024;

test('what was read is collected after so much of it, and not before', async () => {
  const collections: number[] = [];
  const observer = new PerformanceObserver((list) => {
    // A part of the entry that @types/node does not know.
    for (const entry of list.getEntries() as unknown as { readonly detail: { readonly kind: number } }[])
      collections.push(entry.detail.kind);
  });
  observer.observe({ entryTypes: ['gc'] });
  // Whatever else the process collects is far less often.
  const countedIn = async (times: number, bytes: number) => {
    await sleep(50);
    collections.length = 0;
    for (let time = 0; time < times; time += 1) countRead(bytes);
    await sleep(50);
    return collections.filter((kind) => kind === constants.NODE_PERFORMANCE_GC_MINOR).length;
  };
  expect(await countedIn(15, mebibyte)).toBeLessThan(3);
  expect(await countedIn(160, mebibyte)).toBeGreaterThanOrEqual(10);
  observer.disconnect();
});

test('young buffers are given back, old ones stay', async () => {
  const kept = Buffer.alloc(mebibyte, 7);
  await sleep(20);
  const before = process.memoryUsage().arrayBuffers;
  for (let piece = 0; piece < 2_000; piece += 1) countRead(Buffer.allocUnsafeSlow(64 * 1024).length);
  // 125 MiB were made; what the last two collections have not given back yet, and what another thread frees, is here.
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(70 * mebibyte);
  expect(kept.every((byte) => byte === 7)).toBe(true);
});
