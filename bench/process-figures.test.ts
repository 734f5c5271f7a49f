import { expect, test } from 'vitest';

import { figuresOf, resetPeak } from './process-figures.ts';

const mib = 1024 * 1024;

test('CPU time of a process grows by what it worked', () => {
  const before = figuresOf(process.pid);
  const used = process.cpuUsage();
  while (process.cpuUsage(used).user < 200_000);
  const { user, system } = process.cpuUsage(used);
  const counted = figuresOf(process.pid).cpuSeconds - before.cpuSeconds;
  expect(counted).toBeGreaterThan((0.7 * (user + system)) / 1e6);
  expect(counted).toBeLessThan((1.5 * (user + system)) / 1e6 + 0.1);
});

test('the peak of memory is that since its reset', () => {
  const { rss, peakRss } = figuresOf(process.pid);
  expect(peakRss).toBeGreaterThanOrEqual(rss);
  resetPeak(process.pid);
  const before = figuresOf(process.pid).peakRss;
  const much = Buffer.alloc(100 * mib, 1);
  expect(figuresOf(process.pid).peakRss - before).toBeGreaterThan(90 * mib);
  expect(much.length).toBe(100 * mib);
});
