import { rm } from 'node:fs/promises';
import { join } from 'node:path';

import { type Binaries, ensureBinaries, ensureRelease } from '../kube/binaries.ts';
import { hubRelease, pinnedRelease, type ReleaseName } from '../kube/catalogue.ts';
import { startWorldTunnel, throughTunnel, type WorldTunnel } from '../tunnel/world-tunnel.ts';
import type { ApiClient } from './api.ts';
import { removeCgroups } from './cgroups.ts';
import { type KubeCluster, type OwnedCluster, prepareCluster } from './control-plane.ts';
import { startControllers } from './controllers.ts';
import { startEtcd } from './etcd.ts';
import { type GatewayOptions, type GatewayProcess, startGateway } from './gateway.ts';
import { createKubectl, type Kubectl } from './kubectl.ts';
import { type KubeNode, nodeName, startNode } from './node.ts';
import { freePorts } from './ports.ts';
import { createProcessGroup, ProcessEnded, type ProcessGroup } from './process.ts';
import { claimWorld, releaseWorld, removeLeftovers, type WorldRecord } from './record.ts';
import { until } from './wait.ts';

export { whyNot } from '../kube/binaries.ts';
export type { KubeCluster, KubeUser } from './control-plane.ts';
export type { GatewayOptions, GatewayProcess } from './gateway.ts';
export type { Kubectl, KubectlOptions, KubectlResult, KubectlRun } from './kubectl.ts';
export { box, boxPod, type KubeNode } from './node.ts';

/** Three real control planes on loopback; cluster a has a node that runs real pods. HUB_VERSION says of which release the hub is. */
export interface KubeWorld {
  /** Folder with all files and logs of this world. */
  readonly directory: string;
  readonly hub: KubeCluster;
  readonly a: KubeCluster;
  readonly b: KubeCluster;
  /** The node of cluster a, on which pod `box` is running; undefined without a node. */
  readonly node: KubeNode | undefined;
  /** Those of the hub's release; kubectl is the one that `kubectl` and `spawnKubectl` run. */
  readonly binaries: Binaries;
  /** The minor release of the hub. The clusters behind the gateway, and etcd, are the pinned ones. */
  readonly hubRelease: ReleaseName;
  /** Where its clusters are behind a tunnel: gateways know it, and Secrets are written for it. */
  readonly tunnel: WorldTunnel | undefined;
  /** How long each stage of the start took. */
  readonly stages: readonly Stage[];
  /** Runs kubectl to its end: exit code and output, with a timeout. */
  readonly kubectl: Kubectl['run'];
  /** Starts kubectl with pipes, or on a terminal. */
  readonly spawnKubectl: Kubectl['spawn'];
  /** Starts the gateway as a process and registers it at the hub. */
  startGateway(options?: GatewayOptions): Promise<GatewayProcess>;
  /** Starts the controllers of a cluster, for a test that deletes a namespace or uses Deployments. */
  startControllers(cluster: 'hub' | 'a' | 'b'): Promise<void>;
  /** Kills everything (under a second). `keep` leaves logs, audit logs and kubeconfigs in `directory`. */
  stop(options?: { keep?: boolean }): Promise<void>;
}

export interface Stage {
  readonly name: string;
  readonly ms: number;
}

export interface KubeWorldOptions {
  /** Whether cluster a gets a node (needs root). Default true. */
  readonly node?: boolean;
  /** Whether its clusters are behind a tunnel. Default: as ENDPOINT=tunnel says. */
  readonly tunnel?: boolean;
  /** Folder for everything; default a fresh one among the temporary files. */
  readonly directory?: string;
  /** What `stop` does when it is not told. Default false. */
  readonly keep?: boolean;
}

/**
 * Starts a world. The first call ever builds the binaries (minutes), later ones take seconds. Call it from a main thread: see `boundToParent`.
 * @throws Error with the end of the log of what did not start
 * @example
 * const world = await startKubeWorld();
 * await world.kubectl(['get', 'pods'], { kubeconfig: world.a.kubeconfig });
 * await world.stop();
 */
export async function startKubeWorld(options: KubeWorldOptions = {}): Promise<KubeWorld> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await startOnce(options);
    } catch (error) {
      // Somebody took a port between our look and our use of it.
      const again = error instanceof ProcessEnded && error.message.includes('address already in use');
      if (!again || attempt === 3) throw error;
    }
  }
}

/** What a start has made so far, and `endWorld` must remove. */
interface Owned {
  readonly record: WorldRecord;
  readonly processes: ProcessGroup;
  readonly apis: ApiClient[];
}

async function startOnce(options: KubeWorldOptions): Promise<KubeWorld> {
  const stages: Stage[] = [];
  const stage = stopwatch(stages);
  const release = hubRelease();
  const pinned = await ensureBinaries('control-plane');
  const binaries = release === pinnedRelease ? pinned : { ...pinned, ...(await ensureRelease(release)) };
  const nodeBinaries = (options.node ?? true) ? await ensureBinaries('node') : undefined;
  await removeLeftovers();
  const record = await claimWorld(options.directory);
  const owned: Owned = { record, processes: createProcessGroup(record.directory), apis: [] };
  stage('binaries');
  try {
    const ports = await freePorts(6);
    const planes = await prepareControlPlanes({
      owned,
      binaries: { ...pinned, hub: binaries['kube-apiserver'] },
      ports,
      hasNode: nodeBinaries !== undefined,
    });
    stage('certificates and etcd');
    const { directory } = record;
    const kubeletPort = ports[5] ?? 0;
    const node =
      nodeBinaries === undefined
        ? undefined
        : startNode({
            record,
            binaries: nodeBinaries,
            cluster: planes.a,
            port: kubeletPort,
            processes: owned.processes,
          });
    const tunnel =
      (options.tunnel ?? throughTunnel) ? startWorldTunnel(directory, owned.processes) : undefined;
    await Promise.all([startAll(planes).then(() => stage('control planes')), node, tunnel]);
    if (node !== undefined) stage('node and pod');
    const kubectl = await createKubectl({ binary: binaries.kubectl, release }, directory);
    return assemble({
      owned,
      planes,
      node: await node,
      tunnel: await tunnel,
      kubectl,
      binaries,
      release,
      stages,
      keep: options.keep ?? false,
    });
  } catch (error) {
    await endWorld(owned, true);
    throw error;
  }
}

interface ControlPlanes {
  readonly hub: OwnedCluster;
  readonly a: OwnedCluster;
  readonly b: OwnedCluster;
}

interface Preparation {
  readonly owned: Owned;
  /** `hub` is the hub's kube-apiserver. */
  readonly binaries: Binaries & { readonly hub: string };
  readonly ports: readonly number[];
  readonly hasNode: boolean;
}

async function prepareControlPlanes({
  owned,
  binaries,
  ports,
  hasNode,
}: Preparation): Promise<ControlPlanes> {
  const { processes } = owned;
  const { directory } = owned.record;
  const [clientPort = 0, peerPort = 0, hubPort = 0, aPort = 0, bPort = 0] = ports;
  const etcdUrl = `http://127.0.0.1:${clientPort}`;
  const prepare = async (name: string, port: number): Promise<OwnedCluster> => {
    const cluster = await prepareCluster({
      ...{ name, port, directory, etcdUrl, processes },
      binary: name === 'hub' ? binaries.hub : binaries['kube-apiserver'],
      aggregates: name === 'hub',
      ...(hasNode && name === 'a' ? { node: nodeName } : {}),
    });
    owned.apis.push(cluster.api);
    return cluster;
  };
  const [hub, a, b] = await Promise.all([
    prepare('hub', hubPort),
    prepare('a', aPort),
    prepare('b', bPort),
    startEtcd({ binary: binaries.etcd, directory, clientPort, peerPort, processes }),
  ]);
  return { hub, a, b };
}

async function startAll({ hub, a, b }: ControlPlanes): Promise<void> {
  await Promise.all(
    [hub, a, b].map(async (cluster) => {
      await cluster.start();
      await makeDefaultAccount(cluster);
    }),
  );
}

/** A controller would make it; without it no pod is admitted. */
async function makeDefaultAccount({ name, api }: KubeCluster): Promise<void> {
  const body = { metadata: { name: 'default' } };
  await until(
    `the namespace default in ${name}`,
    async () => {
      const path = '/api/v1/namespaces/default/serviceaccounts';
      const { status } = await api.call(path, { method: 'POST', body });
      return status === 201 || status === 409 ? true : undefined;
    },
    { timeoutMs: 20_000 },
  );
}

interface Parts {
  readonly owned: Owned;
  readonly planes: ControlPlanes;
  readonly node: KubeNode | undefined;
  readonly tunnel: WorldTunnel | undefined;
  readonly kubectl: Kubectl;
  readonly binaries: Binaries;
  readonly release: ReleaseName;
  readonly stages: readonly Stage[];
  readonly keep: boolean;
}

function assemble({ owned, planes, kubectl, release, keep, ...parts }: Parts): KubeWorld {
  const { directory } = owned.record;
  const { tunnel } = parts;
  const home = { directory, hub: planes.hub, kubectl, processes: owned.processes };
  let ending: Promise<void> | undefined;
  return {
    directory,
    ...planes,
    ...parts,
    hubRelease: release,
    kubectl: (args, options) => kubectl.run(args, options),
    spawnKubectl: (args, options) => kubectl.spawn(args, options),
    startGateway: (options = {}) =>
      startGateway(home, { ...options, flags: [...(tunnel?.gatewayFlags ?? []), ...(options.flags ?? [])] }),
    startControllers: (name) => startControllers(planes[name], owned.processes),
    stop: (options = {}) => (ending ??= endWorld(owned, options.keep ?? keep)),
  };
}

async function endWorld({ record, processes, apis }: Owned, keep: boolean): Promise<void> {
  for (const api of apis) api.close();
  await processes.endAll();
  await removeCgroups(record.cgroup);
  const { directory } = record;
  const worthless = keep ? ['etcd', 'home', 'node'].map((name) => join(directory, name)) : [directory];
  await Promise.all(worthless.map((path) => rm(path, { recursive: true, force: true })));
  await releaseWorld(record);
}

/** Notes how long it was since the last call. */
function stopwatch(stages: Stage[]): (name: string) => void {
  let last = performance.now();
  return (name) => {
    const now = performance.now();
    stages.push({ name, ms: Math.round(now - last) });
    last = now;
  };
}
