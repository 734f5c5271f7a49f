import { describe, expect, test } from 'vitest';

import { median, slope } from './statistics.ts';
import { growthOf, problemsOf, type Sample, unexplained } from './verdict.ts';

const sample = (second: number, rssMiB = 100, sockets = 20): Sample => ({
  ...{ second, rssMiB, sockets, heapMiB: 50, externalMiB: 5 },
  files: sockets + 30,
});
const samples = (rss: (i: number) => number): Sample[] =>
  Array.from({ length: 60 }, (_, i) => sample(i * 30, rss(i)));
const flat = { before: sample(0), after: sample(1830), samples: samples(() => 100), failures: [], lost: [] };

test('median and slope', () => {
  expect([median([3, 1, 2]), median([4, 1, 2, 3]), median([])]).toEqual([2, 2.5, NaN]);
  expect(
    slope([
      [0, 1],
      [1, 3],
      [2, 5],
    ]),
  ).toBeCloseTo(2);
  expect(
    slope([
      [1, 1],
      [1, 9],
    ]),
  ).toBe(0);
});

describe('the verdict', () => {
  test('a flat run has no problem, and neither has one that only warms up or has one peak', () => {
    expect(problemsOf(flat)).toEqual([]);
    expect(problemsOf({ ...flat, samples: samples((i) => (i < 20 ? 60 + 2 * i : 100)) })).toEqual([]);
    expect(problemsOf({ ...flat, samples: samples((i) => (i === 57 ? 400 : 100)) })).toEqual([]);
  });

  test('memory that grows all the time', () => {
    const growing = samples((i) => 100 + i / 2);
    expect(growthOf(growing)).toBeCloseTo(15);
    expect(problemsOf({ ...flat, samples: samples((i) => 100 + i) })).toEqual([
      'resident memory grew by 30.0 MiB from early to late',
    ]);
  });

  test('too few samples', () => {
    expect(problemsOf({ ...flat, samples: flat.samples.slice(0, 5) })).toEqual([
      'only 5 samples: too few to tell',
    ]);
  });

  test('sockets that stay', () => {
    expect(problemsOf({ ...flat, after: sample(1830, 100, 33) })).toEqual([
      '63 files are open after the load, 50 were before it',
      '33 sockets are open after the load, 20 were before it',
    ]);
    expect(problemsOf({ ...flat, after: sample(1830, 100, 32) })).toEqual([]);
  });

  test('failures and losses', () => {
    const failures = [{ what: '503', cluster: 'a', at: 1, ms: 20 }];
    expect(problemsOf({ ...flat, failures, lost: ['x is there twice'] })).toEqual([
      'a: 503 after 20 ms',
      'x is there twice',
    ]);
  });
});

test('only an outage of the same cluster, at the same time, explains a failure', () => {
  const failure = (cluster: string, at: number, ms: number) => ({ what: '503', cluster, at, ms });
  const outages = [{ cluster: 'b', from: 100, to: 200 }];
  const [before, into, within, outOf, after, other] = [
    failure('b', 50, 40),
    failure('b', 50, 60),
    failure('b', 150, 1),
    failure('b', 199, 50),
    failure('b', 200, 1),
    failure('a', 150, 1),
  ];
  expect(unexplained([before, into, within, outOf, after, other], outages)).toEqual([before, after, other]);
});
