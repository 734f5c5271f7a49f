import { resolve } from 'node:path';
import { expect, test } from 'vitest';

import { program } from '../../e2e/tunnel/server.ts';
import { measuredCommand } from './as-measured.ts';

const built = resolve(import.meta.dirname, '../../dist/cli/main.js');

test('our server is the built one, with the flags that it has otherwise', async () => {
  const started = await program('ours', 'tunnel-server', { flags: ['--mode=grpc'] });
  const { command, args } = measuredCommand(started, { core: '0', nodeFlags: ['--cpu-prof'] });
  expect(command).toBe('env');
  expect(args.slice(0, 4)).toEqual(['taskset', '-c', '0', process.execPath]);
  expect(args.slice(-4)).toEqual(['--cpu-prof', built, 'tunnel-server', '--mode=grpc']);
});

test('something else of Node is not taken for our program', () => {
  const how = { core: undefined, nodeFlags: [] };
  expect(() => measuredCommand({ command: process.execPath, args: ['x.ts'] }, how)).toThrow('does not start');
});

test('the Go programs have one thread, as they have one core', () => {
  const { args } = measuredCommand(
    { command: '/go/server', args: ['-a'] },
    { core: undefined, nodeFlags: [] },
  );
  expect(args).toEqual(['GOMAXPROCS=1', '/go/server', '-a']);
});
