import { FlagsEnd, defaulted } from './flag-set.ts';
import type { FlagValues } from './flag-set.ts';
import { file, integer, text } from './flag.ts';
import type { Flag } from './flag.ts';
import type { TunnelOptions } from './gateway-options.ts';
import { parseBoolean } from './go-values.ts';
import { insideTunnelFlags, insideTunnelServer } from './inside-tunnel-flags.ts';

const group = 'Tunnel';

/** Flags of the way to clusters that are behind a tunnel; those of the Go gateway by its names. */
export const tunnelFlags = {
  'proxy-host': {
    ...{ group, value: 'host', default: '', parse: text },
    help: 'Tunnel server (ANP, konnectivity) through which clusters of endpoint type ClusterProxy are reached; all its addresses are used. Empty: there is none.',
  },
  'proxy-port': {
    ...{ group, value: 'port', default: '8090', parse: integer(1, 65_535) },
    help: 'Port for frontends of the tunnel server.',
  },
  'proxy-ca-cert': {
    ...{ group, value: 'file', parse: file },
    help: "CA of the tunnel server's certificate, PEM; this and the next two are read again when they change.",
  },
  'proxy-cert': {
    ...{ group, value: 'file', parse: file },
    help: 'Client certificate that the tunnel server knows the gateway by, PEM.',
  },
  'proxy-key': {
    ...{ group, value: 'file', parse: file },
    help: 'Private key of that certificate, PEM.',
  },
  'proxy-mode': {
    ...{ group, value: 'mode', default: 'grpc', parse: parseMode },
    help: 'What the tunnel server speaks, as its own --mode says: grpc or http-connect.',
  },
  'proxy-uds': {
    ...{ group, value: 'path', parse: file },
    help: 'Unix socket of the tunnel server, instead of --proxy-host and without TLS.',
  },
  'tunnel-allow-unverified': {
    ...{ group, value: 'bool', default: 'false', parse: parseBoolean },
    help: 'Take clusters behind the tunnel whose Secret has no CA. Whichever agent answers then gets their credentials.',
  },
  ...insideTunnelFlags,
} satisfies Record<string, Flag>;

function parseMode(value: string): 'grpc' | 'http-connect' {
  if (value === 'grpc' || value === 'http-connect') return value;
  throw new Error(`${JSON.stringify(value)} is not grpc or http-connect`);
}

/** Undefined: there is no tunnel. Throws FlagsEnd for flags that do not fit together. */
export function tunnelOptions(flags: FlagValues<typeof tunnelFlags>): TunnelOptions | undefined {
  const shared = {
    mode: defaulted(flags['proxy-mode']),
    allowUnverified: defaulted(flags['tunnel-allow-unverified']),
  };
  const host = flags['proxy-host'] ?? '';
  const path = flags['proxy-uds'];
  const inside = insideTunnelServer(flags);
  if (inside) {
    if (host !== '' || path !== undefined)
      throw new FlagsEnd('--tunnel-agent-port and --proxy-host or --proxy-uds exclude each other', 2);
    return { ...shared, server: inside };
  }
  const [caFile, certificateFile, keyFile] = [
    flags['proxy-ca-cert'],
    flags['proxy-cert'],
    flags['proxy-key'],
  ];
  if (path !== undefined) {
    if (host !== '') throw new FlagsEnd('--proxy-host and --proxy-uds exclude each other', 2);
    if (caFile ?? certificateFile ?? keyFile)
      throw new FlagsEnd(
        '--proxy-uds is without TLS: --proxy-ca-cert, --proxy-cert and --proxy-key do not go with it',
        2,
      );
    return { ...shared, server: { type: 'unix', path } };
  }
  // As in the Go gateway, where the other flags then mean nothing.
  if (host === '') return undefined;
  if (caFile === undefined || certificateFile === undefined || keyFile === undefined)
    throw new FlagsEnd('--proxy-host needs --proxy-ca-cert, --proxy-cert and --proxy-key', 2);
  const port = defaulted(flags['proxy-port']);
  return { ...shared, server: { type: 'tcp', host, port, caFile, certificateFile, keyFile } };
}
