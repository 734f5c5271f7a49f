import { request } from 'node:http';
import { join } from 'node:path';

import { nodeFlags } from '../worlds/node-flags.ts';
import { mustRun, type ProcessGroup } from '../worlds/process.ts';
import { until } from '../worlds/wait.ts';
import { issueTunnelCertificates } from './certificates.ts';
import { startServer } from './server.ts';

/** With ENDPOINT=tunnel worlds lead to their clusters through our tunnel server and agents, wherever a test does not say otherwise. */
export const throughTunnel = process.env['ENDPOINT'] === 'tunnel';

/** As the gateway shows it of the clusters that worlds register. */
export const endpointType = throughTunnel ? 'ClusterProxy' : 'Const';

/** The tunnel of a world. */
export interface WorldTunnel {
  /** By these a gateway finds it. */
  readonly gatewayFlags: readonly string[];
  /** Of the process with all agents: to clusters it is what the gateway is without a tunnel. */
  readonly agentPid: number;
  /** Sees to it that an agent says it is the cluster of this name, and leads to `address`; the one before is gone then. */
  lead(name: string, address: WorldAddress): Promise<void>;
}

export interface WorldAddress {
  readonly host: string;
  readonly port: number;
}

/** Starts our tunnel server, and a process for agents, as yet without any. */
export async function startWorldTunnel(directory: string, processes: ProcessGroup): Promise<WorldTunnel> {
  const certificates = await issueTunnelCertificates(join(directory, 'tunnel'));
  const site = { directory, certificates, processes };
  const server = await startServer({ maker: 'ours', mode: 'grpc', frontend: 'unix', site });
  if (server.frontend.type !== 'unix') throw new Error('the frontend is a Unix socket');
  const { agent } = certificates;
  const socketPath = join(directory, 'agents.sock');
  const agents = await processes.start({
    name: 'the agents',
    command: process.execPath,
    args: [
      ...nodeFlags,
      ...[join(import.meta.dirname, 'world-agents.ts'), socketPath],
      ...['--proxy-server-host=127.0.0.1', `--proxy-server-port=${server.agentPort}`],
      `--ca-cert=${agent.caFile}`,
      `--agent-cert=${agent.clientCertificateFile}`,
      `--agent-key=${agent.clientKeyFile}`,
      ...['--health-server-host=127.0.0.1', '--health-server-port=0', '--admin-server-port=0'],
    ],
    log: join(directory, 'agents.log'),
    cwd: directory,
  });
  return {
    gatewayFlags: [`--proxy-uds=${server.frontend.path}`],
    agentPid: agents.pid,
    async lead(name, { host, port }) {
      const led = (): Promise<true> => put(socketPath, `/${name}/${host}:${port}`);
      await until(`the tunnel to ${name}`, led, { timeoutMs: 30_000, check: () => mustRun(agents) });
    },
  };
}

function put(socketPath: string, path: string): Promise<true> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, path, method: 'PUT', timeout: 25_000 }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.once('error', reject);
      response.once('end', () => (response.statusCode === 200 ? resolve(true) : reject(new Error(text))));
    });
    sent.once('error', reject);
    sent.once('timeout', () => sent.destroy(new Error('no answer in time')));
    sent.end();
  });
}

/** What is read of a Secret, and what is different behind a tunnel. */
export interface TunnelledSecret {
  readonly labels: Readonly<Record<string, string>>;
  readonly data: Readonly<Record<string, string>>;
}

const label = (name: string) => `cluster.core.oam.dev/${name}`;

/**
 * The one address that a Secret leads to, if a tunnel can lead there in its place: undefined where the Secret itself says
 * how its endpoint is reached, or says more of it than an address, or nothing by which the cluster proves itself.
 */
export function addressOf({ labels, data }: TunnelledSecret): WorldAddress | undefined {
  if (labels[label('cluster-credential-type')] === undefined) return undefined;
  if (labels[label('cluster-endpoint-type')] !== undefined) return undefined;
  if (data['ca.crt'] === undefined || data['proxy-url'] !== undefined) return undefined;
  const [, host, port] = /^https:\/\/(127\.0\.0\.1|localhost):(\d+)$/.exec(data['endpoint'] ?? '') ?? [];
  return host === undefined || Number(port) > 65_535 ? undefined : { host, port: Number(port) };
}

/**
 * The same Secret for a cluster behind the tunnel. `other`: it is none of the world's own clusters, so its certificate is for its
 * address, and all of them are of one CA: a line beside that tells the gateway that it is another server than the one before.
 */
export function tunnelled<S extends TunnelledSecret>(secret: S, other: WorldAddress | undefined): S {
  const data = Object.entries(secret.data).filter(([key]) => key !== 'endpoint');
  return {
    ...secret,
    labels: { ...secret.labels, [label('cluster-endpoint-type')]: 'ClusterProxy' },
    data: {
      ...Object.fromEntries(data),
      ...(other && {
        'tls-server-name': other.host,
        'ca.crt': `# ${other.host}:${other.port}\n${secret.data['ca.crt'] ?? ''}`,
      }),
    },
  };
}
