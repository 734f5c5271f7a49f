import { afterAll, afterEach, beforeAll } from 'vitest';

import { describeWorld } from '../worlds/describe-world.ts';
import { type GatewayOptions, type GatewayProcess, type KubeWorld, startKubeWorld } from '../worlds/kube.ts';
import { type Island, type IslandOptions, startIsland } from './islands.ts';

/** A hub with the gateway behind it, and a cluster that only the tunnel leads to. */
export interface IslandWorld {
  readonly kube: KubeWorld;
  readonly gateway: GatewayProcess;
  readonly island: Island;
}

export interface WithIslandOptions extends IslandOptions {
  /** More of the gateway; it is told where the tunnel's server is. */
  readonly gateway?: GatewayOptions;
}

/**
 * A `describe` with an island of its own (needs root), whose logs are kept when a test failed.
 * @example await withIsland('a cluster without a route', (world) => { test('…', async () => { await world().island.cut(); }); });
 */
export async function withIsland(
  name: string,
  tests: (world: () => IslandWorld) => void,
  options: WithIslandOptions = {},
): Promise<void> {
  const scenarios = (): void => {
    let kube: KubeWorld | undefined;
    let island: Island | undefined;
    let world: IslandWorld | undefined;
    let failed = false;
    beforeAll(async () => {
      [kube, island] = await Promise.all([
        startKubeWorld({ node: false, tunnel: false }),
        startIsland(options),
      ]);
      const { gateway } = options;
      const flags = [
        `--proxy-uds=${island.socketPath}`,
        `--proxy-mode=${options.mode ?? 'grpc'}`,
        ...(gateway?.flags ?? []),
      ];
      world = { kube, island, gateway: await kube.startGateway({ ...gateway, flags }) };
    });
    afterEach(({ task }) => {
      failed ||= task.result?.state === 'fail';
    });
    afterAll(async () => {
      const keep = failed || world === undefined;
      await Promise.all([kube?.stop({ keep }), island?.stop({ keep })]);
      if (failed)
        process.stderr.write(
          `logs of "${name}" are kept in ${kube?.directory ?? '?'} and ${island?.site.directory ?? '?'}\n`,
        );
    });
    tests(() => {
      if (world === undefined) throw new Error('the world has not started');
      return world;
    });
  };
  await describeWorld(name, scenarios, { node: true });
}
