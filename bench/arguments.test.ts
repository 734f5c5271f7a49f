import { expect, test } from 'vitest';

import { readArguments } from './arguments.ts';

test('without arguments all rows are run over five rounds', () => {
  expect(readArguments([])).toEqual({
    ...{ rows: [], peers: [], rounds: 5, quick: false },
    ...{ json: undefined, nodeFlags: [] },
  });
});

test('a developer at work takes some rows, quickly', () => {
  const read = readArguments(['--row', '1', '--row=3', '--quick', '--peer', 'ours', '--json', 'a.json']);
  expect(read).toMatchObject({ rows: [1, 3], peers: ['ours'], rounds: 2, quick: true, json: 'a.json' });
  expect(readArguments(['--quick', '--rounds', '7']).rounds).toBe(7);
  expect(readArguments(['--node-flag=--cpu-prof']).nodeFlags).toEqual(['--cpu-prof']);
});

test.each([['--row', 'x'], ['--row=0'], ['--rounds=-1'], ['--rounds', '1.5'], ['--speed'], ['1']])(
  '%s is refused',
  (...argv) => {
    expect(() => readArguments(argv)).toThrow();
  },
);
