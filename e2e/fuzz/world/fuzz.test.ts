import { afterAll, beforeAll, expect, test } from 'vitest';

import { describeGateway } from '../../scenarios/registration-world.ts';
import { http2Shapes } from '../http2-shapes.ts';
import { type FuzzWorld, startFuzzWorld } from '../world.ts';

const seeds = [1, 2, 3];
const casesPerSeed = 1000;

await describeGateway('what passes differs only as it must', (world) => {
  let fuzz: FuzzWorld;
  beforeAll(async () => {
    fuzz = await startFuzzWorld(world().kube, world().gateway);
  });
  afterAll(() => fuzz.close());

  test('a shape that is well-formed arrives', async () => {
    const lines = (path: string) =>
      http2Shapes.find(({ name }) => name === 'a reset half way')?.lines(path) ?? [];
    const whole = { name: 'whole', lines, data: '0123456789' };
    for (const target of ['http/1.1', 'h2'] as const) expect(await fuzz.shape(whole, target)).toHaveLength(1);
  });

  test.each(http2Shapes)('HTTP/2: $name never arrives whole', async (shape) => {
    for (const target of ['http/1.1', 'h2'] as const) expect(await fuzz.shape(shape, target)).toEqual([]);
    await fuzz.assertAlive();
  });

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
