import { describe, expect, test } from 'vitest';
import { parseGoDuration } from './go-duration.ts';

describe('durations, as Go reads them', () => {
  test.each([
    ['0', 0],
    ['+0', 0],
    ['-0', 0],
    ['0s', 0],
    ['10s', 10_000],
    ['1m30s', 90_000],
    ['1.5h', 5_400_000],
    ['.5s', 500],
    ['1.s', 1000],
    ['-5s', -5000],
    ['+5s', 5000],
    ['100us', 0.1],
    ['100µs', 0.1],
    ['100μs', 0.1],
    ['1h1h', 7_200_000],
  ])('%s is %d ms', (text, expected) => {
    expect(parseGoDuration(text)).toBeCloseTo(expected, 9);
  });

  test.each([
    ['', 'time: invalid duration ""'],
    ['-', 'time: invalid duration "-"'],
    ['abc', 'time: invalid duration "abc"'],
    ['.s', 'time: invalid duration ".s"'],
    ['- 5s', 'time: invalid duration "- 5s"'],
    ['--5s', 'time: invalid duration "--5s"'],
    ['5', 'time: missing unit in duration "5"'],
    ['5s3', 'time: missing unit in duration "5s3"'],
    ['5d', 'time: unknown unit "d" in duration "5d"'],
    ['5 s', 'time: unknown unit " s" in duration "5 s"'],
    ['5toString', 'time: unknown unit "toString" in duration "5toString"'],
    ['9999999h', 'time: invalid duration "9999999h"'],
    ['1e400s', 'time: unknown unit "e" in duration "1e400s"'],
  ])('%j is none: %s', (text, expected) => {
    expect(() => parseGoDuration(text)).toThrow(expected);
  });
});
