import { Counter, Histogram, Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { createCounter, createHistogram } from './counted-series.ts';

const buckets = [0.1, 1, 10];
const help = 'Something.';

test('is told as prom-client tells it', async () => {
  const [ours, theirs] = [new Registry(), new Registry()];
  const counter = createCounter({ registry: ours, name: 'a_total', help, labelNames: ['kind'] });
  const histogram = createHistogram({
    registry: ours,
    name: 'b_seconds',
    help,
    labelNames: ['kind'],
    buckets,
  });
  const sameCounter = new Counter({ name: 'a_total', help, labelNames: ['kind'], registers: [theirs] });
  const options = { name: 'b_seconds', help, labelNames: ['kind'], buckets, registers: [theirs] };
  const sameHistogram = new Histogram(options);
  for (const kind of ['x', 'y"\n']) {
    const [count, observations] = [counter.series({ kind }), histogram.series({ kind })];
    for (const value of [0, 0.1, 0.100001, 1, 5, 10, 11, 1e9]) {
      count.inc();
      observations.observe(value);
      sameCounter.inc({ kind });
      sameHistogram.observe({ kind }, value);
    }
  }
  const sorted = async (registry: Registry) => (await registry.metrics()).split('\n').sort();
  expect(await sorted(ours)).toEqual(await sorted(theirs));
  // Nothing is told twice.
  expect(await sorted(ours)).toEqual(await sorted(theirs));
});

test('a series that was removed is gone, and one with its labels begins anew', async () => {
  const registry = new Registry();
  const counter = createCounter({ registry, name: 'a_total', help, labelNames: ['kind'] });
  counter.series({ kind: 'x' }).inc();
  expect(await registry.metrics()).toContain('a_total{kind="x"} 1');
  counter.remove({ kind: 'x' });
  expect(await registry.metrics()).not.toContain('a_total{');
  counter.series({ kind: 'x' }).inc();
  expect(await registry.metrics()).toContain('a_total{kind="x"} 1');
});

test('the same labels are one series', async () => {
  const registry = new Registry();
  const counter = createCounter({ registry, name: 'a_total', help, labelNames: ['kind', 'other'] });
  counter.series({ kind: 'x', other: 'y' }).inc();
  counter.series({ other: 'y', kind: 'x' }).inc();
  expect(await registry.metrics()).toContain('a_total{kind="x",other="y"} 2');
});
