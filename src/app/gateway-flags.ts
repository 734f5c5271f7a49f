import { Command, CommanderError, Option } from 'commander';
import { errorText } from '../base/failure.ts';
import type { GatewayOptions } from './gateway-options.ts';
import {
  parseBoolean,
  parseCipherSuites,
  parseDuration,
  parseFeatureGates,
  parseInteger,
  parseList,
  parseTlsVersion,
} from './go-values.ts';

/** Parsing ended without options: `--help`, or something wrong. `text` is for standard output or error. */
export class FlagsEnd extends Error {
  readonly exitCode: number;
  constructor(text: string, exitCode: number) {
    super(text);
    this.exitCode = exitCode;
  }
}

interface Flag {
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
const integer = (min: number, max: number) => (value: string) => parseInteger(value, { min, max });
const limit = integer(0, 1_000_000);

/** Every flag, by the name that kube-apiserver or the Go gateway gave it. */
export const gatewayFlags = {
  'secret-namespace': {
    group: 'Gateway',
    value: 'namespace',
    default: 'vela-system',
    parse: text,
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
    parse: text,
    help: 'Serving certificate with its intermediates, PEM; read again when it changes.',
  },
  'tls-private-key-file': {
    group: 'Serving',
    value: 'file',
    parse: text,
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
  kubeconfig: {
    group: 'Hub',
    value: 'file',
    parse: text,
    help: 'How to reach the hub; in a pod the service account is the default.',
  },
  'authentication-kubeconfig': {
    group: 'Hub',
    value: 'file',
    parse: text,
    help: 'Kubeconfig for TokenReviews and the authentication ConfigMap; default: --kubeconfig.',
  },
  'authorization-kubeconfig': {
    group: 'Hub',
    value: 'file',
    parse: text,
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
    parse: text,
    help: 'CA of client certificates; overrides the ConfigMap.',
  },
  'requestheader-client-ca-file': {
    group: 'Authentication',
    value: 'file',
    parse: text,
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
    parse: text,
    help: 'Write an audit.k8s.io/v1 event at level Metadata for each request; - for standard output.',
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
const notImplemented = new Set([
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
  'audit-policy-file',
  'audit-log-format',
  'audit-log-maxage',
  'audit-log-maxbackup',
  'audit-log-maxsize',
  'audit-log-mode',
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

type FlagName = keyof typeof gatewayFlags;
type Parsed = { [Name in FlagName]: ReturnType<(typeof gatewayFlags)[Name]['parse']> | undefined };

/** Reads the command line; throws FlagsEnd for `--help` and for the first thing that is wrong. */
export function parseGatewayFlags(argv: readonly string[]): GatewayOptions {
  refuseNotImplemented(argv);
  const command = gatewayCommand();
  try {
    command.parse([...argv], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    const isHelp = error.code === 'commander.helpDisplayed' || error.code === 'commander.help';
    throw new FlagsEnd(
      isHelp ? command.helpInformation() : error.message.replace(/^error: /, ''),
      isHelp ? 0 : 2,
    );
  }
  // kube-apiserver's binary takes no words; the Go image's manifests pass its own name.
  const words = command.args.filter((word) => word !== 'apiserver');
  if (words.length > 0) throw new FlagsEnd(`unknown argument ${JSON.stringify(words[0])}`, 2);
  return optionsFrom(valuesOf(command));
}

function refuseNotImplemented(argv: readonly string[]): void {
  for (const word of argv) {
    const name = /^--([a-z0-9-]+)/.exec(word)?.[1] ?? '';
    // Manifests switch these off, which is what they are.
    if (name === 'ocm-integration' && /=f(?:alse)?$/i.test(word)) continue;
    if (notImplemented.has(name)) throw new FlagsEnd(`--${name} is not implemented by this version`, 2);
  }
}

function gatewayCommand(): Command {
  const command = new Command('cluster-gateway apiserver')
    .description('Serves clustergateways and their proxy as an aggregated API server of the hub.')
    .argument('[words...]')
    .usage('[flags]')
    .helpOption('-h, --help', 'Show this.')
    .configureOutput({ writeOut: () => {}, writeErr: () => {} })
    .configureHelp({ helpWidth: 110, showGlobalOptions: false, visibleArguments: () => [] })
    .exitOverride();
  for (const [name, flag] of Object.entries<Flag>(gatewayFlags)) {
    const isBoolean = flag.value === 'bool';
    const value = isBoolean ? '[bool]' : `<${flag.value}>`;
    const option = new Option(
      `${flag.short === undefined ? '' : `${flag.short}, `}--${name} ${value}`,
      flag.help,
    );
    if (flag.default !== undefined && flag.default !== '') option.default(flag.default, flag.default);
    if (isBoolean) option.preset('true');
    option.helpGroup(`${flag.group}:`);
    if (flag.hidden) option.hideHelp();
    command.addOption(option);
  }
  if (command.options.some((option) => option.negate)) throw new Error('flags are not negated');
  return command;
}

function valuesOf(command: Command): Parsed {
  const values: Record<string, unknown> = {};
  for (const option of command.options) {
    const name = option.long?.slice(2) ?? '';
    const flag: Flag | undefined = name in gatewayFlags ? gatewayFlags[name as FlagName] : undefined;
    if (!flag) continue;
    const given: unknown = command.getOptionValue(option.attributeName()) ?? flag.default;
    try {
      values[name] = typeof given === 'string' ? flag.parse(given) : undefined;
    } catch (error) {
      throw new FlagsEnd(`invalid value for --${name}: ${errorText(error)}`, 2);
    }
  }
  return values as Parsed;
}

const knownGates = new Map([
  ['HealthinessCheck', [true, false]],
  ['SecretCache', [true]],
  ['ClientIdentityPenetration', [false]],
  ['OCMClusterCache', [true, false]],
]);

function checkGates(gates: ReadonlyMap<string, boolean>): void {
  for (const [name, value] of gates) {
    if (knownGates.get(name)?.includes(value) === false) {
      throw new FlagsEnd(`--feature-gates: ${name}=${value} is not implemented by this version`, 2);
    }
  }
}

function optionsFrom(flags: Parsed): GatewayOptions {
  const present = <T>(value: T | undefined): T => {
    if (value === undefined) throw new Error('a flag without a default was expected to have one');
    return value;
  };
  const featureGates = flags['feature-gates'] ?? new Map<string, boolean>();
  checkGates(featureGates);
  if ((flags['tls-cert-file'] === undefined) !== (flags['tls-private-key-file'] === undefined)) {
    throw new FlagsEnd('--tls-cert-file and --tls-private-key-file go together', 2);
  }
  return {
    ...servingOptions(flags, present),
    ...hubOptions(flags, present),
    secretNamespace: present(flags['secret-namespace']),
    requireClusterCa: present(flags['require-cluster-ca']),
    execPluginAllowlist: present(flags['exec-plugin-allowlist']),
    userAgent: present(flags['user-agent']),
    featureGates,
    inFlight: {
      readOnly: present(flags['max-requests-inflight']),
      mutating: present(flags['max-mutating-requests-inflight']),
      longRunning: present(flags['max-longrunning-requests-inflight']),
    },
    auditLogPath: flags['audit-log-path'],
    verbosity: present(flags.v),
  };
}

type Present = <T>(value: T | undefined) => T;

function servingOptions(flags: Parsed, present: Present) {
  return {
    bindAddress: present(flags['bind-address']),
    securePort: present(flags['secure-port']),
    certDirectory: present(flags['cert-dir']),
    tlsCertFile: flags['tls-cert-file'],
    tlsPrivateKeyFile: flags['tls-private-key-file'],
    tlsMinVersion: present(flags['tls-min-version']),
    tlsCipherSuites: flags['tls-cipher-suites'] ?? [],
    disableHttp2: present(flags['disable-http2-serving']),
    maxStreamsPerConnection: present(flags['http2-max-streams-per-connection']),
    shutdownDelayMs: present(flags['shutdown-delay-duration']),
    shutdownGraceMs: present(flags['shutdown-grace-duration']),
  };
}

function hubOptions(flags: Parsed, present: Present) {
  return {
    kubeconfig: flags.kubeconfig,
    authenticationKubeconfig: flags['authentication-kubeconfig'],
    authorizationKubeconfig: flags['authorization-kubeconfig'],
    skipAuthenticationLookup: present(flags['authentication-skip-lookup']),
    tolerateAuthenticationLookupFailure: present(flags['authentication-tolerate-lookup-failure']),
    tokenCacheTtlMs: present(flags['authentication-token-webhook-cache-ttl']),
    clientCaFile: flags['client-ca-file'],
    requestHeader: {
      clientCaFile: flags['requestheader-client-ca-file'],
      allowedNames: flags['requestheader-allowed-names'] ?? [],
      usernameHeaders: present(flags['requestheader-username-headers']),
      groupHeaders: present(flags['requestheader-group-headers']),
      extraHeaderPrefixes: present(flags['requestheader-extra-headers-prefix']),
      uidHeaders: flags['requestheader-uid-headers'] ?? [],
    },
    alwaysAllowPaths: present(flags['authorization-always-allow-paths']),
    allowCacheTtlMs: present(flags['authorization-webhook-cache-authorized-ttl']),
    denyCacheTtlMs: present(flags['authorization-webhook-cache-unauthorized-ttl']),
  };
}
