import { expect, test } from 'vitest';

import { type MatrixCell, matrixText } from './matrix.ts';

const cell = (release: string, file: string, more: Partial<MatrixCell> = {}): MatrixCell => ({
  ...{ release, file, ok: true, passed: 3, failed: 0, skipped: 0, reasons: [], ms: 1499 },
  ...more,
});

test('a line for each file, a column for each release, and why something was skipped', () => {
  const cells = [
    cell('1.37', 'resource'),
    cell('1.37', 'streams', { ok: false, passed: 1, failed: 2, ms: 61_000 }),
    cell('1.33', 'resource', { ok: false, passed: 0, skipped: 3, reasons: ['its world did not start'] }),
  ];
  expect(matrixText(cells)).toBe(
    `
          hub 1.37                       hub 1.33
resource  ok   3 passed, 1 s             FAIL 0 passed, 3 skipped, 1 s
streams   FAIL 1 passed, 2 failed, 61 s  not run
skipped: resource on 1.33: its world did not start`.slice(1),
  );
});
