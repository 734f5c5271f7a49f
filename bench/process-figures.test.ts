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
  const much = new ArrayBuffer(150 * mib);
  new Uint8Array(much).fill(1);
  // Given back at once, not when garbage is collected.
  much.transfer(0);
  const { rss, peakRss } = figuresOf(process.pid);
  expect(peakRss - rss).toBeGreaterThan(50 * mib);
  resetPeak(process.pid);
  expect(figuresOf(process.pid).peakRss - rss).toBeLessThan(40 * mib);
});
