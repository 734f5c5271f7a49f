import { expect, test } from 'vitest';

import { runRounds } from './rounds.ts';

test('peers take turns, and each round begins with another', async () => {
  const order: string[] = [];
  const results = await runRounds({
    names: ['ours', 'go', 'node'],
    rounds: 3,
    measure: (name) => Promise.resolve({ turn: order.push(name) }),
  });
  expect(order.join(' ')).toBe('ours go node go node ours node ours go');
  expect(results).toEqual([
    { name: 'ours', samples: [{ turn: 1 }, { turn: 6 }, { turn: 8 }] },
    { name: 'go', samples: [{ turn: 2 }, { turn: 4 }, { turn: 9 }] },
    { name: 'node', samples: [{ turn: 3 }, { turn: 5 }, { turn: 7 }] },
  ]);
});

test('a peer that fails is not asked again, and the others go on', async () => {
  let asked = 0;
  const [ours, go] = await runRounds({
    names: ['ours', 'go'],
    rounds: 3,
    measure: (name) => {
      if (name === 'ours') return Promise.resolve({ figure: 1 });
      asked += 1;
      return asked === 1 ? Promise.resolve({ figure: 2 }) : Promise.reject(new Error('it stopped'));
    },
  });
  expect(ours?.samples).toHaveLength(3);
  expect(go).toEqual({ name: 'go', samples: [{ figure: 2 }, undefined, undefined], trouble: 'it stopped' });
  expect(asked).toBe(2);
});
