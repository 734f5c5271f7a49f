import { afterAll, afterEach, beforeAll } from 'vitest';

import { describeWorld } from '../worlds/describe-world.ts';
import { type Konnectivity, type KonnectivityOptions, startKonnectivity } from './konnectivity.ts';

/** A `describe` with such a cluster of its own (needs root), whose logs are kept when a test failed. */
export async function withKonnectivity(
  name: string,
  tests: (world: () => Konnectivity) => void,
  options: KonnectivityOptions,
): Promise<void> {
  const scenarios = (): void => {
    let world: Konnectivity | undefined;
    let failed = false;
    beforeAll(async () => {
      world = await startKonnectivity(options);
    });
    afterEach(({ task }) => {
      failed ||= task.result?.state === 'fail';
    });
    afterAll(async () => {
      await world?.stop({ keep: failed });
      if (failed) process.stderr.write(`logs of "${name}" are kept in ${world?.site.directory ?? '?'}\n`);
    });
    tests(() => {
      if (world === undefined) throw new Error('the world has not started');
      return world;
    });
  };
  await describeWorld(name, scenarios, { node: true });
}
