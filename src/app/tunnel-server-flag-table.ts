import type { Strategy } from '../tunnel/server/agent-table.ts';
import { integer, text } from './flag.ts';
import type { Flag } from './flag.ts';
import { parseList, parseNumber } from './go-values.ts';
import { klogFlags } from './klog-flags.ts';
import { onlyOff, optional, parseTimer } from './tunnel-flag-values.ts';
import { tunnelServerHealthFlags, tunnelServerPortFlags } from './tunnel-server-port-flags.ts';
import { tunnelServerTrustFlags } from './tunnel-server-trust-flags.ts';

const strategies: readonly Strategy[] = ['default', 'destHost', 'defaultRoute'];

function parseStrategies(value: string): Strategy[] {
  const found = parseList(value).map((name) => {
    const strategy = strategies.find((each) => each === name);
    if (!strategy) throw new Error(`${JSON.stringify(name)} is not ${strategies.join(', ')}`);
    return strategy;
  });
  if (found.length === 0) throw new Error(`it must name one of ${strategies.join(', ')}`);
  return found;
}

const mebibyte = 1024 * 1024;

/** Flags of the Go server that mean nothing here. */
const acceptedFlags = {
  'xfr-channel-size': {
    ...{ group: 'Limits', value: 'number', default: '10', hidden: true },
    parse: integer(1, 1_000_000),
    help: 'Accepted; what waits is bounded by bytes, see --max-held-bytes.',
  },
  'frontend-write-channel-size': {
    ...{ group: 'Limits', value: 'number', default: '10', hidden: true },
    parse: integer(0, 1_000_000),
    help: 'Accepted; what waits is bounded by bytes, see --max-held-bytes.',
  },
  'kubeconfig-qps': {
    ...{ group: 'Agents', value: 'number', default: '0', hidden: true },
    parse: (value: string) => parseNumber(value, { min: 0, max: 1_000_000 }),
    help: 'Accepted; what the API server says of a token is remembered for ten seconds.',
  },
  'kubeconfig-burst': {
    ...{ group: 'Agents', value: 'number', default: '0', hidden: true },
    parse: integer(0, 1_000_000),
    help: 'Accepted, as --kubeconfig-qps.',
  },
  'kube-api-content-type': {
    ...{ group: 'Agents', value: 'type', default: 'application/json', hidden: true },
    parse: text,
    help: 'Accepted; JSON is spoken.',
  },
  'enable-profiling': {
    ...{ group: 'Observability', value: 'bool', default: 'false', hidden: true },
    parse: onlyOff('profiles are made by the flags of Node'),
    help: 'Accepted when false.',
  },
  'enable-contention-profiling': {
    ...{ group: 'Observability', value: 'bool', default: 'false', hidden: true },
    parse: onlyOff('profiles are made by the flags of Node'),
    help: 'Accepted when false.',
  },
  'enable-lease-controller': {
    ...{ group: 'Servers', value: 'bool', default: 'false', hidden: true },
    parse: onlyOff('--server-count or --server-count-from-dns tells agents how many servers there are'),
    help: 'Accepted when false.',
  },
  'lease-namespace': {
    ...{ group: 'Servers', value: 'namespace', default: 'kube-system', hidden: true },
    parse: text,
    help: 'Accepted; there are no leases.',
  },
  'lease-label': {
    ...{ group: 'Servers', value: 'label', default: 'k8s-app=konnectivity-server', hidden: true },
    parse: text,
    help: 'Accepted; there are no leases.',
  },
  'warn-on-channel-limit': {
    ...{ group: 'Observability', value: 'bool', default: 'true', hidden: true },
    parse: text,
    help: 'Accepted; the Go server ignores it, too.',
  },
} satisfies Record<string, Flag>;

/** Every flag of the tunnel server, by the name that the Go server (konnectivity) gave it, and some of our own. */
export const tunnelServerFlags = {
  ...tunnelServerPortFlags,
  ...tunnelServerTrustFlags,
  'proxy-strategies': {
    group: 'Routing',
    value: 'strategies',
    default: 'default',
    parse: parseStrategies,
    help: 'How the agent for a connection is found; the first that finds one counts: destHost, by the host that is asked for among the identifiers of agents; defaultRoute, any that has default-route=true; default, any.',
  },
  'backend-dial-timeout': {
    group: 'Limits',
    value: 'duration',
    default: '15s',
    parse: parseTimer,
    help: 'How long an agent may take to make a connection; 0: no limit, as the Go server has it: then dials pile up behind an agent that has hung. Agents give up after 5 s themselves.',
  },
  'max-pending-dials': {
    group: 'Limits',
    value: 'number',
    default: '10000',
    parse: integer(1, 10_000_000),
    help: 'Dials that may wait for one agent; the next one fails at once.',
  },
  'max-held-bytes': {
    group: 'Limits',
    value: 'bytes',
    default: String(256 * mebibyte),
    parse: integer(mebibyte, 2 ** 40),
    help: 'Bytes that may wait for slow readers, of all connections together; beyond it the connection with most of them is cut.',
  },
  'keepalive-time': {
    group: 'Limits',
    value: 'duration',
    default: '30s',
    parse: parseTimer,
    help: 'Time between PINGs to agents; one that does not answer for 20 s is lost. 0: none. The Go server waits an hour, in which dead agents are given connections.',
  },
  'frontend-keepalive-time': {
    group: 'Limits',
    value: 'duration',
    default: '30s',
    parse: parseTimer,
    help: 'The same for frontends that speak gRPC.',
  },
  'graceful-shutdown-timeout': {
    group: 'Limits',
    value: 'duration',
    default: '25s',
    parse: parseTimer,
    help: 'After SIGTERM agents and frontends are told to connect elsewhere, and open connections may last for this long; 0: they are cut at once. A pod has 30 s unless its manifest says more.',
  },
  'server-id': {
    group: 'Servers',
    value: 'id',
    parse: optional,
    help: 'Tells this server from the others; default: the environment variable PROXY_SERVER_ID, or a random UUID.',
  },
  'server-count': {
    group: 'Servers',
    value: 'number',
    default: '1',
    parse: integer(1, 100_000),
    help: 'How many servers there are: agents connect to so many.',
  },
  'server-count-from-dns': {
    group: 'Servers',
    value: 'host',
    parse: optional,
    help: 'Instead of it: so many as this name, such as that of a headless Service, has addresses; looked up every 30 s.',
  },
  ...acceptedFlags,
  ...tunnelServerHealthFlags,
  ...klogFlags,
} satisfies Record<string, Flag>;
