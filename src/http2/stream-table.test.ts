import { expect, test } from 'vitest';
import { StreamTable } from './stream-table.ts';
import { seededRandom } from './testing/hpack-random.ts';

test.each([1, 2, 3, 4, 5])('is what a Map is, whatever comes and goes (%i)', (seed) => {
  const next = seededRandom(seed);
  const table = new StreamTable<{ id: number }>();
  const map = new Map<number, { id: number }>();
  for (let step = 0; step < 20_000; step += 1) {
    // Few numbers, so that many share a place; more come than go for a while, and then the other way.
    const id = 1 + 2 * Math.floor(next() * (step % 4_000 < 2_000 ? 3_000 : 100));
    if (next() < (step % 4_000 < 2_000 ? 0.7 : 0.2)) {
      if (!map.has(id)) {
        const entry = { id };
        table.add(entry);
        map.set(id, entry);
      }
    } else {
      table.delete(id);
      map.delete(id);
    }
    expect(table.get(id)).toBe(map.get(id));
    expect(table.size).toBe(map.size);
  }
  for (const [id, entry] of map) expect(table.get(id)).toBe(entry);
  expect(new Set(table.values())).toEqual(new Set(map.values()));
  for (const id of map.keys()) table.delete(id);
  expect([table.size, table.values()]).toEqual([0, []]);
});

test('numbers that all have one place are told apart', () => {
  const table = new StreamTable<{ id: number }>();
  const entries = [1, 33, 65, 97, 129].map((id) => ({ id }));
  for (const entry of entries) table.add(entry);
  table.delete(33);
  expect(entries.map(({ id }) => table.get(id)?.id)).toEqual([1, undefined, 65, 97, 129]);
  table.delete(1);
  expect(entries.map(({ id }) => table.get(id)?.id)).toEqual([undefined, undefined, 65, 97, 129]);
});
