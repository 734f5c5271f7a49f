import { registerCluster } from '../../e2e/worlds/register.ts';
import { gatewayPrefix } from '../peers/peer.ts';
import type { RunningPeer } from '../peers/running.ts';
import type { Stage } from '../stage.ts';
import { buildTunnels, tunnelHost } from './running-tunnel.ts';

/**
 * Registers the target as a cluster behind the tunnel. The Go gateway asks the agent for `<name of the cluster>:443`, so that
 * the cluster's name is one that leads to the target where the agent is.
 * @throws Error where the target cannot have that port
 */
export async function prepareTunnelCluster({ world, target }: Stage): Promise<void> {
  if (target.standardPortTrouble !== null)
    throw new Error(`a cluster behind a tunnel is at port 443: ${target.standardPortTrouble}`);
  await buildTunnels();
  await registerCluster(world, tunnelHost, {
    ...{ cluster: world.b, credential: 'ServiceAccountToken', caPem: target.caPem },
    labels: { 'cluster.core.oam.dev/cluster-endpoint-type': 'ClusterProxy' },
  });
}

/** URL of a path at that cluster. */
export function tunnelUrl({ port }: RunningPeer, path: string): string {
  return `https://127.0.0.1:${port}${gatewayPrefix(tunnelHost)}${path}`;
}
