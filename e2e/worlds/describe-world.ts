import { describe, test } from 'vitest';

import { whyNot } from '../kube/binaries.ts';

/**
 * A `describe` for tests that need real clusters. Where those cannot run the tests are listed as not run, with the reason in
 * the title; with CI=true that is a failure.
 * @example await describeWorld('exec', () => { let world: KubeWorld; beforeAll(async () => { world = await startKubeWorld(); }); … });
 */
export async function describeWorld(
  name: string,
  tests: () => void,
  options: { node?: boolean } = {},
): Promise<void> {
  const reason = await whyNot(options);
  const title = reason === undefined ? name : `${name} (not run: ${reason})`;
  if (reason !== undefined && process.env['CI'] === 'true') {
    test(title, () => {
      throw new Error(`CI must run the real world: ${reason}`);
    });
  }
  describe.runIf(reason === undefined)(title, tests);
}
