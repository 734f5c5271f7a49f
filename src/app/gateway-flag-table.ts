import { present, text } from './flag.ts';
import type { Flag } from './flag.ts';
import { parseAddressRules } from './address-rules.ts';
import { parseBoolean, parseFeatureGates, parseList } from './go-values.ts';
import { hubFlags } from './hub-flags.ts';
import { identityFlags } from './identity-flags.ts';
import { observabilityFlags } from './observability-flags.ts';
import { servingFlags } from './serving-flags.ts';
import { tunnelFlags } from './tunnel-flags.ts';

/** Every flag, by the name that kube-apiserver or the Go gateway gave it. */
export const gatewayFlags = {
  'secret-namespace': {
    group: 'Gateway',
    value: 'namespace',
    default: 'vela-system',
    parse: present,
    help: 'Namespace of the hub whose labelled Secrets are the clusters.',
  },
  'require-cluster-ca': {
    group: 'Gateway',
    value: 'bool',
    default: 'false',
    parse: parseBoolean,
    help: 'Refuse clusters whose Secret has no CA instead of connecting to them unverified.',
  },
  'exec-plugin-allowlist': {
    group: 'Gateway',
    value: 'commands',
    default: '',
    parse: parseList,
    joinedBy: ',',
    help: 'Commands that Secrets of type Dynamic may run: names or absolute paths, as they are written there; empty: none; * for any.',
  },
  'authorize-proxy-subpath': {
    group: 'Gateway',
    value: 'bool',
    default: 'false',
    parse: parseBoolean,
    help: 'Callers need the right to what they do inside a cluster, too: the hub is asked for it, as if it were their request.',
  },
  'require-create-for-upgrade': {
    group: 'Gateway',
    value: 'bool',
    default: 'false',
    parse: parseBoolean,
    help: 'Upgrades (exec, attach and port-forward over WebSocket are GETs) need the verb create on clustergateways/proxy, too.',
  },
  'deny-endpoint-addresses': {
    group: 'Gateway',
    value: 'networks',
    default: '',
    parse: parseAddressRules,
    joinedBy: ',',
    help: 'Endpoints and proxies of clusters must not be at, or resolve to, any of these: loopback, link-local, private, addresses, CIDRs.',
  },
  'user-agent': {
    group: 'Gateway',
    value: 'text',
    default: 'cluster-gateway',
    parse: text,
    help: "User-Agent of the gateway's own requests to the hub.",
  },
  'feature-gates': {
    group: 'Gateway',
    value: 'Name=bool,…',
    default: '',
    parse: parseFeatureGates,
    joinedBy: ',',
    help: 'HealthinessCheck (default false): show the health that is noted in the annotations of Secrets, and serve clustergateways/health to note it. ClientIdentityPenetration (default false): callers are impersonated at the clusters, as ?impersonate=true asks for one request. Gates that are not known are ignored with a warning.',
  },
  'virtual-clutser-with-control-plane': {
    group: 'Gateway',
    value: 'bool',
    default: 'true',
    parse: parseBoolean,
    hidden: true,
    help: 'Accepted for the Go gateway’s manifests, which spell it so.',
  },
  ...tunnelFlags,
  ...identityFlags,
  ...servingFlags,
  ...hubFlags,
  ...observabilityFlags,
} satisfies Record<string, Flag>;

/** Flags of kube-apiserver's library and of the Go gateway that this program does not have; refused by name. */
export const notImplemented = new Set([
  'ocm-integration',
  'standalone-debug-mode',
  'permit-port-sharing',
  'permit-address-sharing',
  'audit-webhook-config-file',
  'profiling',
  'contention-profiling',
  'debug-socket-path',
  'enable-priority-and-fairness',
  'egress-selector-config-file',
  'tracing-config-file',
  'enable-admission-plugins',
  'disable-admission-plugins',
  'admission-control-config-file',
  'etcd-servers',
]);
