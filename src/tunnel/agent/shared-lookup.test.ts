import type { LookupFunction } from 'node:net';
import { expect, test } from 'vitest';
import { createSharedLookup } from './shared-lookup.ts';

type Done = Parameters<LookupFunction>[2];

function recorded() {
  const asked: { host: string; done: Done }[] = [];
  const lookup = createSharedLookup((host, _, done) => void asked.push({ host, done }));
  const answers: unknown[] = [];
  const ask = (host: string, all = true) => lookup(host, { all }, (...answer) => void answers.push(answer));
  return { asked, answers, ask };
}

test('lookups of one name at one time are one, and nothing is kept', () => {
  const { asked, answers, ask } = recorded();
  ask('a');
  ask('a');
  ask('b');
  ask('a', false);
  expect(asked.map(({ host }) => host)).toEqual(['a', 'b', 'a']);
  const found = [{ address: '10.0.0.1', family: 4 }];
  asked[0]?.done(null, found);
  expect(answers).toEqual([
    [null, found],
    [null, found],
  ]);
  ask('a');
  expect(asked).toHaveLength(4);
});

test('all of them hear of a failure', () => {
  const { asked, answers, ask } = recorded();
  ask('a');
  ask('a');
  const error = new Error('ENOTFOUND');
  asked[0]?.done(error, []);
  expect(answers).toEqual([
    [error, []],
    [error, []],
  ]);
});
