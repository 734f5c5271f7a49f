import { once } from 'node:events';
import { createServer } from 'node:http';
import type { RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { Registry } from 'prom-client';
import { silentLog } from '../../base/log.ts';
import type { Closable } from '../../base/scope.ts';
import { testPki } from '../../net/testing/certificates.ts';
import type { Address, Dial } from '../../net/dial.ts';
import { createTunnelClientMetrics } from '../client/client-metrics.ts';
import { createTunnelDial } from '../client/tunnel-client.ts';
import type { TunnelServerOptions } from '../server/tunnel-server.ts';
import { onTestEnd, until } from './agent-server.ts';
import { startTestAgent } from './agent-under-test.ts';
import type { AgentChanges, AgentUnderTest } from './agent-under-test.ts';
import { connectTo, startServer } from './server-peers.ts';
import type { ServerUnderTest } from './server-peers.ts';

export const modes = ['grpc', 'http-connect'] as const;
export type Mode = (typeof modes)[number];

export interface WholeTunnel extends ServerUnderTest {
  /** Where agents connect to, by mutual TLS. */
  readonly agentAddress: Address;
  readonly dial: Dial & Closable;
  /** The value of a metric of the client, `name{label="value"}`; 0 where there is none. */
  clientMetric(name: string): Promise<number>;
  /** Starts an agent and waits until it is connected. */
  startAgent(changes?: AgentChanges): Promise<AgentUnderTest>;
}

/** A server with a client, whose agents are real ones: the three parts in one process, ended after the test. */
export async function startWholeTunnel(
  options: Partial<TunnelServerOptions> & { readonly mode?: Mode; readonly agentPort?: number } = {},
): Promise<WholeTunnel> {
  const { mode = 'grpc', agentPort = 0, ...changes } = options;
  const { ca, server: certificate } = await testPki();
  const under = await startServer({
    mode,
    agents: {
      address: { type: 'tcp', host: '127.0.0.1', port: agentPort },
      tls: {
        ...{ certificatePem: certificate.certificatePem, privateKeyPem: certificate.privateKeyPem },
        ...{ clientCaPem: ca.certificatePem, minVersion: 'TLSv1.2', cipherSuites: [] },
      },
    },
    ...changes,
  });
  const registry = new Registry();
  const dial = createTunnelDial({
    ...{ mode, server: { type: 'unix', path: under.frontend }, log: silentLog },
    metrics: createTunnelClientMetrics(registry),
  });
  onTestEnd(() => dial.destroy());
  const agentAddress = { host: '127.0.0.1', port: under.server.agentPort };
  return {
    ...{ ...under, agentAddress, dial },
    clientMetric: async (name) =>
      valueOf(await registry.metrics(), `konnectivity_network_proxy_client_${name}`),
    startAgent: async (more = {}) => {
      const agent = await startTestAgent([agentAddress], more);
      await until(() => agent.agent.isReady, 'the agent to be connected');
      return agent;
    },
  };
}

function valueOf(text: string, name: string): number {
  const line = text.split('\n').find((each) => each.startsWith(`${name} `));
  return Number(line?.split(' ').at(-1) ?? 0);
}

/** An HTTP server for agents to connect to; it ends after the test. */
export async function startHttpDestination(answer: RequestListener): Promise<Address> {
  const server = createServer(answer);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestEnd(() => {
    server.closeAllConnections();
    server.close();
  });
  return { host: '127.0.0.1', port: (server.address() as AddressInfo).port };
}

/** All bytes until the end. Rejects with the error of a connection that breaks. */
export async function readAll(socket: Duplex): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** One HTTP/1.1 request on a connection of its own; gives the body, which has a length. */
export async function requestOn(socket: Duplex, body = ''): Promise<string> {
  socket.write(
    `POST / HTTP/1.1\r\nHost: destination\r\nConnection: close\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
  const answer = (await readAll(socket)).toString();
  if (!answer.startsWith('HTTP/1.1 200 ')) throw new Error(`the answer was ${answer.slice(0, 200)}`);
  return answer.slice(answer.indexOf('\r\n\r\n') + 4);
}

/** What a server answers to a CONNECT that it refuses, or the first of what it answers when it does not. */
export async function rawConnect(path: string, target: string): Promise<string> {
  const socket = await connectTo(path);
  socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`);
  const [first] = (await once(socket, 'data')) as [Buffer];
  return first.toString();
}

/** Waits until neither side knows of any dial or connection. */
export async function nothingLeft(tunnel: WholeTunnel, agents: readonly AgentUnderTest[]): Promise<void> {
  const names = ['pending_backend_dials', 'established_connections', 'held_bytes'];
  let left = '';
  const isClean = async () => {
    const server = await Promise.all(names.map(async (name) => `${name} ${await tunnel.metric(name)}`));
    const open = agents.map(({ agent }) => `agent ${agent.openConnections}`);
    left = [...server, ...open].filter((each) => !each.endsWith(' 0')).join(', ');
    return left === '';
  };
  const deadline = performance.now() + 10_000;
  while (!(await isClean())) {
    if (performance.now() > deadline) throw new Error(`left behind: ${left}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
