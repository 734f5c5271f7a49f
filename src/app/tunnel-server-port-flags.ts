import { file, text } from './flag.ts';
import type { Flag } from './flag.ts';
import { parseBoolean } from './go-values.ts';
import { parsePort } from './tunnel-flag-values.ts';

function parseMode(mode: string): 'grpc' | 'http-connect' {
  if (mode !== 'grpc' && mode !== 'http-connect')
    throw new Error(`${JSON.stringify(mode)} is not grpc or http-connect`);
  return mode;
}

/** Where the tunnel server listens for those whom it connects, and what it speaks there. */
export const tunnelServerPortFlags = {
  mode: {
    group: 'Frontends',
    value: 'mode',
    default: 'grpc',
    parse: parseMode,
    help: 'What frontends speak: grpc or http-connect.',
  },
  'server-bind-address': {
    group: 'Frontends',
    value: 'ip',
    default: '',
    parse: text,
    help: 'Address to listen on for frontends; empty: all.',
  },
  'server-port': {
    group: 'Frontends',
    value: 'port',
    default: '8090',
    parse: parsePort,
    help: 'Port to listen on for frontends, 1024 to 49151; 0 takes a free one, and must stand beside --uds-name.',
  },
  'uds-name': {
    group: 'Frontends',
    value: 'file',
    parse: file,
    help: 'Unix socket to listen on for frontends instead of the port; its mode is 0770.',
  },
  'delete-existing-uds-file': {
    group: 'Frontends',
    value: 'bool',
    default: 'true',
    parse: parseBoolean,
    help: 'Remove a file of that name first.',
  },
  'agent-bind-address': {
    group: 'Agents',
    value: 'ip',
    default: '',
    parse: text,
    help: 'Address to listen on for agents; empty: all.',
  },
  'agent-port': {
    group: 'Agents',
    value: 'port',
    default: '8091',
    parse: parsePort,
    help: 'Port to listen on for agents, 1024 to 49151; 0 takes a free one.',
  },
} satisfies Record<string, Flag>;

/** Where it tells of itself. */
export const tunnelServerHealthFlags = {
  'health-bind-address': {
    group: 'Observability',
    value: 'ip',
    default: '',
    parse: text,
    help: 'Address of /healthz, /readyz and /metrics over plain HTTP; empty: all.',
  },
  'health-port': {
    group: 'Observability',
    value: 'port',
    default: '8092',
    parse: parsePort,
    help: 'Port of these, 1024 to 49151; 0 takes a free one.',
  },
  'admin-bind-address': {
    group: 'Observability',
    value: 'ip',
    default: '127.0.0.1',
    parse: (ip: string) => ip || '127.0.0.1',
    help: 'Address of /metrics for the machine alone.',
  },
  'admin-port': {
    group: 'Observability',
    value: 'port',
    default: '8095',
    parse: parsePort,
    help: 'Port of it, 1024 to 49151; 0 takes a free one.',
  },
} satisfies Record<string, Flag>;
