import type { JsonSchema } from '../apiserver/resource.ts';

const text = (description: string): JsonSchema => ({ type: 'string', description });

/** Of a ClusterGateway, for OpenAPI and `kubectl explain`. */
export const clusterGatewaySchema: JsonSchema = {
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
        conditions: conditionsSchema(
          'Accepted: whether the Secret makes a usable cluster. ServerVerified: whether its certificate is verified. CredentialValid: whether the credential has ended, where its end is known.',
        ),
      },
    },
  },
};

/** Of conditions as metav1.Condition has them, as far as they are given. */
export function conditionsSchema(description: string): JsonSchema {
  return {
    type: 'array',
    description,
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
  };
}
