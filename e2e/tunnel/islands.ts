import { ensureBinaries } from '../kube/binaries.ts';
import { type OwnedCluster, prepareCluster } from '../worlds/control-plane.ts';
import { startEtcd } from '../worlds/etcd.ts';
import { type KubeNode, nodeName, startNode } from '../worlds/node.ts';
import { until } from '../worlds/wait.ts';
import { startAgent } from './agent.ts';
import { createHostsFile } from './hosts-file.ts';
import { joinNamespaces, type NetworkNamespace, openNamespace } from './namespace.ts';
import type { Maker, Party } from './party.ts';
import { type Mode, startServer, type TunnelServer } from './server.ts';
import { openSite, type TunnelSite } from './site.ts';

/**
 * A cluster in a network of its own, with no way in or out but for the agent's connection to the tunnel's server, which is
 * in a second network. The machine reaches that server by a Unix socket alone.
 */
export interface Island {
  /** By this name the agent knows the API server, on port 443. */
  readonly name: string;
  /** Its `api` is the test's own access, by a Unix socket; nobody else uses that. */
  readonly cluster: OwnedCluster;
  readonly node: KubeNode | undefined;
  readonly server: TunnelServer;
  readonly agent: Party;
  /** Path of the Unix socket at which the server takes frontends. */
  readonly socketPath: string;
  readonly site: TunnelSite;
  /** The network of the cluster, and that of the server. */
  readonly inside: NetworkNamespace;
  readonly between: NetworkNamespace;
  /** Takes the link between agent and server down: nothing arrives any more, and nobody is told. */
  cut(): Promise<void>;
  mend(): Promise<void>;
  /** Kills everything; `keep` leaves the logs. */
  stop(options?: { keep?: boolean }): Promise<void>;
}

export interface IslandOptions {
  /** Default: island. */
  readonly name?: string;
  /** Whose the server and the agent are. Default: ours. */
  readonly server?: Maker;
  readonly agent?: Maker;
  readonly mode?: Mode;
  /** Whether it runs pods. Default true. */
  readonly node?: boolean;
  readonly serverFlags?: readonly string[];
  readonly agentFlags?: readonly string[];
}

/** Addresses for documentation (RFC 5737): they exist in the two networks only. */
export const serverAddress = '198.51.100.1';
const agentAddress = '198.51.100.2';
/** Its networks are its own, so are all ports. */
const ports = {
  api: 443,
  kubelet: 10_250,
  etcd: 2379,
  etcdPeer: 2380,
  agents: 8091,
  serverHealth: 8092,
  agentHealth: 8093,
  agentAdmin: 8094,
  serverAdmin: 8095,
} as const;

/** Starts an island and waits until its agent is connected and its pod runs (needs root). */
export async function startIsland(options: IslandOptions = {}): Promise<Island> {
  const site = await openSite([serverAddress]);
  try {
    return await startIn(site, options);
  } catch (error) {
    await site.end({ keep: true });
    throw error;
  }
}

async function startIn(site: TunnelSite, options: IslandOptions): Promise<Island> {
  const name = options.name ?? 'island';
  const { directory, processes } = site;
  const [inside, between] = await Promise.all([
    openNamespace({ name: 'inside', directory, processes }),
    openNamespace({ name: 'between', directory, processes }),
  ]);
  await joinNamespaces(
    { namespace: between, address: serverAddress },
    { namespace: inside, address: agentAddress },
  );
  const [insideSocket, betweenSocket] = await Promise.all([
    inside.relay(ports.api, ports.etcd, ports.agentHealth),
    between.relay(ports.serverHealth),
  ]);
  const [{ cluster, node }, { server, agent }] = await Promise.all([
    startCluster({ site, inside, name, socket: insideSocket, hasNode: options.node ?? true }),
    startTunnel({ site, inside, between, name, options, sockets: { insideSocket, betweenSocket } }),
  ]);
  const setLink = async (state: 'up' | 'down'): Promise<void> => {
    await between.run('ip', 'link', 'set', 'tunnel', state);
  };
  if (server.frontend.type !== 'unix') throw new Error('the frontend of an island is a Unix socket');
  return {
    ...{ name, cluster, node, server, agent, site, inside, between },
    socketPath: server.frontend.path,
    cut: () => setLink('down'),
    mend: () => setLink('up'),
    async stop(how) {
      cluster.api.close();
      await site.end(how);
    },
  };
}

interface ClusterParts {
  readonly site: TunnelSite;
  readonly inside: NetworkNamespace;
  readonly name: string;
  readonly socket: (port: number) => string;
  readonly hasNode: boolean;
}

async function startCluster({
  site,
  inside,
  name,
  socket,
  hasNode,
}: ClusterParts): Promise<Pick<Island, 'cluster' | 'node'>> {
  const binaries = await ensureBinaries('control-plane');
  const nodeBinaries = hasNode ? await ensureBinaries('node') : undefined;
  const shared = { directory: site.directory, processes: inside.processes };
  const [cluster] = await Promise.all([
    prepareCluster({
      ...{ ...shared, name, port: ports.api, socketPath: socket(ports.api) },
      binary: binaries['kube-apiserver'],
      etcdUrl: `http://127.0.0.1:${ports.etcd}`,
      aggregates: false,
      ...(hasNode ? { node: nodeName } : {}),
    }),
    startEtcd({
      ...{ ...shared, binary: binaries.etcd, socketPath: socket(ports.etcd) },
      clientPort: ports.etcd,
      peerPort: ports.etcdPeer,
    }),
  ]);
  const [, node] = await Promise.all([
    cluster.start().then(() => makeDefaultAccount(cluster)),
    nodeBinaries &&
      startNode({
        ...{ record: site.record, binaries: nodeBinaries, cluster, port: ports.kubelet },
        processes: inside.processes,
      }),
  ]);
  return { cluster, node };
}

/** A controller would make it; without it no pod is admitted. */
export async function makeDefaultAccount({ api }: Pick<OwnedCluster, 'api'>): Promise<void> {
  const path = '/api/v1/namespaces/default/serviceaccounts';
  const made = async (): Promise<true | undefined> => {
    const { status } = await api.call(path, { method: 'POST', body: { metadata: { name: 'default' } } });
    return status === 201 || status === 409 ? true : undefined;
  };
  await until('the namespace default', made, { timeoutMs: 20_000 });
}

interface TunnelParts {
  readonly site: TunnelSite;
  readonly inside: NetworkNamespace;
  readonly between: NetworkNamespace;
  readonly name: string;
  readonly options: IslandOptions;
  readonly sockets: Readonly<Record<'insideSocket' | 'betweenSocket', (port: number) => string>>;
}

async function startTunnel({
  site,
  inside,
  between,
  name,
  options,
  sockets,
}: TunnelParts): Promise<Pick<Island, 'server' | 'agent'>> {
  const server = await startServer({
    ...{ maker: options.server ?? 'ours', mode: options.mode ?? 'grpc', frontend: 'unix' },
    site: { ...site, processes: between.processes },
    agentAddress: serverAddress,
    place: {
      ...{ agentPort: ports.agents, healthPort: ports.serverHealth, adminPort: ports.serverAdmin },
      healthSocket: sockets.betweenSocket(ports.serverHealth),
    },
    flags: options.serverFlags ?? [],
  });
  // As in a cluster, where a Service has the name: it leads to the API server.
  const { processes } = await createHostsFile({
    ...{ directory: site.directory, processes: inside.processes, names: { [name]: ['127.0.0.1'] } },
  });
  const agent = await startAgent({
    ...{ maker: options.agent ?? 'ours', site: { ...site, processes } },
    server: { host: serverAddress, agentPort: ports.agents },
    identifiers: `host=${name}`,
    place: {
      ...{ healthPort: ports.agentHealth, adminPort: ports.agentAdmin },
      healthSocket: sockets.insideSocket(ports.agentHealth),
    },
    flags: options.agentFlags ?? [],
  });
  return { server, agent };
}
