import { Command, CommanderError, Option } from 'commander';
import { errorText } from '../base/failure.ts';
import type { GatewayOptions } from './gateway-options.ts';
import { gatewayFlags, notImplemented } from './gateway-flag-table.ts';
import type { Flag } from './flag.ts';

/** Parsing ended without options: `--help`, or something wrong. `text` is for standard output or error. */
export class FlagsEnd extends Error {
  readonly exitCode: number;
  constructor(text: string, exitCode: number) {
    super(text);
    this.exitCode = exitCode;
  }
}

type FlagName = keyof typeof gatewayFlags;
type Parsed = { [Name in FlagName]: ReturnType<(typeof gatewayFlags)[Name]['parse']> | undefined };

/** Reads the command line; throws FlagsEnd for `--help` and for the first thing that is wrong. */
export function parseGatewayFlags(argv: readonly string[]): GatewayOptions {
  refuseNotImplemented(argv);
  const command = gatewayCommand();
  try {
    command.parse(pflagWords(argv), { from: 'user' });
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

/** Go's pflag reads some words otherwise than commander: `--bool` never takes the next word, and `-v=4` is `--v=4`. */
function pflagWords(argv: readonly string[]): string[] {
  const flags = new Map(Object.entries<Flag>(gatewayFlags));
  return argv
    .filter((word) => !isSwitchedOff(word))
    .map((word) => {
      if (flags.get(word.slice(2))?.value === 'bool' && word.startsWith('--')) return `${word}=true`;
      return word.startsWith('-v=') ? `-${word}` : word;
    });
}

/** Manifests switch this off, which is what it is. */
const isSwitchedOff = (word: string) => /^--ocm-integration=(?:0|f|false)$/i.test(word);

function refuseNotImplemented(argv: readonly string[]): void {
  for (const word of argv) {
    const name = /^--([a-z0-9-]+)/.exec(word)?.[1] ?? '';
    if (notImplemented.has(name) && !isSwitchedOff(word))
      throw new FlagsEnd(`--${name} is not implemented by this version`, 2);
  }
}

function gatewayCommand(): Command {
  const command = new Command('cluster-gateway apiserver')
    .description('Serves clustergateways and their proxy as an aggregated API server of the hub.')
    .argument('[words...]')
    .usage('[flags]')
    .helpOption('-h, --help', 'Show this.')
    .configureOutput({ writeOut: () => {}, writeErr: () => {} })
    .configureHelp({
      helpWidth: 110,
      showGlobalOptions: false,
      visibleArguments: () => [],
      optionTerm: ({ flags }) => flags.replace(' <bool>', '[=bool]'),
    })
    .exitOverride();
  for (const [name, flag] of Object.entries<Flag>(gatewayFlags)) {
    // A boolean's value may be left out, but only `=` gives it: see pflagWords.
    const value = flag.value === 'bool' ? '<bool>' : `<${flag.value}>`;
    const option = new Option(
      `${flag.short === undefined ? '' : `${flag.short}, `}--${name} ${value}`,
      flag.help,
    );
    if (flag.joinedBy !== undefined) option.argParser(joinValues(flag.joinedBy));
    if (flag.default !== undefined && flag.default !== '') option.default(flag.default, flag.default);
    option.helpGroup(`${flag.group}:`);
    if (flag.hidden) option.hideHelp();
    command.addOption(option);
  }
  if (command.options.some((option) => option.negate)) throw new Error('flags are not negated');
  return command;
}

/** As pflag's slices: the first value takes the place of the default, later ones are added. */
function joinValues(separator: string): (value: string) => string {
  const given: string[] = [];
  return (value) => {
    given.push(value);
    return given.join(separator);
  };
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

/** Gates that nobody here knows: kube-apiserver's own, most of them. */
export function unknownGates({ featureGates }: Pick<GatewayOptions, 'featureGates'>): string[] {
  return [...featureGates.keys()].filter((name) => !knownGates.has(name));
}

const knownGates = new Map([
  ['HealthinessCheck', [true, false]],
  ['SecretCache', [true]],
  ['ClientIdentityPenetration', [true, false]],
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
    execPluginAllowlist: flags['exec-plugin-allowlist'] ?? [],
    authorizeProxySubpath: present(flags['authorize-proxy-subpath']),
    requireCreateForUpgrade: present(flags['require-create-for-upgrade']),
    deniedEndpointAddresses: flags['deny-endpoint-addresses'] ?? [],
    identity: {
      rulesFile: flags['cluster-gateway-proxy-config'],
      deniedUsers: flags['impersonation-denied-users'] ?? [],
      droppedGroups: flags['impersonation-dropped-groups'] ?? [],
      droppedExtras: flags['impersonation-dropped-extras'] ?? [],
      sendUid: present(flags['impersonation-uid']),
    },
    userAgent: present(flags['user-agent']),
    featureGates,
    inFlightShare: present(flags['max-inflight-share-per-user']) / 100,
    inFlightShareOfCluster: present(flags['max-inflight-share-per-cluster']) / 100,
    requestTimeoutMs: present(flags['request-timeout']),
    minRequestTimeoutMs: present(flags['min-request-timeout']) * 1000,
    inFlight: {
      readOnly: present(flags['max-requests-inflight']),
      mutating: present(flags['max-mutating-requests-inflight']),
      longRunning: present(flags['max-longrunning-requests-inflight']),
    },
    audit: {
      policyFile: flags['audit-policy-file'],
      logPath: flags['audit-log-path'],
      maxAgeDays: present(flags['audit-log-maxage']),
      maxBackups: present(flags['audit-log-maxbackup']),
      maxBytes: present(flags['audit-log-maxsize']) * 1024 * 1024,
      compress: present(flags['audit-log-compress']),
    },
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
    tlsSniCertificates: flags['tls-sni-cert-key'] ?? [],
    disableHttp2: present(flags['disable-http2-serving']),
    maxStreamsPerConnection: present(flags['http2-max-streams-per-connection']),
    goawayChance: present(flags['goaway-chance']),
    shutdownDelayMs: present(flags['shutdown-delay-duration']),
    shutdownGraceMs: present(flags['shutdown-grace-duration']),
    shutdownSendRetryAfter: present(flags['shutdown-send-retry-after']),
    shutdownWatchSpreadMs: present(flags['shutdown-watch-termination-grace-period']),
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
    apiAudiences: flags['api-audiences'] ?? [],
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
