import { FlagsEnd, defaulted, parseFlags } from './flag-set.ts';
import type { FlagValues } from './flag-set.ts';
import type { GatewayOptions } from './gateway-options.ts';
import { gatewayFlags, notImplemented } from './gateway-flag-table.ts';
import { tunnelOptions } from './tunnel-flags.ts';

export { FlagsEnd } from './flag-set.ts';

type Parsed = FlagValues<typeof gatewayFlags>;

/** Reads the command line; throws FlagsEnd for `--help` and for the first thing that is wrong. */
export function parseGatewayFlags(argv: readonly string[]): GatewayOptions {
  const set = {
    name: 'cluster-gateway apiserver',
    description: 'Serves clustergateways and their proxy as an aggregated API server of the hub.',
    flags: gatewayFlags,
    notImplemented,
    isIgnored: isSwitchedOff,
    // kube-apiserver's binary takes no words; the Go image's manifests pass its own name.
    allowedWords: ['apiserver'],
  };
  return optionsFrom(parseFlags(set, argv));
}

/** Manifests switch this off, which is what it is. */
const isSwitchedOff = (word: string) => /^--ocm-integration=(?:0|f|false)$/i.test(word);

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
  const featureGates = flags['feature-gates'] ?? new Map<string, boolean>();
  checkGates(featureGates);
  if ((flags['tls-cert-file'] === undefined) !== (flags['tls-private-key-file'] === undefined)) {
    throw new FlagsEnd('--tls-cert-file and --tls-private-key-file go together', 2);
  }
  return {
    ...servingOptions(flags),
    ...hubOptions(flags),
    secretNamespace: defaulted(flags['secret-namespace']),
    requireClusterCa: defaulted(flags['require-cluster-ca']),
    execPluginAllowlist: flags['exec-plugin-allowlist'] ?? [],
    authorizeProxySubpath: defaulted(flags['authorize-proxy-subpath']),
    requireCreateForUpgrade: defaulted(flags['require-create-for-upgrade']),
    deniedEndpointAddresses: flags['deny-endpoint-addresses'] ?? [],
    tunnel: tunnelOptions(flags),
    identity: {
      rulesFile: flags['cluster-gateway-proxy-config'],
      deniedUsers: flags['impersonation-denied-users'] ?? [],
      droppedGroups: flags['impersonation-dropped-groups'] ?? [],
      droppedExtras: flags['impersonation-dropped-extras'] ?? [],
      sendUid: defaulted(flags['impersonation-uid']),
    },
    userAgent: defaulted(flags['user-agent']),
    featureGates,
    inFlightShare: defaulted(flags['max-inflight-share-per-user']) / 100,
    inFlightShareOfCluster: defaulted(flags['max-inflight-share-per-cluster']) / 100,
    requestTimeoutMs: defaulted(flags['request-timeout']),
    minRequestTimeoutMs: defaulted(flags['min-request-timeout']) * 1000,
    inFlight: {
      readOnly: defaulted(flags['max-requests-inflight']),
      mutating: defaulted(flags['max-mutating-requests-inflight']),
      longRunning: defaulted(flags['max-longrunning-requests-inflight']),
    },
    audit: {
      policyFile: flags['audit-policy-file'],
      logPath: flags['audit-log-path'],
      maxAgeDays: defaulted(flags['audit-log-maxage']),
      maxBackups: defaulted(flags['audit-log-maxbackup']),
      maxBytes: defaulted(flags['audit-log-maxsize']) * 1024 * 1024,
      compress: defaulted(flags['audit-log-compress']),
    },
    verbosity: defaulted(flags.v),
  };
}

function servingOptions(flags: Parsed) {
  return {
    bindAddress: defaulted(flags['bind-address']),
    securePort: defaulted(flags['secure-port']),
    certDirectory: defaulted(flags['cert-dir']),
    tlsCertFile: flags['tls-cert-file'],
    tlsPrivateKeyFile: flags['tls-private-key-file'],
    tlsMinVersion: defaulted(flags['tls-min-version']),
    tlsCipherSuites: flags['tls-cipher-suites'] ?? [],
    tlsSniCertificates: flags['tls-sni-cert-key'] ?? [],
    disableHttp2: defaulted(flags['disable-http2-serving']),
    maxStreamsPerConnection: defaulted(flags['http2-max-streams-per-connection']),
    goawayChance: defaulted(flags['goaway-chance']),
    shutdownDelayMs: defaulted(flags['shutdown-delay-duration']),
    shutdownGraceMs: defaulted(flags['shutdown-grace-duration']),
    shutdownSendRetryAfter: defaulted(flags['shutdown-send-retry-after']),
    shutdownWatchSpreadMs: defaulted(flags['shutdown-watch-termination-grace-period']),
  };
}

function hubOptions(flags: Parsed) {
  return {
    kubeconfig: flags.kubeconfig,
    authenticationKubeconfig: flags['authentication-kubeconfig'],
    authorizationKubeconfig: flags['authorization-kubeconfig'],
    skipAuthenticationLookup: defaulted(flags['authentication-skip-lookup']),
    tolerateAuthenticationLookupFailure: defaulted(flags['authentication-tolerate-lookup-failure']),
    tokenCacheTtlMs: defaulted(flags['authentication-token-webhook-cache-ttl']),
    apiAudiences: flags['api-audiences'] ?? [],
    clientCaFile: flags['client-ca-file'],
    requestHeader: {
      clientCaFile: flags['requestheader-client-ca-file'],
      allowedNames: flags['requestheader-allowed-names'] ?? [],
      usernameHeaders: defaulted(flags['requestheader-username-headers']),
      groupHeaders: defaulted(flags['requestheader-group-headers']),
      extraHeaderPrefixes: defaulted(flags['requestheader-extra-headers-prefix']),
      uidHeaders: flags['requestheader-uid-headers'] ?? [],
    },
    alwaysAllowPaths: defaulted(flags['authorization-always-allow-paths']),
    allowCacheTtlMs: defaulted(flags['authorization-webhook-cache-authorized-ttl']),
    denyCacheTtlMs: defaulted(flags['authorization-webhook-cache-unauthorized-ttl']),
  };
}
