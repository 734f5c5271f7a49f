import { join, resolve } from 'node:path';

import { ensureBinaries } from '../kube/binaries.ts';
import { agentNodeFlags, nodeFlags } from '../worlds/node-flags.ts';
import type { ProcessGroup } from '../worlds/process.ts';
import type { PortCertificates, TunnelCertificates } from './certificates.ts';
import { healthAt, type Maker, type Party, startParty } from './party.ts';
import { fixedPorts } from './site.ts';

/** How frontends speak to a server. */
export type Mode = 'grpc' | 'http-connect';

/** Where frontends reach a server. */
export type Frontend =
  | { readonly type: 'mtls'; readonly port: number; readonly certificates: PortCertificates }
  | { readonly type: 'unix'; readonly path: string };

export interface TunnelServer extends Party {
  readonly mode: Mode;
  readonly frontend: Frontend;
  /** Of 127.0.0.1, or of `agentAddress`. */
  readonly agentPort: number;
}

export interface ServerOptions {
  readonly maker: Maker;
  readonly mode: Mode;
  readonly frontend: Frontend['type'];
  /** As the flag says it. Default: destHost. */
  readonly strategies?: string;
  readonly site: ServerSite;
  /** Where agents connect to. Default 127.0.0.1. */
  readonly agentAddress?: string;
  /** Where frontends connect to, by TLS. Default 127.0.0.1. */
  readonly frontendAddress?: string;
  /** Ports of a network of its own; without them free ones of this machine. */
  readonly place?: ServerPlace;
  readonly id?: string;
  readonly flags?: readonly string[];
}

export interface ServerPlace {
  /** For TLS; a free one without it. */
  readonly frontendPort?: number;
  readonly agentPort: number;
  readonly healthPort: number;
  readonly adminPort: number;
  /** Path of a Unix socket that leads to the health port. */
  readonly healthSocket?: string;
}

/** What a server or an agent needs of its site. */
export interface ServerSite {
  readonly directory: string;
  readonly certificates: TunnelCertificates;
  readonly processes: ProcessGroup;
}

let servers = 0;

/** Starts a server of the tunnel and waits until it listens. */
export async function startServer(options: ServerOptions): Promise<TunnelServer> {
  servers += 1;
  const name = `server-${servers}-${options.maker}`;
  const { maker, mode, site } = options;
  const [freeFrontend = 0, freeAgent = 0, freeHealth = 0, freeAdmin = 0] = await fixedPorts(4);
  const free = { agentPort: freeAgent, healthPort: freeHealth, adminPort: freeAdmin };
  const {
    frontendPort = freeFrontend,
    agentPort,
    healthPort,
    adminPort,
  }: ServerPlace = options.place ?? free;
  const frontend: Frontend =
    options.frontend === 'unix'
      ? { type: 'unix', path: join(site.directory, `${name}.sock`) }
      : { type: 'mtls', port: frontendPort, certificates: site.certificates.frontend };
  const { agent } = site.certificates;
  const flags = [
    `--mode=${mode}`,
    ...frontendFlags(frontend, options.frontendAddress),
    `--agent-bind-address=${options.agentAddress ?? '127.0.0.1'}`,
    `--agent-port=${agentPort}`,
    `--cluster-ca-cert=${agent.caFile}`,
    `--cluster-cert=${agent.serverCertificateFile}`,
    `--cluster-key=${agent.serverKeyFile}`,
    '--health-bind-address=127.0.0.1',
    `--health-port=${healthPort}`,
    `--admin-port=${adminPort}`,
    `--server-id=${options.id ?? name}`,
    `--proxy-strategies=${options.strategies ?? 'destHost'}`,
    ...(options.flags ?? []),
  ];
  const party = await startParty({
    ...{ maker, name, ...(await program(maker, 'tunnel-server', { flags })) },
    directory: site.directory,
    processes: site.processes,
    health: healthAt(healthPort, options.place?.healthSocket),
  });
  return Object.assign(party, { mode, frontend, agentPort });
}

function frontendFlags(frontend: Frontend, address = '127.0.0.1'): string[] {
  if (frontend.type === 'unix') return [`--uds-name=${frontend.path}`, '--server-port=0'];
  const { port, certificates } = frontend;
  return [
    `--server-bind-address=${address}`,
    `--server-port=${port}`,
    `--server-ca-cert=${certificates.caFile}`,
    `--server-cert=${certificates.serverCertificateFile}`,
    `--server-key=${certificates.serverKeyFile}`,
  ];
}

const sources = resolve(import.meta.dirname, '../../src/cli/main.ts');

/** What is started for a role of our program (its sources, or `main`), or for the Go program of that role. */
export async function program(
  maker: Maker,
  role: 'tunnel-server' | 'agent',
  { flags, main = sources }: { readonly flags: readonly string[]; readonly main?: string | undefined },
): Promise<{ readonly command: string; readonly args: readonly string[] }> {
  if (maker === 'ours') {
    const ofNode = role === 'agent' ? agentNodeFlags : nodeFlags;
    return { command: process.execPath, args: [...ofNode, main, role, ...flags] };
  }
  const binaries = await ensureBinaries('tunnel');
  return { command: binaries[role === 'agent' ? 'proxy-agent' : 'proxy-server'], args: flags };
}
