import { randomUUID } from 'node:crypto';
import { isIPv6 } from 'node:net';
import { errorText } from '../base/failure.ts';
import type { Address } from '../net/dial.ts';
import { hostPort } from '../net/node-errors.ts';
import { createDestinationAllowList } from '../tunnel/agent/destination-allow-list.ts';
import { aliasKey } from '../tunnel/agent/endpoint-dial.ts';
import { parseHostPort } from '../tunnel/agent/host-port.ts';
import { parseServers } from '../tunnel/agent/server-addresses.ts';
import { parseIdentifiers } from '../tunnel/agent-identifiers.ts';
import { agentFlags } from './agent-flags.ts';
import { FlagsEnd, defaulted, parseFlags } from './flag-set.ts';
import type { FlagValues } from './flag-set.ts';

/** What `cluster-gateway agent` does, as its flags and environment say. */
export interface AgentProcessOptions {
  readonly agentId: string;
  readonly identifiers: string;
  readonly servers: readonly Address[];
  readonly caFile: string | undefined;
  readonly certificateFile: string | undefined;
  readonly keyFile: string | undefined;
  readonly tokenFile: string | undefined;
  readonly alpnProtocols: readonly string[];
  readonly syncIntervalMs: number;
  readonly syncIntervalCapMs: number;
  readonly syncForever: boolean;
  readonly keepaliveMs: number;
  /** Entries of `createDestinationAllowList`. */
  readonly allowedDestinations: readonly string[];
  /** By `aliasKey`. */
  readonly aliases: ReadonlyMap<string, Address>;
  readonly dialTimeoutMs: number;
  readonly drainMinMs: number;
  readonly drainGraceMs: number;
  readonly healthHost: string;
  readonly healthPort: number;
  readonly adminHost: string;
  readonly adminPort: number;
  readonly verbosity: number;
}

type Environment = Readonly<Record<string, string | undefined>>;
type Parsed = FlagValues<typeof agentFlags>;

/** Go's servers end a connection for PINGs that come more often than every 30 s; clocks and networks are not exact. */
const shortestKeepaliveMs = 31_000;

/** Reads the command line; throws FlagsEnd for `--help` and for the first thing that is wrong. */
export function parseAgentFlags(argv: readonly string[], environment: Environment): AgentProcessOptions {
  const flags = parseFlags(
    {
      name: 'cluster-gateway agent',
      description: 'Connects a cluster to tunnel servers, and makes connections in it for them.',
      flags: agentFlags,
    },
    argv,
  );
  check(flags);
  const identifiers = defaulted(flags['agent-identifiers']);
  const destinations = destinationsOf(flags, identifiers, environment);
  return {
    agentId: agentIdOf(flags, environment),
    identifiers,
    servers: serversOf(flags),
    caFile: flags['ca-cert'],
    certificateFile: flags['agent-cert'],
    keyFile: flags['agent-key'],
    tokenFile: flags['service-account-token-path'],
    alpnProtocols: flags['alpn-proto'] ?? [],
    syncIntervalMs: defaulted(flags['sync-interval']),
    syncIntervalCapMs: defaulted(flags['sync-interval-cap']),
    syncForever: defaulted(flags['sync-forever']),
    keepaliveMs: Math.max(shortestKeepaliveMs, defaulted(flags['keepalive-time'])),
    ...destinations,
    dialTimeoutMs: defaulted(flags['dial-timeout']),
    drainMinMs: defaulted(flags['drain-min']),
    drainGraceMs: defaulted(flags['drain-grace']),
    healthHost: defaulted(flags['health-server-host']),
    healthPort: defaulted(flags['health-server-port']),
    adminHost: defaulted(flags['admin-bind-address']),
    adminPort: defaulted(flags['admin-server-port']),
    verbosity: defaulted(flags.v),
  };
}

/** What the Go agent checks of its flags, too. */
function check(flags: Parsed): void {
  const wrong = (message: string) => new FlagsEnd(message, 2);
  if ((flags['agent-cert'] === undefined) !== (flags['agent-key'] === undefined))
    throw wrong('--agent-cert and --agent-key go together');
  if (defaulted(flags['sync-interval']) > defaulted(flags['sync-interval-cap']))
    throw wrong('--sync-interval must not be more than --sync-interval-cap');
  if (flags['enable-contention-profiling'] === true && flags['enable-profiling'] !== true)
    throw wrong('--enable-contention-profiling needs --enable-profiling');
  const text = defaulted(flags['agent-identifiers']);
  const unknown = [...new URLSearchParams(text).keys()].find(
    (key) => !['host', 'ipv4', 'ipv6', 'cidr', 'default-route'].includes(key),
  );
  if (unknown !== undefined)
    throw wrong(`invalid value for --agent-identifiers: unknown address type: ${unknown}`);
  if (!/^[\x21-\x7e]*$/.test(text))
    throw wrong('invalid value for --agent-identifiers: it is not a URL-encoded query');
}

function agentIdOf(flags: Parsed, environment: Environment): string {
  const id = defaulted(flags['agent-id']) || environment.PROXY_AGENT_ID || randomUUID();
  if (!/^[\x21-\x7e]{1,256}$/.test(id))
    throw new FlagsEnd('invalid value for --agent-id: it is not one word of ASCII', 2);
  return id;
}

function serversOf(flags: Parsed): Address[] {
  try {
    return parseServers(defaulted(flags['proxy-server-host']), defaulted(flags['proxy-server-port']));
  } catch (error) {
    throw new FlagsEnd(`invalid value for --proxy-server-host: ${errorText(error)}`, 2);
  }
}

/** Inside of a cluster: where its kube-apiserver is. */
function kubeApiServer(environment: Environment): Address | undefined {
  const { KUBERNETES_SERVICE_HOST: host = '', KUBERNETES_SERVICE_PORT: port = '443' } = environment;
  return host === '' ? undefined : parseHostPort(`${isIPv6(host) ? `[${host}]` : host}:${port}`);
}

/** The names of its Service that are the same in every cluster, and the usual one of the others. */
const kubeApiServerNames = [
  'kubernetes',
  'kubernetes.default',
  'kubernetes.default.svc',
  'kubernetes.default.svc.cluster.local',
];

function destinationsOf(flags: Parsed, identifiers: string, environment: Environment) {
  const apiServer = kubeApiServer(environment);
  const hosts = parseIdentifiers(identifiers).host.filter(
    (host) => parseHostPort(`${host}:443`) !== undefined,
  );
  const aliases = new Map<string, Address>();
  if (apiServer) for (const host of hosts) aliases.set(aliasKey({ host, port: 443 }), apiServer);
  const given = (flags['destination-alias'] ?? []).map(parseAlias);
  for (const { from, to } of given) aliases.set(aliasKey(from), to);
  const standard = [
    ...(apiServer ? [hostPort(apiServer), ...kubeApiServerNames.map((name) => `${name}:443`)] : []),
    ...hosts.map((host) => `${host}:443`),
  ];
  const { CLUSTER_GATEWAY_AGENT_ALLOW_DESTINATIONS: fromEnvironment } = environment;
  const allowed =
    flags['allow-destinations'] ?? (fromEnvironment === undefined ? standard : fromEnvironment.split(','));
  const allowedDestinations = [
    ...allowed.map((entry) => entry.trim()).filter((entry) => entry !== ''),
    ...given.map(({ from }) => hostPort(from)),
  ];
  try {
    createDestinationAllowList(allowedDestinations);
  } catch (error) {
    throw new FlagsEnd(`invalid value for --allow-destinations: ${errorText(error)}`, 2);
  }
  return { allowedDestinations, aliases };
}

function parseAlias(text: string): { readonly from: Address; readonly to: Address } {
  const [left = '', right = '', ...more] = text.split('=');
  const from = parseHostPort(left);
  const to = parseHostPort(right);
  if (!from || !to || more.length > 0)
    throw new FlagsEnd(
      `invalid value for --destination-alias: ${JSON.stringify(text)} is not name:port=host:port`,
      2,
    );
  return { from, to };
}
