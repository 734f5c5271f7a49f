import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';

import { ensureBinaries } from '../kube/binaries.ts';
import { pinnedRelease } from '../kube/catalogue.ts';
import { type OwnedCluster, prepareCluster } from '../worlds/control-plane.ts';
import { startEtcd } from '../worlds/etcd.ts';
import { type GatewayProcess, startGateway } from '../worlds/gateway.ts';
import { createKubectl, type Kubectl } from '../worlds/kubectl.ts';
import { nodeName, startNode } from '../worlds/node.ts';
import { startAgent } from './agent.ts';
import { writeEgressSelector } from './egress-selector.ts';
import { makeDefaultAccount } from './islands.ts';
import { joinNamespaces, type NetworkNamespace, openNamespace, type Target } from './namespace.ts';
import type { Maker, Party } from './party.ts';
import { type Frontend, type Mode, startServer, type TunnelServer } from './server.ts';
import { openSite, type TunnelSite } from './site.ts';

/**
 * A cluster whose kube-apiserver has no route to its node, pods and Services: they are in a network of their own, from
 * which kubelet and agent connect to the control plane's. The tunnel is its konnectivity.
 */
export interface Konnectivity {
  readonly cluster: OwnedCluster;
  /** Beside the kube-apiserver. */
  readonly server: TunnelServer;
  /** Beside the kubelet. */
  readonly agent: Party;
  /** An aggregated API server at an address of a Service, as the kube-apiserver sees it. */
  readonly gateway: GatewayProcess;
  /** Those of this machine, which reach the kube-apiserver at `url`. */
  readonly kubectl: Kubectl['run'];
  readonly spawnKubectl: Kubectl['spawn'];
  /** https://127.0.0.1:port */
  readonly url: string;
  readonly site: TunnelSite;
  /** The network of the control plane, and that of node, pods and Services. */
  readonly plane: NetworkNamespace;
  readonly nodes: NetworkNamespace;
  /** Starts an agent where the first one was, which must have been stopped. */
  startAgent(maker: Maker): Promise<Party>;
  /** Kills everything; `keep` leaves the logs. */
  stop(options?: { keep?: boolean }): Promise<void>;
}

export interface KonnectivityOptions {
  readonly mode: Mode;
  readonly frontend: Frontend['type'];
}

/**
 * Addresses for documentation (RFC 5737) and one of the Services' network, all in these networks alone. The two networks are
 * joined by those of `plane` and `link`; there is no route from the plane to the others.
 */
export const addresses = {
  plane: '198.51.100.1',
  link: '198.51.100.2',
  node: '192.0.2.10',
  service: '10.0.0.50',
} as const;
const ports = {
  api: 6443,
  kubelet: 10_250,
  etcd: 2379,
  etcdPeer: 2380,
  agents: 8091,
  serverHealth: 8092,
  agentHealth: 8093,
  agentAdmin: 8094,
  serverAdmin: 8095,
} as const;

/** What the agent may connect to, as the documentation says it: kubelets, pods and Services. */
const destinations = `${addresses.node}:${ports.kubelet},10.244.0.0/16,10.0.0.0/24`;

/** Starts all of it and waits until the kube-apiserver reaches the gateway and a pod runs (needs root). */
export async function startKonnectivity(options: KonnectivityOptions): Promise<Konnectivity> {
  const site = await openSite([addresses.plane]);
  try {
    return await startIn(site, options);
  } catch (error) {
    await site.end({ keep: true });
    throw error;
  }
}

async function startIn(site: TunnelSite, options: KonnectivityOptions): Promise<Konnectivity> {
  const { directory } = site;
  const { plane, nodes } = await openNetworks(site);
  const gatewayTarget = `${addresses.service}:443`;
  const [planeSocket, nodesSocket] = await Promise.all([
    plane.relay(ports.api, ports.etcd, ports.serverHealth),
    nodes.relay(ports.agentHealth, gatewayTarget),
  ]);
  const server = await startServer({
    ...options,
    maker: 'ours',
    strategies: 'default',
    site: { ...site, processes: plane.processes },
    agentAddress: addresses.plane,
    place: {
      ...{ agentPort: ports.agents, healthPort: ports.serverHealth, adminPort: ports.serverAdmin },
      healthSocket: planeSocket(ports.serverHealth),
    },
  });
  const agentOf = (maker: Maker): Promise<Party> =>
    startAgent({
      ...{ maker, destinations, identifiers: '' },
      site: { ...site, processes: nodes.processes },
      server: { host: addresses.plane, agentPort: ports.agents },
      place: {
        ...{ healthPort: ports.agentHealth, adminPort: ports.agentAdmin },
        healthSocket: nodesSocket(ports.agentHealth),
      },
    });
  const [cluster, agent] = await Promise.all([
    startCluster({ site, plane, nodes, server, socket: planeSocket }),
    agentOf('ours'),
  ]);
  const kubectl = await kubectlTo(planeSocket(ports.api), directory);
  const gateway = await startGateway(
    { directory, hub: cluster, kubectl, processes: nodes.processes },
    { place: { clusterIp: addresses.service, socketPath: nodesSocket(gatewayTarget) } },
  );
  return {
    ...{ cluster, server, agent, gateway, site, plane, nodes },
    kubectl: (args, how) => kubectl.run(args, how),
    spawnKubectl: (args, how) => kubectl.spawn(args, how),
    url: kubectl.url,
    startAgent: agentOf,
    async stop(how) {
      kubectl.close();
      cluster.api.close();
      await site.end(how);
    },
  };
}

async function openNetworks({
  directory,
  processes,
}: TunnelSite): Promise<Pick<Konnectivity, 'plane' | 'nodes'>> {
  const [plane, nodes] = await Promise.all([
    openNamespace({ name: 'plane', directory, processes }),
    openNamespace({ name: 'nodes', directory, processes }),
  ]);
  await joinNamespaces(
    { namespace: plane, address: addresses.plane },
    { namespace: nodes, address: addresses.link },
  );
  // On the loopback interface, as IPVS has those of Services: they are nobody's neighbours.
  for (const address of [addresses.node, addresses.service]) {
    await nodes.run('ip', 'address', 'add', `${address}/32`, 'dev', 'lo');
  }
  return { plane, nodes };
}

interface ClusterParts extends Pick<Konnectivity, 'site' | 'plane' | 'nodes' | 'server'> {
  readonly socket: (port: Target) => string;
}

async function startCluster({ site, plane, nodes, server, socket }: ClusterParts): Promise<OwnedCluster> {
  const { directory } = site;
  const [binaries, nodeBinaries] = await Promise.all([
    ensureBinaries('control-plane'),
    ensureBinaries('node'),
  ]);
  const shared = { directory, processes: plane.processes };
  const egressSelector = await writeEgressSelector(join(directory, 'egress-selector.yaml'), server);
  const [cluster] = await Promise.all([
    prepareCluster({
      ...{ ...shared, name: 'cluster', port: ports.api, socketPath: socket(ports.api) },
      binary: binaries['kube-apiserver'],
      etcdUrl: `http://127.0.0.1:${ports.etcd}`,
      ...{ aggregates: true, node: nodeName, egressSelector },
      ...{ address: addresses.plane, nodeAddress: addresses.node },
    }),
    startEtcd({
      ...{ ...shared, binary: binaries.etcd, socketPath: socket(ports.etcd) },
      clientPort: ports.etcd,
      peerPort: ports.etcdPeer,
    }),
  ]);
  await Promise.all([
    cluster.start().then(() => makeDefaultAccount(cluster)),
    startNode({
      ...{ record: site.record, binaries: nodeBinaries, cluster, processes: nodes.processes },
      ...{ address: addresses.node, port: ports.kubelet },
    }),
  ]);
  return cluster;
}

interface ReachingKubectl extends Kubectl {
  readonly url: string;
  close(): void;
}

/** A kubectl of this machine, which reaches the kube-apiserver by its Unix socket: kubectl itself knows TCP alone. */
async function kubectlTo(socketPath: string, directory: string): Promise<ReachingKubectl> {
  const binaries = await ensureBinaries('control-plane');
  const kubectl = await createKubectl({ binary: binaries.kubectl, release: pinnedRelease }, directory);
  const relay = createServer({ allowHalfOpen: true }, (near) => {
    const far = connect({ path: socketPath, allowHalfOpen: true });
    near.on('error', () => far.destroy());
    far.on('error', () => near.destroy());
    near.pipe(far).pipe(near);
  });
  relay.listen(0, '127.0.0.1');
  await once(relay, 'listening');
  const url = `https://127.0.0.1:${(relay.address() as AddressInfo).port}`;
  return {
    url,
    run: (args, options) => kubectl.run(args, { server: url, ...options }),
    spawn: (args, options) => kubectl.spawn(args, { server: url, ...options }),
    close: () => void relay.close(),
  };
}
