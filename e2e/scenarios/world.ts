import { afterAll, afterEach, beforeAll } from 'vitest';

import { describeWorld } from '../worlds/describe-world.ts';
import {
  type GatewayOptions,
  type GatewayProcess,
  type KubeCluster,
  type KubeWorld,
  startKubeWorld,
} from '../worlds/kube.ts';
import { type Registered, registerCluster, type RegisterOptions } from '../worlds/register.ts';

/** A cluster as scenarios use it. */
export type WorldCluster = Pick<
  KubeCluster,
  'name' | 'url' | 'kubeconfig' | 'caPem' | 'auditLog' | 'log' | 'api' | 'user' | 'stop' | 'start'
>;

/** The gateway of a world. */
export type WorldGateway = Pick<GatewayProcess, 'log' | 'stop' | 'restart'>;

export type ClusterName = 'hub' | 'a' | 'b';

/** What a scenario needs: a hub with the gateway behind it, two clusters, and kubectl. */
export interface World {
  /** Folder that tests may put files into. */
  readonly directory: string;
  readonly hub: WorldCluster;
  readonly a: WorldCluster;
  readonly b: WorldCluster;
  readonly gateway: WorldGateway;
  /** Runs kubectl to its end. */
  readonly kubectl: KubeWorld['kubectl'];
  /** Starts kubectl with pipes, or on a terminal; whoever starts it ends it. */
  readonly spawnKubectl: KubeWorld['spawnKubectl'];
  /** Writes the Secret of a cluster at the hub. */
  register(name: string, options: RegisterAs): Promise<Registered>;
  /** Starts the controllers of a cluster: Deployments, namespaces' ends, aggregated roles. */
  startControllers(cluster: ClusterName): Promise<void>;
}

/** As {@link RegisterOptions}, the cluster by its name. */
export type RegisterAs = Omit<RegisterOptions, 'cluster'> & { readonly cluster: ClusterName };

export interface ScenarioOptions {
  /** Whether cluster a runs pods. Default false. */
  readonly node?: boolean;
  readonly gateway?: GatewayOptions;
}

/**
 * A `describe` with a world of its own; its logs and audit files are kept when a test failed, and the folder is named.
 * @example await describeScenarios('exec', (world) => { test('…', async () => { await world().kubectl(…); }); }, { node: true });
 */
export async function describeScenarios(
  name: string,
  tests: (world: () => World) => void,
  { node = false, gateway = {} }: ScenarioOptions = {},
): Promise<void> {
  const scenarios = (): void => {
    let kube: KubeWorld | undefined;
    let world: World | undefined;
    let failed = false;
    beforeAll(async () => {
      kube = await startKubeWorld({ node });
      world = withGateway(kube, await kube.startGateway(gateway));
    });
    afterEach(({ task }) => {
      failed ||= task.result?.state === 'fail';
    });
    afterAll(async () => {
      await kube?.stop({ keep: failed || world === undefined });
      if (failed) process.stderr.write(`logs of "${name}" are kept in ${kube?.directory ?? '?'}\n`);
    });
    tests(() => {
      if (world === undefined) throw new Error('the world has not started');
      return world;
    });
  };
  await describeWorld(name, scenarios, { node });
}

function withGateway(kube: KubeWorld, gateway: GatewayProcess): World {
  return {
    ...kube,
    gateway,
    register: (name, { cluster, ...rest }) =>
      registerCluster(kube, name, { cluster: kube[cluster], ...rest }),
  };
}

/** Where kubectl's `--server` must lead for a cluster that is registered under this name. */
export function proxyUrl({ hub }: { readonly hub: Pick<WorldCluster, 'url'> }, name: string): string {
  return `${hub.url}/apis/cluster.core.oam.dev/v1alpha1/clustergateways/${name}/proxy`;
}
