import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

import { nodeFlags } from '../e2e/worlds/node-flags.ts';

test('what is measured and tested has the flags of the image', () => {
  const dockerfile = readFileSync(join(import.meta.dirname, '../Dockerfile'), 'utf8');
  const [, flags = ''] = /exec node (.*?) \/app\/dist\/cli\/main\.js/.exec(dockerfile) ?? [];
  expect(flags.split(' ')).toEqual([...nodeFlags]);
});
