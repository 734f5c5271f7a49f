import { expect, test } from 'vitest';

import { readArguments } from './arguments.ts';

test('the seed and the seconds are read', () => {
  expect(readArguments(['--seed', '7', '--seconds', '30'], 1)).toEqual({ seed: 7, seconds: 30 });
  expect(readArguments([], 12)).toEqual({ seed: 12, seconds: Infinity });
});

test.each([
  ['--seed', 'x'],
  ['--seconds', '-1'],
  ['--sed', '1'],
])('%s %s is refused', (...args) => {
  expect(() => readArguments(args, 1)).toThrow();
});
