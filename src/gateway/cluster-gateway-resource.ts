import { WatchCache } from '../apiserver/watch-cache.ts';
import type { JsonSchema, Resource } from '../apiserver/resource.ts';
import type { ClusterRegistry } from '../clusters/registry.ts';
import { CLUSTER_GATEWAYS, GROUP, VERSION } from './api-group.ts';
import { clusterGatewayFrom } from './cluster-gateway.ts';
import type { ClusterGateway } from './cluster-gateway.ts';

export interface ClusterGatewayOptions {
  /** Show the health that is noted in the Secrets' annotations (gate HealthinessCheck). */
  readonly showHealth: boolean;
}

/** The resource, and the end of its subscription to the registry. */
export type ClusterGatewayResource = Resource<ClusterGateway> & { destroy(): void };

/**
 * clustergateways: read-only, derived from the registry. Resource versions are those of the hub's Secrets, so a watch
 * goes on at another replica, or after a restart, where it stopped.
 */
export function createClusterGatewayResource(
  registry: ClusterRegistry,
  options: ClusterGatewayOptions,
): ClusterGatewayResource {
  const cache = new WatchCache<ClusterGateway>();
  const unsubscribe = registry.subscribe((change) => {
    if (change.type === 'replaced') {
      cache.replace(
        registry.list().map((record) => clusterGatewayFrom(record, options)),
        change.resourceVersion,
      );
    } else if (change.type === 'advanced') {
      cache.advance(change.resourceVersion);
    } else if (change.record) {
      cache.upsert(clusterGatewayFrom(change.record, options), change.resourceVersion);
    } else {
      cache.remove(change.name, { resourceVersion: change.resourceVersion });
    }
  });
  return {
    group: GROUP,
    version: VERSION,
    kind: 'ClusterGateway',
    plural: CLUSTER_GATEWAYS,
    singular: 'clustergateway',
    scope: 'Cluster',
    schema,
    columns,
    subresources: [
      {
        type: 'connect',
        name: 'proxy',
        kind: { group: GROUP, version: VERSION, kind: 'ClusterGatewayProxyOptions' },
        description: 'Carries the request to the cluster: what follows is the path there.',
        methods: ['DELETE', 'GET', 'PATCH', 'POST', 'PUT'],
        hasPath: true,
      },
    ],
    get: async (name, { signal }) => {
      const known = cache.get(name);
      if (known) return known;
      const record = await registry.find(name, signal);
      return record && clusterGatewayFrom(record, options);
    },
    list: () => cache.list(),
    watch: (since, { signal }) => cache.events(since, signal),
    destroy: unsubscribe,
  };
}

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

const text = (description: string): JsonSchema => ({ type: 'string', description });

const schema: JsonSchema = {
  type: 'object',
  description:
    'A managed cluster that the gateway carries requests to. It is derived from a Secret of the gateway; credentials are never shown.',
  properties: {
    spec: {
      type: 'object',
      description: 'How the cluster is reached.',
      properties: {
        provider: text('Who provides the cluster; empty for clusters that were registered by a Secret.'),
        access: {
          type: 'object',
          description: 'How the gateway reaches the cluster and proves who it is.',
          properties: {
            endpoint: {
              type: 'object',
              description: "Where the cluster's API server is.",
              required: ['type'],
              properties: {
                type: text('Const: a fixed address. ClusterProxy: through a tunnel.'),
                const: {
                  type: 'object',
                  description: 'The fixed address of an endpoint of type Const.',
                  required: ['address'],
                  properties: {
                    address: text('URL of the API server.'),
                    caBundle: {
                      type: 'string',
                      format: 'byte',
                      description: "PEM certificates that the server's certificate is verified against.",
                    },
                    insecure: { type: 'boolean', description: "The server's certificate is not verified." },
                  },
                },
              },
            },
            credential: {
              type: 'object',
              description: 'What kind of credential the gateway has; the credential itself is never shown.',
              required: ['type'],
              properties: {
                type: text('ServiceAccountToken, X509Certificate or Dynamic (a credential plugin).'),
              },
            },
          },
        },
      },
    },
    status: {
      type: 'object',
      description: 'What is known of the cluster.',
      properties: {
        healthy: {
          type: 'boolean',
          description: 'What the last health check found; false while none is made.',
        },
        healthyReason: text('Why the cluster is not healthy.'),
        conditions: {
          type: 'array',
          description:
            'Accepted: whether the Secret makes a usable cluster. ServerVerified: whether its certificate is verified.',
          items: {
            type: 'object',
            description: 'One aspect of the state.',
            required: ['type', 'status'],
            properties: {
              type: text('Name of the aspect.'),
              status: text('True, False or Unknown.'),
              reason: text('The reason in one word.'),
              message: text('The reason for people.'),
            },
          },
        },
      },
    },
  },
};
