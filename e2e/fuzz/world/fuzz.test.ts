import { afterAll, beforeAll, expect, test } from 'vitest';

import { describeGateway } from '../../scenarios/registration-world.ts';
import { type FuzzWorld, startFuzzWorld } from '../world.ts';

const seeds = [1, 2, 3];
const casesPerSeed = 1000;

await describeGateway('what passes differs only as it must', (world) => {
  let fuzz: FuzzWorld;
  beforeAll(async () => {
    fuzz = await startFuzzWorld(world().kube, world().gateway);
  });
  afterAll(() => fuzz.close());

  test.each(seeds)('%i', async (seed) => {
    const found: string[] = [];
    const { cases, arrived } = await fuzz.fuzzer.run({
      seed,
      goOn: (count) => count < casesPerSeed && found.length < 10,
      onDifference: ({ fuzzCase, differences }) =>
        found.push(`${differences.join('\n  ')}\n  ${JSON.stringify(fuzzCase)}`),
      batch: 250,
      onBatch: () => fuzz.assertAlive(),
    });
    expect(found).toEqual([]);
    expect(cases).toBe(casesPerSeed);
    // Where all is refused nothing is compared.
    expect(arrived).toBeGreaterThan(casesPerSeed / 4);
  });
});
