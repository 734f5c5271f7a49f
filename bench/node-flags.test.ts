import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

import { agentNodeFlags, nodeFlags } from '../e2e/worlds/node-flags.ts';

test('what is measured and tested has the flags of the image', () => {
  const dockerfile = readFileSync(join(import.meta.dirname, '../Dockerfile'), 'utf8');
  const [, flags = ''] = /exec node (.*?) \/app\/dist\/cli\/main\.js/.exec(dockerfile) ?? [];
  const entries = [...dockerfile.matchAll(/&& entry \/\S+ (\S+) (\d+)/g)];
  expect(
    Object.fromEntries(entries.map(([, role, size = '']) => [role, flags.replace('%s', size).split(' ')])),
  ).toEqual({ apiserver: [...nodeFlags], 'tunnel-server': [...nodeFlags], agent: [...agentNodeFlags] });
});
