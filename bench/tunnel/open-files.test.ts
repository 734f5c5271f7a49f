import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

import { openFilesOf, within } from './open-files.ts';

test('there are no more agents than the server may have open files', () => {
  expect(within(10_000, 20_000)).toBe(10_000);
  expect(within(10_000, 4096)).toBe(3596);
  expect(within(10_000, 256)).toBe(0);
});

test('the hard limit is what counts: Node and Go raise the soft one by themselves', () => {
  const limits = (hard: string): string =>
    `Limit                     Soft Limit           Hard Limit           Units\nMax open files            1024                 ${hard}               files\n`;
  expect(openFilesOf(limits('20000'))).toBe(20_000);
  expect(openFilesOf(limits('unlimited'))).toBe(Infinity);
  expect(openFilesOf('')).toBe(0);
  expect(openFilesOf(readFileSync('/proc/self/limits', 'utf8'))).toBeGreaterThan(0);
});
