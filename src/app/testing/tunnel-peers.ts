import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { afterEach } from 'vitest';
import type { IssuedCertificate } from '../../pki/issue.ts';
import { agentIdHeader, agentIdentifiersHeader } from '../../tunnel/agent-identifiers.ts';
import { openGrpcConnection } from '../../tunnel/grpc-connection.ts';
import type { GrpcConnection } from '../../tunnel/grpc-connection.ts';
import { Peer } from '../../tunnel/testing/server-peers.ts';

const sockets: Duplex[] = [];

afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

export interface TlsTarget {
  readonly port: number;
  readonly ca: IssuedCertificate;
  readonly client?: IssuedCertificate | undefined;
  readonly alpn?: string;
}

/** A verified TLS connection; destroyed after the test. */
export async function tlsTo({ port, ca, client, alpn = 'h2' }: TlsTarget): Promise<TLSSocket> {
  const socket = connect({
    ...{ host: '127.0.0.1', port, ca: ca.certificatePem, ALPNProtocols: [alpn] },
    ...(client && { cert: client.certificatePem, key: client.privateKeyPem }),
  });
  sockets.push(socket);
  await once(socket, 'secureConnect');
  return socket;
}

export async function unixTo(path: string): Promise<Duplex> {
  const socket = connectTcp({ path });
  sockets.push(socket);
  await once(socket, 'connect');
  return socket;
}

export function grpcOver(socket: Duplex, onDrain: () => void = () => {}): Promise<GrpcConnection> {
  return openGrpcConnection(
    socket,
    {
      ...{ authority: 'server', scheme: 'https', streamWindowBytes: 1024 * 1024 },
      ...{ keepaliveMs: 0, keepaliveTimeoutMs: 1_000, settingsTimeoutMs: 5_000, onDrain },
    },
    AbortSignal.timeout(5_000),
  );
}

export interface AgentCall {
  readonly identifiers?: string;
  readonly token?: string;
}

/** An agent that was let in or refused: see its `status`. */
export async function callAsAgent(connection: GrpcConnection, call: AgentCall = {}): Promise<Peer> {
  const { identifiers, token } = call;
  const agent = new Peer(connection, {
    path: '/AgentService/Connect',
    holdsCredit: false,
    metadata: [
      ...[agentIdHeader, 'agent-1'],
      ...(identifiers === undefined ? [] : [agentIdentifiersHeader, identifiers]),
      ...(token === undefined ? [] : ['authorization', `Bearer ${token}`]),
    ],
  });
  await agent.until(() => agent.metadata !== undefined || agent.status !== undefined);
  return agent;
}

export const callAsFrontend = (connection: GrpcConnection) =>
  new Peer(connection, { path: '/ProxyService/Proxy' });
