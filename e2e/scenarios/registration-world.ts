import { afterAll, afterEach, beforeAll } from 'vitest';

import { describeWorld } from '../worlds/describe-world.ts';
import { type GatewayOptions, type GatewayProcess, type KubeWorld, startKubeWorld } from '../worlds/kube.ts';
import { type Client, createClient } from './registration-client.ts';

/** A hub and two clusters without pods, the gateway, and clients that send what they are told. */
export interface GatewayWorld {
  readonly kube: KubeWorld;
  readonly gateway: GatewayProcess;
  /** An administrator at the hub. */
  readonly hub: Client;
  /** An administrator of the hub, directly at the gateway. */
  readonly direct: Client;
}

/** Path of a cluster's API below the hub. */
export const proxyPath = (name: string, path = ''): string =>
  `/apis/cluster.core.oam.dev/v1alpha1/clustergateways/${name}/proxy${path}`;

/** A `describe` with a world of its own, whose logs are kept when a test failed. */
export async function describeGateway(
  name: string,
  tests: (world: () => GatewayWorld) => void,
  options: GatewayOptions = {},
): Promise<void> {
  const scenarios = (): void => {
    let kube: KubeWorld | undefined;
    let world: GatewayWorld | undefined;
    let failed = false;
    beforeAll(async () => {
      kube = await startKubeWorld({ node: false });
      const gateway = await kube.startGateway(options);
      world = { kube, gateway, hub: adminOf(kube, kube.hub), direct: adminOf(kube, gateway) };
    });
    afterEach(({ task }) => {
      failed ||= task.result?.state === 'fail';
    });
    afterAll(async () => {
      world?.hub.close();
      world?.direct.close();
      await kube?.stop({ keep: failed || world === undefined });
      if (failed) process.stderr.write(`logs of "${name}" are kept in ${kube?.directory ?? '?'}\n`);
    });
    tests(() => {
      if (world === undefined) throw new Error('the world has not started');
      return world;
    });
  };
  await describeWorld(name, scenarios, { node: false });
}

/** A client with the hub administrator's certificate. */
export function adminOf({ hub }: KubeWorld, { url, caPem }: { url: string; caPem: string }): Client {
  return createClient({ url, caPem, certificatePem: hub.adminCertificatePem, keyPem: hub.adminKeyPem });
}

/** The value of a metric of the gateway; the name with its labels, as it is printed. */
export async function metric({ direct }: GatewayWorld, name: string): Promise<number> {
  const { text } = await direct.call('/metrics');
  const line = text.split('\n').find((each) => each.startsWith(`${name} `));
  return line === undefined ? NaN : Number(line.slice(name.length + 1));
}

/** Milliseconds until something is so, asked again and again without a pause. */
export async function timeUntil(isSo: () => Promise<boolean>, limitMs = 5000): Promise<number> {
  const started = performance.now();
  while (!(await isSo())) {
    if (performance.now() - started > limitMs) return Infinity;
  }
  return performance.now() - started;
}
