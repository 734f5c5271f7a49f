import { expect, test } from 'vitest';

import { readArguments } from './arguments.ts';

test('the minutes of a soak', () => {
  expect(readArguments([])).toEqual({ minutes: 30 });
  expect(readArguments(['--minutes', '240'])).toEqual({ minutes: 240 });
  for (const wrong of ['1', 'x', '-1', '1.5', ''])
    expect(() => readArguments([`--minutes=${wrong}`])).toThrow('--minutes must be a number');
  expect(() => readArguments(['--hours', '1'])).toThrow('hours');
});
