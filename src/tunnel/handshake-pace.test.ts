import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { HandshakePace } from './handshake-pace.ts';

test('begins so many in a turn of the event loop, in the order in which they came', async () => {
  const begun: number[] = [];
  const pace = new HandshakePace<number>((connection) => begun.push(connection), 2);
  for (const connection of [1, 2, 3, 4, 5]) pace.add(connection);
  expect(begun).toEqual([]);
  await turn();
  expect(begun).toEqual([1, 2]);
  pace.add(6);
  await turn();
  expect([begun, pace.waiting]).toEqual([[1, 2, 3, 4], 2]);
  await turn();
  expect([begun, pace.waiting]).toEqual([[1, 2, 3, 4, 5, 6], 0]);
  pace.add(7);
  await turn();
  expect(begun.at(-1)).toBe(7);
});

test('one that has gone takes nobody’s turn', async () => {
  const begun: number[] = [];
  const pace = new HandshakePace<number>((connection) => begun.push(connection), 2);
  for (const connection of [1, 2, 3, 4]) pace.add(connection);
  pace.remove(1);
  pace.remove(3);
  expect(pace.waiting).toBe(2);
  await turn();
  expect(begun).toEqual([2, 4]);
});
