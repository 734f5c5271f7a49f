import type { Resource, ResourceContext, Subresource } from '../apiserver/resource.ts';
import type { ClusterRecord } from '../clusters/cluster.ts';
import type { HealthWriter } from '../clusters/health-write.ts';
import type { ClusterRegistry } from '../clusters/registry.ts';
import { CLUSTER_GATEWAYS, GROUP, VERSION } from './api-group.ts';
import { createClusterCache } from './cluster-cache.ts';
import { createHealthSubresource } from './cluster-gateway-health.ts';
import { clusterGatewaySchema } from './cluster-gateway-schema.ts';
import { clusterGatewayFrom } from './cluster-gateway.ts';
import { endsBetween } from './validity-conditions.ts';
import type { ClusterGateway } from './cluster-gateway.ts';

export interface ClusterGatewayOptions {
  /** Shows the health that is noted in the Secrets' annotations, and lets it be noted; undefined: neither. */
  readonly health: HealthWriter | undefined;
}

/** The resource, and the end of its subscription to the registry. */
export type ClusterGatewayResource = Resource<ClusterGateway> & { destroy(): void };

/** clustergateways: read-only but for the health of clusters, derived from the registry. */
export function createClusterGatewayResource(
  registry: ClusterRegistry,
  { health }: ClusterGatewayOptions,
): ClusterGatewayResource {
  const show = (record: ClusterRecord) =>
    clusterGatewayFrom(record, { showHealth: health !== undefined, now: Date.now() });
  const { cache, destroy } = createClusterCache(registry, { show, changesWithTime: endsBetween });
  const get = async (name: string, { signal }: ResourceContext) => {
    // Not from the cache, which is as new as the watch: whoever has written reads what was written.
    const record = await registry.find(name, signal);
    return record && show(record);
  };
  return {
    group: GROUP,
    version: VERSION,
    kind: 'ClusterGateway',
    plural: CLUSTER_GATEWAYS,
    singular: 'clustergateway',
    scope: 'Cluster',
    schema: clusterGatewaySchema,
    columns,
    subresources: [proxy, ...(health ? [createHealthSubresource({ get, health })] : [])],
    get,
    list: () => cache.list(),
    listAt: (version) => cache.listAt(version),
    watch: (since, { signal }) => cache.events(since, signal),
    destroy,
  };
}

const proxy: Subresource<ClusterGateway> = {
  type: 'connect',
  name: 'proxy',
  kind: { group: GROUP, version: VERSION, kind: 'ClusterGatewayProxyOptions' },
  description: 'Carries the request to the cluster: what follows is the path there.',
  methods: ['DELETE', 'GET', 'PATCH', 'POST', 'PUT'],
  hasPath: true,
};

const columns: Resource<ClusterGateway>['columns'] = [
  {
    name: 'Name',
    type: 'string',
    format: 'name',
    priority: 0,
    description: 'Name of the cluster.',
    cell: ({ metadata }) => metadata.name,
  },
  {
    name: 'Provider',
    type: 'string',
    priority: 0,
    description: 'Who provides the cluster.',
    cell: ({ spec }) => spec.provider,
  },
  {
    name: 'Credential-Type',
    type: 'string',
    priority: 0,
    description: 'How the gateway proves who it is at the cluster.',
    cell: ({ spec }) => spec.access.credential?.type ?? '<none>',
  },
  {
    name: 'Endpoint-Type',
    type: 'string',
    priority: 0,
    description: 'How the gateway reaches the cluster.',
    cell: ({ spec }) => spec.access.endpoint?.type ?? '<none>',
  },
  {
    name: 'Healthy',
    type: 'boolean',
    priority: 0,
    description: 'What the last health check found.',
    cell: ({ status }) => status.healthy,
  },
  {
    name: 'Accepted',
    type: 'string',
    priority: 1,
    description: 'Whether the cluster can be used, or why not.',
    cell: ({ status }) => {
      const accepted = status.conditions.find(({ type }) => type === 'Accepted');
      return accepted?.status === 'True' ? 'True' : (accepted?.reason ?? '');
    },
  },
];
