import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, connect as connectTcp, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import { Registry } from 'prom-client';

import { silentLog } from '../../src/base/log.ts';
import { frames } from '../../src/http2/testing/scripted-peer.ts';
import { createClientTls } from '../../src/net/tls.ts';
import { issueCertificate } from '../../src/pki/issue.ts';
import { createAgentMetrics } from '../../src/tunnel/agent/agent-metrics.ts';
import { type Agent, createAgent } from '../../src/tunnel/agent/agent.ts';
import { createDestinationAllowList } from '../../src/tunnel/agent/destination-allow-list.ts';
import { createTunnelDial } from '../../src/tunnel/client/tunnel-client.ts';
import { createTunnelServerMetrics } from '../../src/tunnel/server/server-metrics.ts';
import { createTunnelServer, type TunnelServer } from '../../src/tunnel/server/tunnel-server.ts';
import { callHead } from '../../src/tunnel/testing/raw-call.ts';
import { sumOf } from '../tunnel/party.ts';
import { until } from '../worlds/wait.ts';
import { Hostile } from './tunnel-hostile.ts';
import type { Part } from './tunnel-strokes.ts';

/** A server, an agent and a client of the tunnel that must go on, in this process, and the way to them for others. */
export interface TunnelWorld {
  /** Where connections may lead: to a hostile agent, and by the agent to an echo, and to nobody. */
  readonly addresses: readonly string[];
  /** A stream to what is tested; for `server` the next one that the agent opens to a server that is not ours. */
  open(part: Part): Promise<Hostile>;
  /** A connection through client, server and agent to an echo. */
  openCanary(): Promise<Duplex>;
  /** What server and agent hold, in their own words and in those of the echo. */
  left(): Promise<Left>;
  close(): Promise<void>;
}

export interface Left {
  /** Dials that wait, and connections, of the server. */
  readonly pending: number;
  readonly established: number;
  /** Streams of frontends. */
  readonly frontends: number;
  /** Connections of the agent, and those that the echo sees. */
  readonly endpoints: number;
  readonly echoes: number;
  readonly heldBytes: number;
}

const loopback = '127.0.0.1';

export async function startTunnelWorld(): Promise<TunnelWorld> {
  const directory = await mkdtemp(join(tmpdir(), 'tunnel-fuzz-'));
  const pki = await issuePki();
  const echo = await startEcho();
  const registry = new Registry();
  const frontend = join(directory, 'frontend.sock');
  const server = await startOurServer(pki, { registry, frontend });
  const hostileServers = await Promise.all([1, 2, 3, 4].map((number) => startHostileServer(pki, number)));
  const ports = [server.agentPort, ...hostileServers.map(({ port }) => port)];
  const agent = startOurAgent(pki, { registry, ports, destinations: [echo.address, `${loopback}:1`] });
  const dial = createTunnelDial({ mode: 'grpc', server: { type: 'unix', path: frontend }, log: silentLog });
  await until('the agent to be connected', () => Promise.resolve(server.readyAgents() > 0 || undefined), {
    timeoutMs: 20_000,
  });
  const hostiles = new Set<Hostile>();
  const openClient = async (part: 'frontend' | 'agent'): Promise<Hostile> => {
    const isFrontend = part === 'frontend';
    const socket = isFrontend ? connectTcp(frontend) : connectTls({ ...pki.connect, port: server.agentPort });
    await once(socket, isFrontend ? 'connect' : 'secureConnect');
    const head = isFrontend
      ? callHead('/ProxyService/Proxy')
      : callHead('/AgentService/Connect', ['agentid', 'hostile', 'agentidentifiers', 'host=hostile']);
    return new Hostile(socket, { head, isClient: true });
  };
  return {
    addresses: ['hostile:1', 'hostile:1', ...Array<string>(4).fill(echo.address), `${loopback}:1`, ''],
    async open(part) {
      const hostile = await (part === 'server' ? nextStream(hostileServers) : openClient(part));
      for (const each of hostiles) if (each.isOver) hostiles.delete(each);
      hostiles.add(hostile);
      return hostile;
    },
    async openCanary() {
      const [host = '', port] = echo.address.split(':');
      return dial({ host, port: Number(port) }, AbortSignal.timeout(20_000));
    },
    async left() {
      const text = await registry.metrics();
      const server = (name: string) => sumOf(text, `konnectivity_network_proxy_server_${name}`);
      return {
        pending: server('pending_backend_dials'),
        established: server('established_connections'),
        frontends: server('grpc_connections{service_method="Proxy"}'),
        endpoints: agent.openConnections,
        echoes: echo.open(),
        heldBytes: server('held_bytes') + sumOf(text, 'konnectivity_network_proxy_agent_held_bytes'),
      };
    },
    async close() {
      for (const hostile of hostiles) hostile.destroy();
      dial.destroy();
      agent.destroy();
      server.destroy();
      for (const each of hostileServers) each.close();
      echo.close();
      await rm(directory, { recursive: true });
    },
  };
}

async function startEcho(): Promise<{ readonly address: string; open(): number; close(): void }> {
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).once('close', () => sockets.delete(socket));
    socket.pipe(socket);
  });
  return {
    address: `${loopback}:${await listen(server)}`,
    open: () => sockets.size,
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

function startOurServer(
  pki: Pki,
  { registry, frontend }: { readonly registry: Registry; readonly frontend: string },
): Promise<TunnelServer> {
  const address = { type: 'unix', path: frontend, deleteExisting: true } as const;
  return createTunnelServer({
    ...{ serverId: 'ours', serverCount: () => 1, strategies: ['destHost'], identifierRule: 'any' },
    frontend: { mode: 'grpc', address, tls: undefined },
    agents: { address: { type: 'tcp', host: loopback, port: 0 }, tls: pki.serverTls },
    ...{ dialTimeoutMs: 2_000, keepaliveMs: 0, frontendKeepaliveMs: 0, maxPendingDials: 100 },
    ...{ maxHeldBytes: 32 * 1024 * 1024, metrics: createTunnelServerMetrics(registry), log: silentLog },
  });
}

interface OurAgentOptions {
  readonly registry: Registry;
  /** Of the servers that it connects to. */
  readonly ports: readonly number[];
  readonly destinations: readonly string[];
}

function startOurAgent(pki: Pki, { registry, ports, destinations }: OurAgentOptions): Agent {
  return createAgent({
    identity: {
      ...{ agentId: 'ours', identifiers: `ipv4=${loopback}`, alpnProtocols: [], readToken: undefined },
      tls: () => pki.clientTls,
    },
    servers: ports.map((port) => ({ host: loopback, port })),
    ...{ syncIntervalMs: 5, syncIntervalCapMs: 20, syncForever: false, keepaliveMs: 0, dialTimeoutMs: 1_000 },
    allowList: createDestinationAllowList(destinations),
    ...{ aliases: new Map(), drainMinMs: 0, drainGraceMs: 0, log: silentLog },
    metrics: createAgentMetrics(registry),
  });
}

async function listen(server: ReturnType<typeof createServer>): Promise<number> {
  server.listen(0, loopback);
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

type Pki = Awaited<ReturnType<typeof issuePki>>;

async function issuePki() {
  const ca = await issueCertificate({ commonName: 'fuzz-ca', ca: true });
  const server = await issueCertificate(
    { commonName: 'server', usages: ['serverAuth'], ipAddresses: [loopback] },
    { issuer: ca },
  );
  const client = await issueCertificate({ commonName: 'client', usages: ['clientAuth'] }, { issuer: ca });
  const { certificatePem, privateKeyPem } = server;
  return {
    server: { cert: certificatePem, key: privateKeyPem },
    serverTls: {
      ...{ certificatePem, privateKeyPem, clientCaPem: ca.certificatePem },
      ...{ minVersion: 'TLSv1.2' as const, cipherSuites: [] },
    },
    clientTls: createClientTls({ ca: ca.certificatePem, ...client }),
    connect: {
      ...{ host: loopback, ca: ca.certificatePem, ALPNProtocols: ['h2'] },
      ...{ cert: client.certificatePem, key: client.privateKeyPem },
    },
  };
}

interface HostileServer {
  readonly port: number;
  /** The stream of the agent, once. */
  take(): Hostile | undefined;
  close(): void;
}

/** Takes the streams of agents; what is sent on them is somebody else's affair. */
async function startHostileServer(pki: Pki, number: number): Promise<HostileServer> {
  const head = frames.headers(1, [
    ...[':status', '200', 'content-type', 'application/grpc'],
    ...[
      'serverid',
      `hostile-${number}`,
      'servercount',
      '1',
      ...(number % 2 === 0 ? ['x-tunnel-pause', '1'] : []),
    ],
  ]);
  let newest: Hostile | undefined;
  const server = createTlsServer({ ...pki.server, ALPNProtocols: ['h2'] }, (socket) => {
    newest = new Hostile(socket, { head, isClient: false });
  });
  server.on('tlsClientError', () => undefined);
  return {
    port: await listen(server),
    take() {
      if (newest?.isReady !== true) return undefined;
      const taken = newest;
      newest = undefined;
      return taken;
    },
    close: () => {
      newest?.destroy();
      server.close();
    },
  };
}

function nextStream(servers: readonly HostileServer[]): Promise<Hostile> {
  const take = () => {
    for (const server of servers) {
      const taken = server.take();
      if (taken) return Promise.resolve(taken);
    }
    return Promise.resolve(undefined);
  };
  return until('the agent to come to a hostile server', take, { timeoutMs: 30_000, intervalMs: 5 });
}
