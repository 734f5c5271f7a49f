import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';

import { attackItems } from './items.ts';

const root = join(import.meta.dirname, '..');

/** The titles in a file and in those beside it or above it that it imports. */
function titlesOf(file: string): readonly string[] {
  const reached = new Set([join(root, file)]);
  const titles: string[] = [];
  for (const path of reached) {
    const source = readFileSync(path, 'utf8');
    for (const [, imported = ''] of source.matchAll(/ from '(\.\.?\/[\w./-]+\.ts)'/g))
      reached.add(join(dirname(path), imported));
    for (const [, , title = ''] of source.matchAll(/[([]\s*(['"`])((?:(?!\1).)*)\1,/g)) titles.push(title);
  }
  return titles;
}

describe('attacks', () => {
  test.each(attackItems.map((item) => [item.from, item] as const))('%s has tests', (_, { tests }) => {
    expect(tests.length).toBeGreaterThan(0);
    for (const [file, title] of tests) {
      expect(existsSync(join(root, file)), file).toBe(true);
      const found = titlesOf(file).filter((each) => each.startsWith(title));
      expect(found, `${file}: ${title}`).not.toEqual([]);
    }
  });

  test('each item stands once', () => {
    expect(new Set(attackItems.map(({ from }) => from)).size).toBe(attackItems.length);
  });
});
