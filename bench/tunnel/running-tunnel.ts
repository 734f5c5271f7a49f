import { ensureBinaries } from '../../e2e/kube/binaries.ts';
import { startAgent } from '../../e2e/tunnel/agent.ts';
import type { Maker, Party } from '../../e2e/tunnel/party.ts';
import { type Frontend, type ServerSite, startServer, type TunnelServer } from '../../e2e/tunnel/server.ts';
import { createProcessGroup } from '../../e2e/worlds/process.ts';
import type { PeerName } from '../peers/peer.ts';
import { figuresOf, type ProcessFigures, resetPeak } from '../process-figures.ts';
import type { Stage } from '../stage.ts';
import { asMeasured } from './as-measured.ts';

/** A server or an agent whose costs are read. */
export interface TunnelPart {
  figures(): ProcessFigures;
  resetPeak(): void;
}

export interface TunnelParts {
  readonly server: TunnelPart;
  readonly agent: TunnelPart;
}

interface Place {
  readonly name: PeerName;
  /** Of both; undefined: those of this process. */
  readonly core: string | undefined;
}

/** The name that the target is reached by through a tunnel: it is looked up where the agent is. */
export const tunnelHost = 'localhost';

export function makerOf(name: PeerName): Maker {
  return name === 'ours' ? 'ours' : 'Go';
}

/** Builds what is missing: that it cannot be built is told when it is to be started. */
export async function buildTunnels(): Promise<void> {
  await Promise.allSettled([ensureBinaries('tunnel')]);
}

/** Runs a server and an agent, both fresh, as long as `use` takes; gateways that the stage has told of it find it. */
export async function withTunnel<T>(
  stage: Stage,
  place: Place,
  use: (tunnel: TunnelParts) => Promise<T>,
): Promise<T> {
  return withServer(stage, place, async (server, site) => {
    const identifiers = `host=${tunnelHost}&ipv4=127.0.0.1`;
    const agent = await startAgent({ maker: server.maker, site, server, identifiers });
    return use({ server: partOf(server), agent: partOf(agent) });
  });
}

/** Runs a server without agents as long as `use` takes. */
export async function withServer<T>(
  stage: Stage,
  { name, core }: Place,
  use: (server: TunnelServer, site: ServerSite) => Promise<T>,
): Promise<T> {
  const group = createProcessGroup(stage.directory);
  const { directory, nodeFlags, tunnel } = stage;
  const { certificates, frontendPort } = tunnel;
  const site = { directory, certificates, processes: asMeasured(group, { core, nodeFlags }) };
  try {
    const server = await startServer({
      ...{ maker: makerOf(name), mode: 'grpc', frontend: 'mtls', site },
      // The last one counts.
      flags: [`--server-port=${frontendPort}`],
    });
    return await use(server, site);
  } finally {
    await group.endAll();
  }
}

/** How clients reach the server. */
export function frontendOf({ tunnel: { certificates, frontendPort } }: Stage): Frontend {
  return { type: 'mtls', port: frontendPort, certificates: certificates.frontend };
}

/** Its process may be another one later. */
export function partOf(party: Party): TunnelPart {
  return { figures: () => figuresOf(party.pid), resetPeak: () => resetPeak(party.pid) };
}
