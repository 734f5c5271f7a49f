import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { nodeFlags } from '../worlds/node-flags.ts';
import { mustRun } from '../worlds/process.ts';
import { until } from '../worlds/wait.ts';
import { startAgent } from './agent.ts';
import { openNamespace } from './namespace.ts';
import type { Party } from './party.ts';
import { startServer, type TunnelServer } from './server.ts';
import type { TunnelSite } from './site.ts';

/** A server, its agent and destinations in a network whose sockets hold little: what is not read waits in the programs. */
export interface SmallNetwork {
  readonly server: TunnelServer;
  readonly agent: Party;
  /** Ports of its loopback; see `Destinations`. */
  readonly ports: Readonly<Record<'echo' | 'scripted' | 'http' | 'closed', number>>;
  /** Ends server and agent; all the rest goes with the site. */
  stop(): Promise<void>;
}

const ports = { agents: 8091, serverHealth: 8092, agentHealth: 8093, agentAdmin: 8094, serverAdmin: 8095 };

/** Starts it (needs root). Frontends reach the server by a Unix socket. */
export async function startSmallNetwork(site: TunnelSite, name: string): Promise<SmallNetwork> {
  const { directory, processes } = site;
  const namespace = await openNamespace({ name, directory, processes });
  // Bytes at least, at first and at most; Linux grows them up to megabytes for each socket otherwise.
  await namespace.run('sysctl', '-q', '-w', 'net.ipv4.tcp_wmem=4096 16384 32768');
  await namespace.run('sysctl', '-q', '-w', 'net.ipv4.tcp_rmem=4096 32768 65536');
  const log = join(directory, `${name}-destinations.log`);
  const running = await namespace.processes.start({
    ...{ name: `the destinations of ${name}`, log, cwd: directory, command: process.execPath },
    args: [...nodeFlags, join(import.meta.dirname, 'destinations-process.ts')],
  });
  const printed = async () => {
    const text = await readFile(log, 'utf8');
    return text.endsWith('\n') ? (JSON.parse(text) as SmallNetwork['ports']) : undefined;
  };
  const destinations = await until('the destinations', printed, {
    timeoutMs: 20_000,
    check: () => mustRun(running),
  });
  const socketOf = await namespace.relay(ports.serverHealth, ports.agentHealth);
  const inside = { ...site, processes: namespace.processes };
  const server = await startServer({
    ...{ maker: 'ours', mode: 'grpc', frontend: 'unix', site: inside },
    place: {
      ...{ agentPort: ports.agents, healthPort: ports.serverHealth, adminPort: ports.serverAdmin },
      healthSocket: socketOf(ports.serverHealth),
    },
  });
  const agent = await startAgent({
    ...{ maker: 'ours', site: inside, server, identifiers: 'ipv4=127.0.0.1' },
    place: {
      ...{ healthPort: ports.agentHealth, adminPort: ports.agentAdmin },
      healthSocket: socketOf(ports.agentHealth),
    },
  });
  return {
    ...{ server, agent, ports: destinations },
    async stop() {
      await agent.stop();
      await server.stop();
    },
  };
}
