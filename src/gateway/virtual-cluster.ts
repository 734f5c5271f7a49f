import { LOCAL_CLUSTER } from '../clusters/cluster.ts';
import type { ClusterRecord } from '../clusters/cluster.ts';
import type { KubeObject } from '../kube/object-meta.ts';
import { GROUP, VERSION } from './api-group.ts';
import { acceptedConditionOf } from './cluster-gateway.ts';
import type { ClusterGatewayCondition } from './cluster-gateway-condition.ts';

/** Tells the hub itself from the clusters that it manages; the gateway gives it, a Secret's own is not shown. */
export const CONTROL_PLANE_LABEL = `${GROUP}/control-plane`;

/** A cluster as KubeVela's users see it: the hub itself (`local`), or one that is registered. */
export interface VirtualCluster extends KubeObject {
  readonly kind: 'VirtualCluster';
  readonly spec: {
    readonly alias?: string;
    readonly accepted: boolean;
    readonly endpoint: string;
    readonly 'credential-type'?: string;
  };
  readonly status: { readonly conditions: readonly ClusterGatewayCondition[] };
}

const blankEndpoint = '-';
const apiVersion = `${GROUP}/${VERSION}`;

/** Shows a registered cluster as a VirtualCluster; pure. Undefined for the name that stands for the hub itself. */
export function virtualClusterFrom(record: ClusterRecord): VirtualCluster | undefined {
  if (record.name === LOCAL_CLUSTER) return undefined;
  return {
    apiVersion,
    kind: 'VirtualCluster',
    metadata: {
      name: record.name,
      ...(record.resourceVersion === '' ? {} : { resourceVersion: record.resourceVersion }),
      ...(record.creationTimestamp === undefined ? {} : { creationTimestamp: record.creationTimestamp }),
      labels: { ...record.labels, [CONTROL_PLANE_LABEL]: 'false' },
    },
    spec: {
      ...(record.alias === '' ? {} : { alias: record.alias }),
      accepted: record.type === 'accepted',
      endpoint: endpointOf(record),
      ...(record.credentialType === '' ? {} : { 'credential-type': record.credentialType }),
    },
    status: { conditions: [acceptedConditionOf(record)] },
  };
}

/** The hub itself. It has no Secret, so it is as old as the gateway's first list. */
export const localCluster: VirtualCluster = {
  apiVersion,
  kind: 'VirtualCluster',
  metadata: { name: LOCAL_CLUSTER, labels: { [CONTROL_PLANE_LABEL]: 'true' } },
  spec: { accepted: true, endpoint: blankEndpoint, 'credential-type': 'Internal' },
  status: { conditions: [{ type: 'Accepted', status: 'True', reason: 'Internal', message: '' }] },
};

/** As KubeVela shows it: the type of the endpoint where one is written down, else its address. */
function endpointOf(record: ClusterRecord): string {
  if (record.hasEndpointType) return record.endpointType;
  // The address of a rejected cluster may hold what it was rejected for: a password in its userinfo.
  return record.type === 'accepted' ? record.endpoint.url : blankEndpoint;
}

/** The hub first, then the newest: as KubeVela lists them. Clusters of one second stand by name. */
export function compareVirtualClusters(left: VirtualCluster, right: VirtualCluster): number {
  const [leftKey, rightKey] = [orderOf(left), orderOf(right)];
  return rightKey - leftKey || (left.metadata.name < right.metadata.name ? -1 : 1);
}

function orderOf({ metadata }: VirtualCluster): number {
  if (metadata.name === LOCAL_CLUSTER) return Number.MAX_VALUE;
  const created = Date.parse(metadata.creationTimestamp ?? '');
  return Number.isNaN(created) ? 0 : created;
}
