import { expect, test } from 'vitest';

import { quantile, ratioOf, spreadOf } from './statistics.ts';

test('quantiles lie between neighbours and need no order', () => {
  expect(quantile([3, 1, 2], 0.5)).toBe(2);
  expect(quantile([4, 1, 3, 2], 0.5)).toBe(2.5);
  expect(quantile(new Float64Array([10, 9, 100]), 1)).toBe(100);
  expect(
    quantile(
      Array.from({ length: 101 }, (_, i) => i),
      0.99,
    ),
  ).toBe(99);
  expect(quantile([], 0.5)).toBeNaN();
});

test('a spread is median, least and most', () => {
  expect(spreadOf([5, 1, 9])).toEqual({ median: 5, least: 1, most: 9 });
});

test('a ratio is that of rounds, not that of medians', () => {
  // Round by round twice as much; the medians would say 3.
  expect(ratioOf([2, 60, 6], [1, 30, 3])).toEqual({ median: 2, least: 2, most: 2 });
  expect(ratioOf([2, undefined, 6, 8], [1, 5, undefined, 2])).toEqual({ median: 3, least: 2, most: 4 });
  expect(ratioOf([1, 4], [0, 2])).toEqual({ median: 2, least: 2, most: 2 });
  expect(ratioOf([1], [undefined]).median).toBeNaN();
});
