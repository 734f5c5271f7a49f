import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import type { ReleaseName } from '../kube/catalogue.ts';
import type { GoClients } from './go-clients.ts';
import { type ReportingClient, type ReportingOptions, startReporting } from './reporting-client.ts';

/** What a client watches: ClusterGateways at the hub, or the ConfigMaps of the namespace `default` of one cluster. */
export interface WatchTarget {
  /** Path. */
  readonly kubeconfig: string;
  /** Address of the cluster through the gateway; undefined for the hub's own resources. */
  readonly proxy: string | undefined;
}

/** The programs that the clients are. */
export interface Programs {
  readonly go: GoClients;
  /** Undefined where there is none. */
  readonly python: string | undefined;
  readonly kubectl: Readonly<Record<ReleaseName, string>>;
}

/** A client that the project has not written, on one resource. */
export interface WatchingClient {
  readonly name: string;
  /** Whether it keeps what it saw, so that it notices in a new list what has gone meanwhile, and reports each change once. */
  readonly caches: boolean;
  /** User-Agent of a client of which WatchList is expected: it streams the first list, too. */
  readonly watchList?: string;
  readonly isPython?: true;
  /** The command line, or undefined where this client does not run. */
  readonly launch: (
    programs: Programs,
    target: WatchTarget,
  ) => Pick<ReportingOptions, 'command' | 'args' | 'translate' | 'again'>;
}

const namespace = 'default';

function clientGo(client: 'dynamic' | 'metadata' | 'typed'): WatchingClient {
  return {
    name: `client-go, ${client} informer`,
    caches: true,
    watchList: `client-go-informer/${client}`,
    launch: ({ go }, { kubeconfig, proxy }) => ({
      command: go['client-go-informer'],
      args: [
        ...['--kubeconfig', kubeconfig, '--client', client],
        ...(proxy === undefined
          ? ['--resource', 'cluster.core.oam.dev/v1alpha1/clustergateways']
          : ['--resource', 'v1/configmaps', '--namespace', namespace, '--server', proxy]),
      ],
    }),
  };
}

const controllerRuntime: WatchingClient = {
  name: 'controller-runtime, cache',
  caches: true,
  watchList: 'controller-runtime-cache',
  launch: ({ go }, { kubeconfig, proxy }) => ({
    command: go['controller-runtime-cache'],
    args: [
      ...['--kubeconfig', kubeconfig],
      ...(proxy === undefined
        ? ['--api-version', 'cluster.core.oam.dev/v1alpha1', '--kind', 'ClusterGateway']
        : ['--kind', 'ConfigMap', '--namespace', namespace, '--server', proxy]),
    ],
  }),
};

/** What the programs in `node` and `python` are told. */
function script({ kubeconfig, proxy }: WatchTarget): string[] {
  const through = proxy === undefined ? [] : ['--namespace', namespace, '--server', proxy];
  return ['--kubeconfig', kubeconfig, ...through];
}

const clientNode: WatchingClient = {
  name: '@kubernetes/client-node, informer',
  caches: true,
  launch: (_, target) => ({
    command: process.execPath,
    args: [join(import.meta.dirname, 'node/informer.ts'), ...script(target)],
  }),
};

const python: WatchingClient = {
  name: 'Python’s kubernetes, list and watch',
  caches: true,
  isPython: true,
  launch: (programs, target) => ({
    command: programs.python ?? 'python3',
    args: [join(import.meta.dirname, 'python/informer.py'), ...script(target)],
  }),
};

/** `kubectl get --watch` ends with its watch; whoever wants to see more calls it again, and so do we. */
function kubectl(release: ReleaseName): WatchingClient {
  const revision = '{.object.metadata.labels.revision}';
  return {
    name: `kubectl ${release}, get --watch`,
    caches: false,
    launch: (programs, { kubeconfig, proxy }) => ({
      command: programs.kubectl[release],
      args: [
        ...['--kubeconfig', kubeconfig, 'get', '--watch', '--output-watch-events'],
        ...['-o', `jsonpath={.type} {.object.metadata.name} ${revision}{"\\n"}`],
        ...(proxy === undefined ? ['clustergateways'] : ['configmaps', '-n', namespace, '--server', proxy]),
      ],
      translate: (line) => {
        const [type, name, label] = line.split(' ');
        return { type, name, ...(label ? { labels: { revision: label } } : {}) };
      },
      again: true,
    }),
  };
}

const everywhere = [controllerRuntime, clientNode, python, kubectl('1.37'), kubectl('1.33')];

/** On ClusterGateways. Each client-go of these asks for another form of the objects: whole ones, metadata alone. */
export const hubClients = [clientGo('dynamic'), clientGo('metadata'), ...everywhere] as const;

/** On ConfigMaps through `/proxy`; the typed one speaks protobuf. */
export const proxyClients = [clientGo('dynamic'), clientGo('typed'), ...everywhere] as const;

/** Starts a client with files of its own below `directory`. */
export async function startWatching(
  client: WatchingClient,
  { programs, target, directory }: { programs: Programs; target: WatchTarget; directory: string },
): Promise<ReportingClient> {
  const where = target.proxy === undefined ? 'hub' : 'proxy';
  const home = join(directory, 'clients', `${where}-${client.name.replaceAll(/[^\w.-]+/g, '-')}`);
  await mkdir(home, { recursive: true });
  return startReporting({ ...client.launch(programs, target), log: join(home, 'client.log'), home });
}
