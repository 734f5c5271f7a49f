import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Registry } from 'prom-client';
import { afterEach } from 'vitest';
import { silentLog } from '../../base/log.ts';
import type { HeaderLines } from '../../base/header-lines.ts';
import { agentIdHeader, agentIdentifiersHeader } from '../agent-identifiers.ts';
import { openGrpcConnection } from '../grpc-connection.ts';
import type { GrpcConnection } from '../grpc-connection.ts';
import type { GrpcStatus } from '../grpc-status.ts';
import type { Packet } from '../packet.ts';
import type { PacketStream } from '../packet-stream.ts';
import { pauseHeader } from '../shared-stream.ts';
import { createTunnelServerMetrics } from '../server/server-metrics.ts';
import { createTunnelServer } from '../server/tunnel-server.ts';
import type { TunnelServer, TunnelServerOptions } from '../server/tunnel-server.ts';

const ends: (() => unknown)[] = [];

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

export interface ServerUnderTest {
  readonly server: TunnelServer;
  readonly registry: Registry;
  /** Paths of Unix sockets. */
  readonly frontend: string;
  readonly agents: string;
  /** The value of a metric, `name{label="value"}`; 0 where there is none. */
  metric(name: string): Promise<number>;
}

/** A server with both ports on Unix sockets; it is destroyed after the test. */
export async function startServer(
  options: Partial<TunnelServerOptions> & { mode?: 'grpc' | 'http-connect' } = {},
) {
  const directory = await mkdtemp(join(tmpdir(), 'tunnel-'));
  const registry = new Registry();
  const [frontend, agents] = [join(directory, 'frontend.sock'), join(directory, 'agents.sock')];
  const at = (path: string) => ({ type: 'unix' as const, path, deleteExisting: true });
  const server = await createTunnelServer({
    serverId: 'server-1',
    serverCount: () => 1,
    strategies: ['destHost', 'default'],
    frontend: { mode: options.mode ?? 'grpc', address: at(frontend), tls: undefined },
    agents: { address: at(agents), tls: undefined },
    identifierRule: 'any',
    dialTimeoutMs: 0,
    keepaliveMs: 0,
    frontendKeepaliveMs: 0,
    maxPendingDials: 10_000,
    maxHeldBytes: 64 * 1024 * 1024,
    metrics: createTunnelServerMetrics(registry),
    log: silentLog,
    ...options,
  });
  ends.push(async () => {
    server.destroy();
    await rm(directory, { recursive: true });
  });
  const metric = async (name: string) => {
    const line = (await registry.metrics())
      .split('\n')
      .find((each) => each.startsWith(`konnectivity_network_proxy_server_${name} `));
    return Number(line?.split(' ').at(-1) ?? 0);
  };
  return { server, registry, frontend, agents, metric } satisfies ServerUnderTest;
}

export async function connectTo(path: string): Promise<Socket> {
  const socket = connect({ path });
  await once(socket, 'connect');
  ends.push(() => socket.destroy());
  return socket;
}

/** A connection on which calls are made. */
export async function grpcTo(path: string, streamWindowBytes?: number): Promise<GrpcConnection> {
  return grpcOn(await connectTo(path), streamWindowBytes);
}

export function grpcOn(socket: Socket, streamWindowBytes = 1024 * 1024): Promise<GrpcConnection> {
  return openGrpcConnection(
    socket,
    {
      ...{ authority: 'server', scheme: 'http', streamWindowBytes },
      ...{ keepaliveMs: 0, keepaliveTimeoutMs: 1_000, settingsTimeoutMs: 5_000, onDrain: () => {} },
    },
    AbortSignal.timeout(5_000),
  );
}

/** A call whose packets are noted, and can be waited for. */
export class Peer {
  readonly stream: PacketStream;
  readonly connection: GrpcConnection;
  readonly packets: Packet[] = [];
  metadata: HeaderLines | undefined;
  status: GrpcStatus | undefined;
  /** Read at once; false: what comes waits in the window. */
  reads = true;
  /** Told of all that comes but DATA. */
  onPacket: (packet: Packet) => void = () => {};
  #unread = 0;
  #changed: (() => void)[] = [];

  constructor(
    connection: GrpcConnection,
    call: { readonly path: string; readonly metadata?: HeaderLines; readonly holdsCredit?: boolean },
  ) {
    this.connection = connection;
    const stream = connection.call({
      ...{ path: call.path, metadata: call.metadata ?? [], holdsCredit: call.holdsCredit ?? true },
      listener: {
        opened: (metadata) => this.#note(() => (this.metadata = metadata)),
        packet: (packet) => {
          this.#note(() => this.packets.push(packet));
          this.onPacket(packet);
        },
        data: (connectId, piece) => {
          if (this.reads && call.holdsCredit !== false) this.stream.consumed(piece.length);
          else this.#unread += piece.length;
          this.#note(() =>
            this.packets.push({ type: 'DATA', connectId, error: '', data: Buffer.from(piece) }),
          );
        },
        drained: () => this.#note(() => undefined),
        closed: (status) => this.#note(() => (this.status = status)),
      },
    });
    if (!stream) throw new Error('the connection takes no calls');
    this.stream = stream;
  }

  /** Reads what has come, and from now on. */
  readOn(): void {
    this.reads = true;
    this.stream.consumed(this.#unread);
    this.#unread = 0;
  }

  /** Bytes of a connection that have come. */
  bytesOf(connectId: number): Buffer {
    const of = this.packets.filter((packet) => packet.type === 'DATA' && packet.connectId === connectId);
    return Buffer.concat(of.map((packet) => (packet.type === 'DATA' ? packet.data : Buffer.alloc(0))));
  }

  /** Waits for a packet of a type, and takes it out of the list. */
  async next<Type extends Packet['type']>(type: Type): Promise<Extract<Packet, { type: Type }>> {
    await this.until(() => this.packets.some((packet) => packet.type === type));
    const at = this.packets.findIndex((packet) => packet.type === type);
    return this.packets.splice(at, 1)[0] as Extract<Packet, { type: Type }>;
  }

  async until(condition: () => boolean): Promise<void> {
    const deadline = performance.now() + 5_000;
    while (!condition()) {
      if (performance.now() > deadline)
        throw new Error(
          `waited in vain; there are ${this.packets.map(({ type }) => type).join(', ') || 'no packets'}`,
        );
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 100);
        this.#changed.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  #note(change: () => void): void {
    change();
    for (const tell of this.#changed.splice(0)) tell();
  }
}

export interface FakeAgentOptions {
  readonly id?: string;
  readonly identifiers?: string;
  readonly canPause?: boolean;
  readonly metadata?: HeaderLines;
}

/** An agent that says who it is and waits to be let in. */
export async function fakeAgent(path: string, options: FakeAgentOptions = {}): Promise<Peer> {
  return fakeAgentOn(await grpcTo(path), options);
}

export async function fakeAgentOn(connection: GrpcConnection, options: FakeAgentOptions = {}): Promise<Peer> {
  const { id = 'agent-1', identifiers, canPause = false, metadata = [] } = options;
  const peer = new Peer(connection, {
    path: '/AgentService/Connect',
    metadata: [
      ...[agentIdHeader, id],
      ...(identifiers === undefined ? [] : [agentIdentifiersHeader, identifiers]),
      ...(canPause ? [pauseHeader, '1'] : []),
      ...metadata,
    ],
    holdsCredit: false,
  });
  await peer.until(() => peer.metadata !== undefined || peer.status !== undefined);
  return peer;
}

export function fakeFrontend(connection: GrpcConnection): Peer {
  return new Peer(connection, { path: '/ProxyService/Proxy' });
}

/** A connection from a frontend to an agent, both of which are the test's. */
export async function openThrough(
  frontend: Peer,
  agent: Peer,
  { connectId = 1, address = 'somewhere:443', dialId = 7n } = {},
): Promise<void> {
  frontend.stream.send({ type: 'DIAL_REQ', protocol: 'tcp', address, dialId });
  const asked = await agent.next('DIAL_REQ');
  agent.stream.send({ type: 'DIAL_RSP', error: '', connectId, dialId: asked.dialId });
  await frontend.next('DIAL_RSP');
}
