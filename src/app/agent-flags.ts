import { file, integer, present, text } from './flag.ts';
import type { Flag } from './flag.ts';
import { parseBoolean, parseDuration, parseList } from './go-values.ts';
import { klogFlags } from './klog-flags.ts';
import { onlyOff, parseTimer } from './tunnel-flag-values.ts';

const port = integer(1, 65_535);
/** The Go agent takes any port but 0, which is a free one here. */
const ownPort = integer(0, 65_535);

function parsePositiveTimer(value: string): number {
  const ms = parseTimer(value);
  if (ms === 0) throw new Error('it must be more than 0');
  return ms;
}

/** As Go prints a list: `[a,b]`, which its own programs pass on. */
const bracketedList = (value: string) => parseList(value.replace(/^\[|\]$/g, ''));

function parseCountSource(value: string): string {
  if (!['', 'default', 'max'].includes(value))
    throw new Error(`${JSON.stringify(value)} is not default or max`);
  return value;
}

/** Flags of the Go agent that change nothing here, and why. */
function unused(value: string, standard: string, why: string) {
  const parse = value === 'bool' ? parseBoolean : value === 'duration' ? parseDuration : text;
  return { group: 'Accepted', value, default: standard, parse, help: why } satisfies Flag;
}

/** How the agent reaches its servers, and who it says it is. */
const serverFlags = {
  'proxy-server-host': {
    group: 'Servers',
    value: 'hosts',
    default: '127.0.0.1',
    parse: present,
    help: 'Tunnel servers: names or addresses, with a comma between them, each with its :port or without. Each address of a name is connected to; names are resolved again all the time. Certificates of servers must be for the name or address that stands here.',
  },
  'proxy-server-port': {
    group: 'Servers',
    value: 'port',
    default: '8091',
    parse: port,
    help: 'Port of the servers that are named without one.',
  },
  'ca-cert': {
    group: 'Servers',
    value: 'file',
    parse: file,
    help: 'Authorities that may sign the certificates of servers, PEM; read again when it changes; without it those that Node knows.',
  },
  'agent-cert': {
    group: 'Servers',
    value: 'file',
    parse: file,
    help: 'Client certificate, PEM; read again when it changes. New connections use the new one, open ones go on.',
  },
  'agent-key': {
    group: 'Servers',
    value: 'file',
    parse: file,
    help: 'Private key of the client certificate, PEM.',
  },
  'service-account-token-path': {
    group: 'Servers',
    value: 'file',
    parse: file,
    help: 'Token that is shown to servers, read anew for each connection.',
  },
  'alpn-proto': {
    group: 'Servers',
    value: 'protocols',
    default: '',
    parse: bracketedList,
    joinedBy: ',',
    help: 'Protocols that are offered (ALPN) before h2.',
  },
  'agent-id': {
    group: 'Servers',
    value: 'text',
    default: '',
    parse: text,
    help: 'Name of this agent; without it the environment variable PROXY_AGENT_ID, or a random one.',
  },
  'agent-identifiers': {
    group: 'Servers',
    value: 'query',
    default: '',
    parse: text,
    help: 'What servers find this agent by, such as host=cluster-a&ipv4=10.0.0.1&default-route=true.',
  },
  'sync-interval': {
    group: 'Servers',
    value: 'duration',
    default: '1s',
    parse: parsePositiveTimer,
    help: 'Pause between tries while a server is missing; it grows by half with each failure. Each pause is shortened by up to half of it at random.',
  },
  'sync-interval-cap': {
    group: 'Servers',
    value: 'duration',
    default: '10s',
    parse: parsePositiveTimer,
    help: 'The longest such pause, and how often names are resolved while no server is missing.',
  },
  'sync-forever': {
    group: 'Servers',
    value: 'bool',
    default: 'false',
    parse: parseBoolean,
    help: 'Look for further servers behind the addresses also when there are as many as they say.',
  },
  'keepalive-time': {
    group: 'Servers',
    value: 'duration',
    default: '35s',
    parse: parsePositiveTimer,
    help: 'How often servers are asked whether they are there; never more often than every 31s, which Go servers punish. A server that does not answer within 15s is lost.',
  },
} satisfies Record<string, Flag>;

/** Where servers may have it connect to. */
const destinationFlags = {
  'allow-destinations': {
    group: 'Destinations',
    value: 'addresses',
    parse: parseList,
    joinedBy: ',',
    help: 'What servers may connect to: host, host:port, networks such as 10.0.0.0/8:443, names with * in them; * is everything. Without it the environment variable CLUSTER_GATEWAY_AGENT_ALLOW_DESTINATIONS, or else the kube-apiserver of this cluster and the hosts of --agent-identifiers on port 443.',
  },
  'destination-alias': {
    group: 'Destinations',
    value: 'name:port=host:port',
    default: '',
    parse: parseList,
    joinedBy: ',',
    help: 'Where an address that no DNS knows leads to; may be given several times, and is allowed by that. In a cluster each host of --agent-identifiers, on port 443, leads to its kube-apiserver.',
  },
  'dial-timeout': {
    group: 'Destinations',
    value: 'duration',
    default: '5s',
    parse: parsePositiveTimer,
    help: 'How long connecting to a destination may take.',
  },
  'drain-min': {
    group: 'Destinations',
    value: 'duration',
    default: '10s',
    parse: parseDuration,
    help: 'After SIGTERM servers are asked for no more connections, but for this long those that come are made.',
  },
  'drain-grace': {
    group: 'Destinations',
    value: 'duration',
    default: '1h',
    parse: parseDuration,
    help: 'After SIGTERM open connections may last this long; the process ends with the last one. A pod also needs terminationGracePeriodSeconds for that.',
  },
} satisfies Record<string, Flag>;

const processFlags = {
  'health-server-host': {
    group: 'Process',
    value: 'ip',
    default: '',
    parse: text,
    help: 'Where /healthz, /readyz and /metrics are served; empty: on every address.',
  },
  'health-server-port': {
    group: 'Process',
    value: 'port',
    default: '8093',
    parse: ownPort,
    help: 'Port of these.',
  },
  'admin-bind-address': {
    group: 'Process',
    value: 'ip',
    default: '127.0.0.1',
    parse: text,
    help: 'Where the admin server listens, which sends /metrics on to the health port.',
  },
  'admin-server-port': {
    group: 'Process',
    value: 'port',
    default: '8094',
    parse: ownPort,
    help: 'Port of that one.',
  },
} satisfies Record<string, Flag>;

/** Flags of the Go agent that are accepted, so that its manifests go on working. */
const acceptedFlags = {
  'probe-interval': unused('duration', '1s', 'Not needed: that a connection is lost is known when it is.'),
  'warn-on-channel-limit': unused('bool', 'false', 'Not needed: see the metric held_bytes.'),
  'xfr-channel-size': {
    ...unused('number', '150', 'Not needed: what waits for a destination is limited in bytes.'),
    parse: integer(1, 1_000_000),
  },
  'enable-profiling': unused('bool', 'false', 'Not needed: Node has --cpu-prof and --inspect.'),
  'enable-contention-profiling': unused('bool', 'false', 'Not needed: there are no locks.'),
  'count-server-leases': {
    ...unused('bool', 'false', 'Only false is implemented: servers say how many there are.'),
    parse: onlyOff('servers say how many there are'),
  },
  'lease-namespace': unused('namespace', 'kube-system', 'Of --count-server-leases.'),
  'lease-label-selector': unused('selector', 'k8s-app=konnectivity-server', 'Of --count-server-leases.'),
  'lease-label': { ...unused('selector', '', 'The old name of --lease-label-selector.'), hidden: true },
  'server-count-source': {
    ...unused('source', 'default', 'Of --count-server-leases: default or max.'),
    parse: parseCountSource,
  },
  kubeconfig: unused('file', '', 'Of --count-server-leases.'),
  'kube-api-content-type': unused('type', 'application/vnd.kubernetes.protobuf', 'Of --count-server-leases.'),
} satisfies Record<string, Flag>;

/** Every flag, by the name that the Go agent gave it where it has it. */
export const agentFlags = {
  ...serverFlags,
  ...destinationFlags,
  ...processFlags,
  ...acceptedFlags,
  ...klogFlags,
} satisfies Record<string, Flag>;
