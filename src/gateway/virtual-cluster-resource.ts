import type { JsonSchema, Resource, ResourceList } from '../apiserver/resource.ts';
import { LOCAL_CLUSTER } from '../clusters/cluster.ts';
import type { ClusterRegistry } from '../clusters/registry.ts';
import { GROUP, VERSION, VIRTUAL_CLUSTERS } from './api-group.ts';
import { createClusterCache } from './cluster-cache.ts';
import { conditionsSchema } from './cluster-gateway-schema.ts';
import { compareVirtualClusters, localCluster, virtualClusterFrom } from './virtual-cluster.ts';
import type { VirtualCluster } from './virtual-cluster.ts';

/** The resource, and the end of its subscription to the registry. */
export type VirtualClusterResource = Resource<VirtualCluster> & { destroy(): void };

/** virtualclusters: read-only; the hub itself and every registered cluster, those that cannot be used included. */
export function createVirtualClusterResource(registry: ClusterRegistry): VirtualClusterResource {
  const { cache, destroy } = createClusterCache(registry, {
    show: virtualClusterFrom,
    fixed: [localCluster],
  });
  let listed:
    { readonly of: readonly VirtualCluster[]; readonly items: readonly VirtualCluster[] } | undefined;
  const list = (): ResourceList<VirtualCluster> => {
    const { items, resourceVersion } = cache.list();
    if (listed?.of !== items) listed = { of: items, items: items.toSorted(compareVirtualClusters) };
    return { items: listed.items, resourceVersion };
  };
  return {
    group: GROUP,
    version: VERSION,
    kind: 'VirtualCluster',
    plural: VIRTUAL_CLUSTERS,
    singular: 'virtualcluster',
    shortNames: ['vc', 'vcluster', 'vclusters', 'virtual-cluster', 'virtual-clusters'],
    scope: 'Cluster',
    schema,
    columns,
    get: async (name, { signal }) => {
      if (name === LOCAL_CLUSTER) return cache.get(name);
      const record = await registry.find(name, signal);
      return record && virtualClusterFrom(record);
    },
    list,
    watch: (since, { signal }) => cache.events(since, signal),
    destroy,
  };
}

/** Names and priorities are those of the Go gateway: scripts read them. */
const columns: Resource<VirtualCluster>['columns'] = [
  {
    name: 'Name',
    type: 'string',
    format: 'name',
    priority: 0,
    description: 'Name of the cluster; local is the hub itself.',
    cell: ({ metadata }) => metadata.name,
  },
  {
    name: 'Alias',
    type: 'string',
    priority: 0,
    description: 'Another name of the cluster, for people.',
    cell: ({ spec }) => spec.alias ?? '',
  },
  {
    name: 'Credential_Type',
    type: 'string',
    priority: 0,
    description: 'How the gateway proves who it is at the cluster.',
    cell: ({ spec }) => spec['credential-type'] ?? '',
  },
  {
    name: 'Endpoint',
    type: 'string',
    priority: 0,
    description: 'Where the API server of the cluster is, or how it is reached.',
    cell: ({ spec }) => spec.endpoint,
  },
  {
    name: 'Accepted',
    type: 'boolean',
    priority: 0,
    description: 'Whether the cluster can be used.',
    cell: ({ spec }) => spec.accepted,
  },
  {
    name: 'Labels',
    type: 'string',
    priority: 0,
    description: 'Labels of the cluster.',
    cell: ({ metadata }) =>
      Object.entries(metadata.labels ?? {})
        .map(([key, value]) => `${key}=${value}`)
        .sort()
        .join(','),
  },
  {
    name: 'Creation_Timestamp',
    type: 'date',
    format: 'date-time',
    priority: 10,
    description: 'When the cluster was registered.',
    cell: ({ metadata }) => metadata.creationTimestamp ?? null,
  },
];

const text = (description: string): JsonSchema => ({ type: 'string', description });

const schema: JsonSchema = {
  type: 'object',
  description:
    'A cluster that is registered at the hub, or the hub itself (local). It is derived, and cannot be written.',
  properties: {
    spec: {
      type: 'object',
      description: 'What the cluster is.',
      properties: {
        alias: text('Another name of the cluster, for people.'),
        accepted: { type: 'boolean', description: 'Whether the cluster can be used.' },
        endpoint: text(
          'Where the API server of the cluster is, or how it is reached; - where it is not shown.',
        ),
        'credential-type': text(
          'ServiceAccountToken, X509Certificate or Dynamic (a credential plugin); Internal for the hub itself.',
        ),
      },
    },
    status: {
      type: 'object',
      description: 'What is known of the cluster.',
      properties: { conditions: conditionsSchema('Accepted: whether the cluster can be used, or why not.') },
    },
  },
};
