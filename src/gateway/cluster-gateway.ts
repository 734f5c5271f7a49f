import type { ClusterRecord } from '../clusters/cluster.ts';
import type { KubeObject } from '../kube/object-meta.ts';
import { GROUP, VERSION } from './api-group.ts';
import type { ClusterGatewayCondition } from './cluster-gateway-condition.ts';
import { identityConditionOf } from './identity-condition.ts';
import { credentialConditionOf, serverConditionOf } from './validity-conditions.ts';

/** A registered cluster as the API shows it. Credentials, proxy URLs and plugin configurations are never in it. */
export interface ClusterGateway extends KubeObject {
  readonly kind: 'ClusterGateway';
  readonly spec: {
    readonly provider: string;
    readonly access: {
      readonly endpoint?: {
        readonly type: string;
        readonly const?: {
          readonly address: string;
          readonly caBundle?: string;
          readonly insecure?: boolean;
        };
      };
      readonly credential?: { readonly type: string };
    };
  };
  readonly status: {
    readonly healthy: boolean;
    readonly healthyReason?: string;
    readonly conditions: readonly ClusterGatewayCondition[];
  };
}

export interface ShowOptions {
  readonly showHealth: boolean;
  /** Milliseconds since the epoch: conditions say what has ended by then. */
  readonly now: number;
}

/** Shows a cluster as a ClusterGateway; pure. */
export function clusterGatewayFrom(record: ClusterRecord, options: ShowOptions): ClusterGateway {
  const health = options.showHealth ? record.health : undefined;
  return {
    apiVersion: `${GROUP}/${VERSION}`,
    kind: 'ClusterGateway',
    metadata: {
      name: record.name,
      ...(record.resourceVersion === '' ? {} : { resourceVersion: record.resourceVersion }),
      ...(record.creationTimestamp === undefined ? {} : { creationTimestamp: record.creationTimestamp }),
      ...(Object.keys(record.labels).length === 0 ? {} : { labels: record.labels }),
    },
    spec: {
      provider: '',
      access: {
        endpoint: endpointOf(record),
        ...(record.credentialType === '' ? {} : { credential: { type: record.credentialType } }),
      },
    },
    status: {
      healthy: health?.healthy ?? false,
      ...(health?.reason ? { healthyReason: health.reason } : {}),
      conditions: conditionsOf(record, options.now),
    },
  };
}

function endpointOf(record: ClusterRecord) {
  if (record.type === 'accepted' && record.endpoint.type === 'Const') {
    const { url, trust } = record.endpoint;
    return {
      type: record.endpointType,
      const: {
        address: url,
        ...(trust.type === 'ca' ? { caBundle: Buffer.from(trust.caPem).toString('base64') } : {}),
        ...(trust.type === 'none' ? { insecure: true } : {}),
      },
    };
  }
  // Behind a tunnel there is no address. That of a rejected cluster may hold what it was rejected for: a password in its
  // userinfo.
  return { type: record.endpointType };
}

/** Whether the cluster can be used, or why not. */
export function acceptedConditionOf(record: ClusterRecord): ClusterGatewayCondition {
  return record.type === 'accepted'
    ? { type: 'Accepted', status: 'True', reason: 'Valid', message: '' }
    : { type: 'Accepted', status: 'False', reason: record.reason, message: record.message };
}

function conditionsOf(record: ClusterRecord, now: number): ClusterGatewayCondition[] {
  const accepted = acceptedConditionOf(record);
  if (record.type === 'rejected') return [accepted];
  const credential = credentialConditionOf(record, now);
  const identity = identityConditionOf(record);
  return [
    accepted,
    serverConditionOf(record, now),
    ...(credential ? [credential] : []),
    ...(identity ? [identity] : []),
  ];
}
