import {
  parseBoolean,
  parseCipherSuites,
  parseDuration,
  parseFeatureGates,
  parseInteger,
  parseList,
  parseTlsVersion,
} from './go-values.ts';

export interface Flag {
  readonly group: string;
  readonly help: string;
  readonly value: string;
  /** As it would be written on the command line; undefined: not set. */
  readonly default?: string;
  readonly parse: (text: string) => unknown;
  readonly hidden?: boolean;
  readonly short?: string;
}

const text = (value: string) => value;
/** Charts write `--audit-log-path=` for none. */
const file = (path: string) => path || undefined;
const present = (value: string) => {
  if (value === '') throw new Error('it must not be empty');
  return value;
};
const only = (value: string, why: string) => (given: string) => {
  if (given !== value) throw new Error(`${JSON.stringify(given)} is not implemented, only ${value}: ${why}`);
  return given;
};
const integer = (min: number, max: number) => (value: string) => parseInteger(value, { min, max });
const limit = integer(0, 1_000_000);

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
    default: '*',
    parse: parseList,
    help: 'Commands that Secrets of type Dynamic may run, as they are written there; * for any.',
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
    help: 'HealthinessCheck (default false): show the health that is noted in the annotations of Secrets. Gates that are not known are ignored with a warning.',
  },
  'bind-address': {
    group: 'Serving',
    value: 'ip',
    default: '0.0.0.0',
    parse: text,
    help: 'Address to listen on.',
  },
  'secure-port': {
    group: 'Serving',
    value: 'port',
    default: '443',
    parse: integer(0, 65_535),
    help: 'Port to listen on; 0 takes a free one.',
  },
  'cert-dir': {
    group: 'Serving',
    value: 'directory',
    default: 'apiserver.local.config/certificates',
    parse: text,
    help: 'Where a self-signed certificate is made when --tls-cert-file is not given.',
  },
  'tls-cert-file': {
    group: 'Serving',
    value: 'file',
    parse: file,
    help: 'Serving certificate with its intermediates, PEM; read again when it changes.',
  },
  'tls-private-key-file': {
    group: 'Serving',
    value: 'file',
    parse: file,
    help: 'Private key of the serving certificate, PEM.',
  },
  'tls-min-version': {
    group: 'Serving',
    value: 'version',
    default: 'VersionTLS12',
    parse: parseTlsVersion,
    help: 'VersionTLS12 or VersionTLS13.',
  },
  'tls-cipher-suites': {
    group: 'Serving',
    value: 'suites',
    default: '',
    parse: parseCipherSuites,
    help: "TLS 1.2 cipher suites by Go's names; empty: Node's defaults.",
  },
  'disable-http2-serving': {
    group: 'Serving',
    value: 'bool',
    default: 'false',
    parse: parseBoolean,
    help: 'Offer HTTP/1.1 only.',
  },
  'http2-max-streams-per-connection': {
    group: 'Serving',
    value: 'number',
    default: '1000',
    parse: integer(1, 100_000),
    help: 'Concurrent requests of one HTTP/2 connection.',
  },
  'shutdown-delay-duration': {
    group: 'Serving',
    value: 'duration',
    default: '0s',
    parse: parseDuration,
    help: 'After SIGTERM, keep serving for this long while not ready.',
  },
  'shutdown-grace-duration': {
    group: 'Serving',
    value: 'duration',
    default: '30s',
    parse: parseDuration,
    help: 'After that, wait this long for requests to end before they are cut.',
  },
  'shutdown-watch-termination-grace-period': {
    group: 'Serving',
    value: 'duration',
    default: '10s',
    parse: parseDuration,
    help: 'Within the grace, the ends of many watches and followed logs are spread over this long.',
  },
  kubeconfig: {
    group: 'Hub',
    value: 'file',
    parse: file,
    help: 'How to reach the hub; in a pod the service account is the default.',
  },
  'authentication-kubeconfig': {
    group: 'Hub',
    value: 'file',
    parse: file,
    help: 'Kubeconfig for TokenReviews and the authentication ConfigMap; default: --kubeconfig.',
  },
  'authorization-kubeconfig': {
    group: 'Hub',
    value: 'file',
    parse: file,
    help: 'Kubeconfig for SubjectAccessReviews; default: --kubeconfig.',
  },
  'authentication-skip-lookup': {
    group: 'Authentication',
    value: 'bool',
    default: 'false',
    parse: parseBoolean,
    help: 'Do not read kube-system/extension-apiserver-authentication; use the flags below alone.',
  },
  'authentication-tolerate-lookup-failure': {
    group: 'Authentication',
    value: 'bool',
    default: 'false',
    parse: parseBoolean,
    help: 'Become ready without that ConfigMap: callers through the hub are unknown until it can be read.',
  },
  'authentication-token-webhook-cache-ttl': {
    group: 'Authentication',
    value: 'duration',
    default: '10s',
    parse: parseDuration,
    help: 'How long the answer of a TokenReview is used again.',
  },
  'client-ca-file': {
    group: 'Authentication',
    value: 'file',
    parse: file,
    help: 'CA of client certificates; overrides the ConfigMap.',
  },
  'requestheader-client-ca-file': {
    group: 'Authentication',
    value: 'file',
    parse: file,
    help: "CA of the front proxy's certificate; with it the ConfigMap's request-header settings are not used.",
  },
  'requestheader-allowed-names': {
    group: 'Authentication',
    value: 'names',
    default: '',
    parse: parseList,
    help: 'Common names that may act as front proxy; empty: any that the CA signed.',
  },
  'requestheader-username-headers': {
    group: 'Authentication',
    value: 'headers',
    default: 'x-remote-user',
    parse: parseList,
    help: 'Headers with the user name.',
  },
  'requestheader-group-headers': {
    group: 'Authentication',
    value: 'headers',
    default: 'x-remote-group',
    parse: parseList,
    help: 'Headers with groups.',
  },
  'requestheader-extra-headers-prefix': {
    group: 'Authentication',
    value: 'prefixes',
    default: 'x-remote-extra-',
    parse: parseList,
    help: 'Prefixes of headers with extra attributes.',
  },
  'requestheader-uid-headers': {
    group: 'Authentication',
    value: 'headers',
    default: '',
    parse: parseList,
    help: 'Headers with the UID.',
  },
  'authorization-always-allow-paths': {
    group: 'Authorization',
    value: 'paths',
    default: '/healthz,/readyz,/livez',
    parse: parseList,
    help: 'Paths that anybody may read; a trailing * makes a prefix.',
  },
  'authorization-webhook-cache-authorized-ttl': {
    group: 'Authorization',
    value: 'duration',
    default: '10s',
    parse: parseDuration,
    help: 'How long an allowed SubjectAccessReview is used again.',
  },
  'authorization-webhook-cache-unauthorized-ttl': {
    group: 'Authorization',
    value: 'duration',
    default: '10s',
    parse: parseDuration,
    help: 'How long a denied one is.',
  },
  'max-requests-inflight': {
    group: 'Limits',
    value: 'number',
    default: '400',
    parse: limit,
    help: 'Read-only requests at once; 0: no limit.',
  },
  'max-mutating-requests-inflight': {
    group: 'Limits',
    value: 'number',
    default: '200',
    parse: limit,
    help: 'Mutating requests at once; 0: no limit.',
  },
  'max-longrunning-requests-inflight': {
    group: 'Limits',
    value: 'number',
    default: '10000',
    parse: limit,
    help: 'Watches, followed logs and upgrades at once; 0: no limit.',
  },
  'audit-log-path': {
    group: 'Observability',
    value: 'file',
    parse: file,
    help: 'Write audit.k8s.io/v1 events to this file, one JSON object a line; - for standard output; empty: none.',
  },
  'audit-policy-file': {
    group: 'Observability',
    value: 'file',
    parse: file,
    help: 'audit.k8s.io/v1 Policy: what is audited; without it everything but probes, at level Metadata.',
  },
  'audit-log-maxage': {
    group: 'Observability',
    value: 'days',
    default: '366',
    parse: integer(0, 100_000),
    help: 'Days after which a rotated audit log is removed; 0: never.',
  },
  'audit-log-maxbackup': {
    group: 'Observability',
    value: 'number',
    default: '100',
    parse: integer(0, 1_000_000),
    help: 'Rotated audit logs that are kept; 0: all.',
  },
  'audit-log-maxsize': {
    group: 'Observability',
    value: 'MiB',
    default: '100',
    parse: integer(0, 1_000_000),
    help: 'Size at which the audit log is rotated; 0: never.',
  },
  'audit-log-compress': {
    group: 'Observability',
    value: 'bool',
    default: 'false',
    parse: parseBoolean,
    help: 'Compress rotated audit logs with gzip.',
  },
  'audit-log-format': {
    group: 'Observability',
    value: 'format',
    default: 'json',
    parse: only('json', 'one JSON object a line is the one format'),
    help: 'json is the one format.',
  },
  'audit-log-mode': {
    group: 'Observability',
    value: 'mode',
    default: 'batch',
    parse: only('batch', 'no request waits for its audit event'),
    help: 'batch is the one mode: events are written behind the requests, and none waits for it.',
  },
  'audit-log-version': {
    group: 'Observability',
    value: 'version',
    default: 'audit.k8s.io/v1',
    parse: only('audit.k8s.io/v1', 'there is no other version'),
    hidden: true,
    help: 'Accepted for existing manifests; there is one version.',
  },
  v: {
    group: 'Observability',
    value: 'level',
    default: '0',
    parse: integer(0, 10),
    short: '-v',
    help: 'Verbosity: 0 to 3 information, 4 and more debugging.',
  },
  logtostderr: {
    group: 'Observability',
    value: 'bool',
    default: 'true',
    parse: parseBoolean,
    hidden: true,
    help: 'Accepted; logs always go to standard error.',
  },
  'virtual-clutser-with-control-plane': {
    group: 'Gateway',
    value: 'bool',
    default: 'true',
    parse: parseBoolean,
    hidden: true,
    help: 'Accepted for the Go gateway’s manifests, which spell it so.',
  },
} satisfies Record<string, Flag>;

/** Flags of kube-apiserver's library and of the Go gateway that this program does not have; refused by name. */
export const notImplemented = new Set([
  'ocm-integration',
  'proxy-host',
  'proxy-port',
  'proxy-ca-cert',
  'proxy-cert',
  'proxy-key',
  'authorize-proxy-subpath',
  'cluster-gateway-proxy-config',
  'standalone-debug-mode',
  'tls-sni-cert-key',
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
  'goaway-chance',
  'request-timeout',
  'shutdown-send-retry-after',
]);
