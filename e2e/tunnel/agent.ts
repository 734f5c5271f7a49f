import { healthAt, type Maker, type Party, startParty } from './party.ts';
import { program, type ServerSite } from './server.ts';
import { fixedPorts } from './site.ts';

export interface AgentOptions {
  readonly maker: Maker;
  /** Path of our main module, if not that of the sources. */
  readonly main?: string;
  readonly site: ServerSite;
  /** Where the server listens for agents. */
  readonly server: { readonly agentPort: number; readonly host?: string };
  /** As the flag says it. @example 'host=localhost&ipv4=127.0.0.1' */
  readonly identifiers: string;
  readonly id?: string;
  /** Ports of a network of its own; without them free ones of this machine. */
  readonly place?: AgentPlace;
  /** What it may connect to, as our flag says it: by itself ours connects to the API server of its cluster alone. Default: `*`. */
  readonly destinations?: string;
  /** Whether to wait until it is connected. Default true. */
  readonly connected?: boolean;
  readonly flags?: readonly string[];
}

export interface AgentPlace {
  readonly healthPort: number;
  readonly adminPort: number;
  /** Path of a Unix socket that leads to the health port. */
  readonly healthSocket: string;
}

let agents = 0;

/** Starts an agent of the tunnel and waits until it is connected. */
export async function startAgent(options: AgentOptions): Promise<Party> {
  agents += 1;
  const name = `agent-${agents}-${options.maker}`;
  const { maker, site, server } = options;
  const { agent } = site.certificates;
  const [freeHealth = 0, freeAdmin = 0] = await fixedPorts(2);
  const { healthPort, adminPort } = options.place ?? { healthPort: freeHealth, adminPort: freeAdmin };
  const flags = [
    `--proxy-server-host=${server.host ?? '127.0.0.1'}`,
    `--proxy-server-port=${server.agentPort}`,
    `--ca-cert=${agent.caFile}`,
    `--agent-cert=${agent.clientCertificateFile}`,
    `--agent-key=${agent.clientKeyFile}`,
    `--agent-id=${options.id ?? name}`,
    `--agent-identifiers=${options.identifiers}`,
    '--health-server-host=127.0.0.1',
    `--health-server-port=${healthPort}`,
    `--admin-server-port=${adminPort}`,
    ...(maker === 'ours' ? [`--allow-destinations=${options.destinations ?? '*'}`] : []),
    ...(options.flags ?? []),
  ];
  const party = await startParty({
    ...{ maker, name, ...(await program(maker, 'agent', { flags, main: options.main })) },
    directory: site.directory,
    processes: site.processes,
    health: healthAt(healthPort, options.place?.healthSocket),
  });
  if (options.connected ?? true) await party.connected();
  return party;
}
