import { file } from './flag.ts';
import type { Flag } from './flag.ts';
import { parseBoolean, parseList } from './go-values.ts';

/** Who callers are at the clusters. */
export const identityFlags = {
  'cluster-gateway-proxy-config': {
    group: 'Identity',
    value: 'file',
    parse: file,
    help: 'ClusterGatewayProxyConfiguration with the rules of who callers are at the clusters, behind those of each cluster; read again when it changes.',
  },
  'impersonation-denied-users': {
    group: 'Identity',
    value: 'users',
    default:
      'system:admin,system:aggregator,system:apiserver,system:bootstrap:*,system:cloud-controller-manager,system:kube-*,system:node:*,system:serviceaccount:kube-system:*,system:volume-scheduler',
    parse: parseList,
    joinedBy: ',',
    help: 'Callers who are answered 403 instead of being impersonated at a cluster; a trailing * makes a prefix.',
  },
  'impersonation-dropped-groups': {
    group: 'Identity',
    value: 'groups',
    default: 'system:*,kubeadm:cluster-admins',
    parse: parseList,
    joinedBy: ',',
    help: 'Groups of impersonated callers that no cluster is told; a trailing * makes a prefix.',
  },
  'impersonation-dropped-extras': {
    group: 'Identity',
    value: 'keys',
    default: 'authentication.kubernetes.io/*',
    parse: (text: string) => parseList(text.toLowerCase()),
    joinedBy: ',',
    help: 'Keys of extra attributes of impersonated callers that no cluster is told; a trailing * makes a prefix.',
  },
  'impersonation-uid': {
    group: 'Identity',
    value: 'bool',
    default: 'true',
    parse: parseBoolean,
    help: 'Tell clusters the UID of impersonated callers, which the credential there needs the right to impersonate, too.',
  },
} satisfies Record<string, Flag>;
