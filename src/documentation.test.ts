import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { agentFlags } from './app/agent-flags.ts';
import { gatewayFlags } from './app/gateway-flag-table.ts';
import type { Flag } from './app/flag.ts';
import { tunnelServerFlags } from './app/tunnel-server-flag-table.ts';

const root = join(import.meta.dirname, '..');
const readme = readFileSync(join(root, 'README.md'), 'utf8').replaceAll(/ +/g, ' ');

test('the README has a row for every flag, with its default and its meaning', () => {
  const missing = Object.entries<Flag>(gatewayFlags)
    .filter(([, flag]) => !flag.hidden)
    .map(([name, flag]) => `| \`--${name}\` | ${flag.default ? `\`${flag.default}\` ` : ''}| ${flag.help} |`)
    .filter((row) => !readme.includes(row));
  expect(missing).toEqual([]);
});

test.each([
  ['tunnel-server', tunnelServerFlags],
  ['agent', agentFlags],
] as [string, Record<string, Flag>][])('docs/tunnel.md has a row for every flag of %s', (_, flags) => {
  const page = readFileSync(join(root, 'docs/tunnel.md'), 'utf8').replaceAll(/ +/g, ' ');
  const missing = Object.entries(flags)
    .filter(([, flag]) => !flag.hidden)
    .map(([name, flag]) => `| \`--${name}\` | ${flag.default ? `\`${flag.default}\` ` : ''}| ${flag.help} |`)
    .filter((row) => !page.includes(row));
  expect(missing).toEqual([]);
});

test('the README gives a reason for every dependency', () => {
  const manifest = z
    .object({ dependencies: z.record(z.string(), z.string()) })
    .parse(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')));
  const section = readme.slice(readme.indexOf('## Dependencies'));
  expect(Object.keys(manifest.dependencies).filter((name) => !section.includes(name))).toEqual([]);
});
