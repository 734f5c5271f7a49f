import { createServer, connect } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';

import { ensureBinaries } from '../kube/binaries.ts';
import { createApiClient } from '../worlds/api.ts';
import type { GatewayProcess, KubeWorld } from '../worlds/kube.ts';
import { writeKubeconfig } from '../worlds/kubeconfig.ts';
import { freePorts } from '../worlds/ports.ts';
import { createProcessGroup, mustRun } from '../worlds/process.ts';
import { until } from '../worlds/wait.ts';
import { startAgent } from './agent.ts';
import { type Island, serverAddress } from './islands.ts';
import type { Party } from './party.ts';
import { startServer } from './server.ts';

/** The Go gateway (github.com/oam-dev/cluster-gateway), at no hub: callers come to it directly. */
export interface GoGateway {
  /** https://127.0.0.1:port */
  readonly url: string;
  /** Path of the kubeconfig of the hub's administrator there. */
  readonly kubeconfig: string;
  /** The server and the agent that it goes through, both ours. */
  readonly server: Party;
  readonly agent: Party;
  end(): Promise<void>;
}

/**
 * Starts it beside another gateway, with whose certificate it serves, and a server and an agent of ours for it in the networks of
 * an island: it knows no Unix sockets, which are all that leads to the island's own server. It is an administrator at the hub: it
 * answers nothing before it has lists of namespaces and webhooks, which the rights of `apiservice/` do not give.
 */
export async function startGoGateway(
  {
    island,
    kube,
    gateway,
  }: { readonly island: Island; readonly kube: KubeWorld; readonly gateway: GatewayProcess },
  names: readonly [string, ...string[]],
): Promise<GoGateway> {
  const { 'go-gateway': command } = await ensureBinaries('peers');
  const { server, agent, frontendPort, close } = await startTunnel(island, names);
  const { frontend } = island.site.certificates;
  const [port = 0] = await freePorts(1);
  const url = `https://127.0.0.1:${port}`;
  const group = createProcessGroup(kube.directory);
  const running = await group.start({
    name: 'the Go gateway',
    command,
    args: [
      ...[`--secure-port=${port}`, '--bind-address=127.0.0.1', '--secret-namespace=vela-system'],
      ...['', 'authentication-', 'authorization-'].map((of) => `--${of}kubeconfig=${kube.hub.kubeconfig}`),
      ...[`--tls-cert-file=${gateway.certificateFile}`, `--tls-private-key-file=${gateway.keyFile}`],
      ...['--proxy-host=127.0.0.1', `--proxy-port=${frontendPort}`, `--proxy-ca-cert=${frontend.caFile}`],
      ...[`--proxy-cert=${frontend.clientCertificateFile}`, `--proxy-key=${frontend.clientKeyFile}`],
    ],
    log: join(kube.directory, 'go-gateway.log'),
    cwd: kube.directory,
  });
  const { caPem } = gateway;
  const user = { certificatePem: kube.hub.adminCertificatePem, keyPem: kube.hub.adminKeyPem };
  const api = createApiClient({ url, caPem, ...user });
  // Until it has read the Secrets there is no such cluster.
  const ready = async (): Promise<true | undefined> =>
    (await api.call(`${proxyPath(names[0])}/version`)).status === 200 || undefined;
  await until('the Go gateway to serve', ready, { timeoutMs: 60_000, check: () => mustRun(running) }).finally(
    () => api.close(),
  );
  const kubeconfig = join(kube.directory, 'go-gateway.kubeconfig');
  await writeKubeconfig(kubeconfig, { server: url, caPem, user, name: 'go-gateway' });
  return {
    ...{ url, kubeconfig, server, agent },
    async end() {
      await group.endAll();
      await Promise.all([server.stop(), agent.stop()]);
      close();
    },
  };
}

const proxyPath = (name: string): string =>
  `/apis/cluster.core.oam.dev/v1alpha1/clustergateways/${name}/proxy`;

/** Apart from the ports of the island's own server and agent. */
const ports = { agents: 8191, serverHealth: 8192, serverAdmin: 8195, agentHealth: 8193, agentAdmin: 8194 };

async function startTunnel({ site, inside, between }: Island, names: readonly string[]) {
  const health = {
    server: await between.relay(ports.serverHealth),
    agent: await inside.relay(ports.agentHealth),
  };
  const server = await startServer({
    ...{ maker: 'ours', mode: 'grpc', frontend: 'mtls', agentAddress: serverAddress },
    site: { ...site, processes: between.processes },
    place: {
      ...{ agentPort: ports.agents, healthPort: ports.serverHealth, adminPort: ports.serverAdmin },
      healthSocket: health.server(ports.serverHealth),
    },
  });
  if (server.frontend.type !== 'mtls') throw new Error('the frontend is a port');
  const { port } = server.frontend;
  const path = (await between.relay(port))(port);
  const agent = await startAgent({
    maker: 'ours',
    site: { ...site, processes: inside.processes },
    server: { host: serverAddress, agentPort: ports.agents },
    identifiers: names.map((name) => `host=${name}`).join('&'),
    place: {
      ...{ healthPort: ports.agentHealth, adminPort: ports.agentAdmin },
      healthSocket: health.agent(ports.agentHealth),
    },
    flags: names.map((name) => `--destination-alias=${name}:443=127.0.0.1:443`),
  });
  return { server, agent, ...(await leadTo(path)) };
}

/** A port of this machine's loopback that leads to a Unix socket. */
async function leadTo(path: string): Promise<{ readonly frontendPort: number; readonly close: () => void }> {
  const relay = createServer({ allowHalfOpen: true }, (near) => {
    const far = connect({ path, allowHalfOpen: true });
    near.on('error', () => far.destroy());
    far.on('error', () => near.destroy());
    near.pipe(far).pipe(near);
  });
  relay.listen(0, '127.0.0.1');
  await once(relay, 'listening');
  const address = relay.address();
  if (address === null || typeof address === 'string') throw new Error('a TCP server has no port');
  return { frontendPort: address.port, close: () => void relay.close() };
}
