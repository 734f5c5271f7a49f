import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { RequestTurns } from './request-turns.ts';

function requests() {
  const begun: number[] = [];
  const gone = new Set<number>();
  const turns = new RequestTurns(2);
  const add = (id: number) => turns.add({ isGone: () => gone.has(id), begin: () => begun.push(id) });
  return { begun, gone, add };
}

test('so many begin at once, the others in order, so many in each turn', async () => {
  const { begun, add } = requests();
  for (let id = 0; id < 5; id += 1) add(id);
  expect(begun).toEqual([0, 1]);
  await turn();
  expect(begun).toEqual([0, 1, 2, 3]);
  add(5);
  await turn();
  expect(begun).toEqual([0, 1, 2, 3, 4, 5]);
  await turn();
  for (let id = 6; id < 9; id += 1) add(id);
  expect(begun).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
});

test('one that comes later does not overtake', async () => {
  const { begun, add } = requests();
  for (let id = 0; id < 7; id += 1) add(id);
  await turn();
  add(7);
  for (let i = 0; i < 3; i += 1) await turn();
  expect(begun).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
});

test('one whose caller went away is not begun, and takes no turn', async () => {
  const { begun, gone, add } = requests();
  for (let id = 0; id < 100; id += 1) add(id);
  for (let id = 2; id < 97; id += 1) gone.add(id);
  await turn();
  expect(begun).toEqual([0, 1, 97, 98]);
  await turn();
  expect(begun).toEqual([0, 1, 97, 98, 99]);
});
