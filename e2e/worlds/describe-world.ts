import { describe, test } from 'vitest';

import { whyNot } from '../kube/binaries.ts';
import { throughTunnel } from '../tunnel/world-tunnel.ts';

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

/**
 * A `test` of what is so only where the gateway itself connects to the cluster: with ENDPOINT=tunnel it is listed as not run,
 * with the reason.
 * @example needsDirect('proxy-url does not combine with ClusterProxy')('a proxy that is asked for a name', async () => { … });
 */
export function needsDirect(reason: string): (title: string, body: () => Promise<void>) => void {
  return (title, body) => {
    if (throughTunnel) test.skip(`${title} (not run: it needs a direct endpoint: ${reason})`, body);
    else test(title, body);
  };
}
