import { FlagsEnd, defaulted } from './flag-set.ts';
import type { FlagValues } from './flag-set.ts';
import { file, integer, text } from './flag.ts';
import type { Flag } from './flag.ts';
import type { InsideTunnelServer } from './gateway-options.ts';
import { parseIdentifierRule } from './tunnel-server-trust-flags.ts';

const group = 'Tunnel';

/** Flags of a tunnel server inside the gateway's process: one program less where there are few clusters. */
export const insideTunnelFlags = {
  'tunnel-agent-port': {
    ...{
      group,
      value: 'port',
      default: '',
      parse: (value: string) => (value === '' ? undefined : port(value)),
    },
    help: 'Agents connect to this port of the gateway itself, which then needs no tunnel server (nor --proxy-host). With several replicas each agent must reach each of them.',
  },
  'tunnel-agent-bind-address': {
    ...{ group, value: 'address', default: '0.0.0.0', parse: text },
    help: 'Where that port listens.',
  },
  'tunnel-agent-ca-cert': {
    ...{ group, value: 'file', parse: file },
    help: "CA of agents' certificates, PEM; this and the next two are read again when they change.",
  },
  'tunnel-agent-cert': {
    ...{ group, value: 'file', parse: file },
    help: 'Certificate of the port for agents with its intermediates, PEM.',
  },
  'tunnel-agent-key': {
    ...{ group, value: 'file', parse: file },
    help: 'Private key of that certificate, PEM.',
  },
  'tunnel-agent-identifiers': {
    ...{ group, value: 'rule', default: 'any', parse: parseIdentifierRule },
    help: 'What agents may say that they can be reached by: any; or certificate: what their certificates are made out to.',
  },
  'tunnel-server-count': {
    ...{ group, value: 'number', default: '1', parse: integer(1, 1_000) },
    help: 'How many such gateways there are: agents look until they are connected to so many.',
  },
} satisfies Record<string, Flag>;

const port = integer(1, 65_535);

/** Undefined: there is none. Throws FlagsEnd for flags that do not fit together. */
export function insideTunnelServer(
  flags: FlagValues<typeof insideTunnelFlags>,
): InsideTunnelServer | undefined {
  const agentPort = flags['tunnel-agent-port'];
  const [certificateFile, keyFile, clientCaFile] = [
    flags['tunnel-agent-cert'],
    flags['tunnel-agent-key'],
    flags['tunnel-agent-ca-cert'],
  ];
  if (agentPort === undefined) {
    if (certificateFile ?? keyFile ?? clientCaFile)
      throw new FlagsEnd('--tunnel-agent-cert and the like go with --tunnel-agent-port', 2);
    return undefined;
  }
  if (certificateFile === undefined || keyFile === undefined || clientCaFile === undefined)
    throw new FlagsEnd(
      '--tunnel-agent-port needs --tunnel-agent-ca-cert, --tunnel-agent-cert and --tunnel-agent-key: agents are known by their certificates',
      2,
    );
  return {
    type: 'inside',
    host: defaulted(flags['tunnel-agent-bind-address']),
    port: agentPort,
    certificates: { certificateFile, keyFile, clientCaFile },
    identifierRule: defaulted(flags['tunnel-agent-identifiers']),
    serverCount: defaulted(flags['tunnel-server-count']),
  };
}
