/**
 * The informer of @kubernetes/client-node on one resource, started again after an error as its documentation shows it.
 * Prints one JSON object a line: type (ADDED, MODIFIED, DELETED, or SYNCED after the first list), name, labels, names.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import {
  CoreV1Api,
  CustomObjectsApi,
  KubeConfig,
  type KubernetesListObject,
  type KubernetesObject,
  makeInformer,
} from '@kubernetes/client-node';

const { values } = parseArgs({
  options: {
    kubeconfig: { type: 'string', default: '' },
    server: { type: 'string' },
    /** ConfigMaps of this namespace instead of ClusterGateways. */
    namespace: { type: 'string' },
  },
});
const { server, namespace } = values;
const config = new KubeConfig();
config.loadFromFile(values.kubeconfig);
if (server !== undefined) config.clusters = config.clusters.map((cluster) => ({ ...cluster, server }));

const custom = { group: 'cluster.core.oam.dev', version: 'v1alpha1', plural: 'clustergateways' };

function list(): Promise<KubernetesListObject<KubernetesObject>> {
  if (namespace !== undefined) return config.makeApiClient(CoreV1Api).listNamespacedConfigMap({ namespace });
  return config.makeApiClient(CustomObjectsApi).listClusterCustomObject(custom) as Promise<
    KubernetesListObject<KubernetesObject>
  >;
}

const path =
  namespace === undefined
    ? `/apis/${custom.group}/${custom.version}/${custom.plural}`
    : `/api/v1/namespaces/${namespace}/configmaps`;
const informer = makeInformer(config, path, list);
const report = (line: unknown): void => void process.stdout.write(`${JSON.stringify(line)}\n`);
const printing =
  (type: string) =>
  ({ metadata }: KubernetesObject): void =>
    report({ type, name: metadata?.name, labels: metadata?.labels });
informer.on('add', printing('ADDED'));
informer.on('update', printing('MODIFIED'));
informer.on('delete', printing('DELETED'));
informer.on('error', (error: unknown) => {
  process.stderr.write(`${String(error)}\n`);
  void sleep(500).then(() => informer.start());
});
await informer.start();
report({ type: 'SYNCED', names: informer.list().map(({ metadata }) => metadata?.name) });
