import type { Cluster } from '../clusters/cluster.ts';
import type { ClusterGatewayCondition } from './cluster-gateway-condition.ts';

/** IdentityRules: whether the cluster's own rules can be read; undefined where it has none. Pure. */
export function identityConditionOf({ identityRules }: Cluster): ClusterGatewayCondition | undefined {
  const type = 'IdentityRules';
  switch (identityRules?.type) {
    case undefined:
      return undefined;
    case 'readable':
      return { type, status: 'True', reason: 'Valid', message: '' };
    case 'unreadable':
      return { type, status: 'False', reason: 'Unreadable', message: identityRules.message };
  }
}
