import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { afterEach } from 'vitest';
import { silentLog } from '../../base/log.ts';
import { allHeaders } from '../../base/header-lines.ts';
import { Http2Connection } from '../../http2/connection.ts';
import { errorCode } from '../../http2/frame.ts';
import type { Http2Stream } from '../../http2/stream.ts';
import type { Address } from '../../net/dial.ts';
import { testPki } from '../../net/testing/certificates.ts';
import { serverCountHeader, serverIdHeader } from '../agent-identifiers.ts';
import { GrpcStatus, grpcCode } from '../grpc-status.ts';
import type { Packet } from '../packet.ts';
import { PacketStream } from '../packet-stream.ts';
import { pauseHeader } from '../shared-stream.ts';
import { listenForStreams } from '../stream-listener.ts';
import type { AcceptedConnection, ServerTls, StreamListenerHandle } from '../stream-listener.ts';

const ends: (() => unknown)[] = [];

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** Runs after the test, the last one first. */
export function onTestEnd(end: () => unknown): void {
  ends.push(end);
}

export interface AgentServerOptions {
  readonly serverId?: string;
  readonly serverCount?: number;
  /** Says that it knows PAUSE and RESUME. */
  readonly canPause?: boolean;
  readonly port?: number;
  readonly alpn?: readonly string[];
  /** Ours, and that of agents is asked for, unless said. */
  readonly tls?: Partial<ServerTls>;
  /** Answers a call; the metadata of a server unless said. */
  readonly answer?: (call: AgentCall) => void;
  /** Bytes of the agent's stream that it may send ahead. */
  readonly streamWindowBytes?: number;
}

/** A tunnel server of which the test is the inside: what agents send is noted, and what they get is said by the test. */
export class AgentServer {
  /** Every call that ever came, the newest last. */
  readonly calls: AgentCall[] = [];
  serverCount: number;
  readonly #options: AgentServerOptions;
  #listener: StreamListenerHandle | undefined;
  readonly #connections = new Set<Http2Connection>();
  accepted = 0;

  constructor(options: AgentServerOptions) {
    this.#options = options;
    this.serverCount = options.serverCount ?? 1;
  }

  async listen(): Promise<void> {
    const { server, ca } = await testPki();
    this.#listener = await listenForStreams({
      address: { type: 'tcp', host: '127.0.0.1', port: this.#options.port ?? 0 },
      tls: {
        certificatePem: server.certificatePem,
        privateKeyPem: server.privateKeyPem,
        clientCaPem: ca.certificatePem,
        minVersion: 'TLSv1.2',
        cipherSuites: [],
        ...this.#options.tls,
      },
      alpn: this.#options.alpn ?? ['h2'],
      handshakeTimeoutMs: 5_000,
      maxConnections: 1_000,
      onConnection: (accepted) => this.#onConnection(accepted),
      log: silentLog,
    });
  }

  get address(): Address {
    return { host: '127.0.0.1', port: this.#listener?.port ?? 0 };
  }

  get openConnections(): number {
    return this.#connections.size;
  }

  get call(): AgentCall {
    const call = this.calls.at(-1);
    if (!call) throw new Error('no agent has called');
    return call;
  }

  /** Waits for the call with this number, from 1 on. */
  async nextCall(number = this.calls.length + 1): Promise<AgentCall> {
    await until(() => this.calls.length >= number, `call ${number}`);
    const call = this.calls[number - 1];
    if (!call) throw new Error('it is not there');
    return call;
  }

  setTls(tls: Partial<ServerTls> & Pick<ServerTls, 'certificatePem' | 'privateKeyPem'>): void {
    this.#listener?.setTls({ clientCaPem: undefined, minVersion: 'TLSv1.2', cipherSuites: [], ...tls });
  }

  /** Stops at once, with all connections. */
  async stop(): Promise<void> {
    this.#listener?.destroy();
    await this.#listener?.close();
  }

  #onConnection(accepted: AcceptedConnection): void {
    this.accepted += 1;
    const windowBytes = this.#options.streamWindowBytes ?? 1024 * 1024;
    const connection: Http2Connection = new Http2Connection(
      accepted.socket,
      {
        requests: {
          maxConcurrentStreams: 100,
          onRequest: (stream, lines) => this.#onRequest({ stream, lines, connection, accepted }),
          onHeadTooLarge: (stream) => stream.reset(errorCode.enhanceYourCalm),
        },
        maxHeaderBytes: 64 * 1024,
        streamWindowBytes: windowBytes,
        connectionWindowBytes: 8 * 1024 * 1024,
        maxUnreadBytes: 64 * 1024 * 1024,
      },
      {
        onSettings: () => undefined,
        onGoaway: () => undefined,
        onPong: () => undefined,
        onClose: () => this.#connections.delete(connection),
      },
    );
    this.#connections.add(connection);
  }

  #onRequest(parts: ConstructorParameters<typeof AgentCall>[0]): void {
    const call = new AgentCall(parts);
    this.calls.push(call);
    const { answer, serverId = 'server-1', canPause = false } = this.#options;
    if (answer) answer(call);
    else
      call.stream.sendHead([
        ...[serverIdHeader, serverId, serverCountHeader, String(this.serverCount)],
        ...(canPause ? [pauseHeader, '1'] : []),
      ]);
  }
}

/** Starts one on a free port of 127.0.0.1; it is stopped after the test. */
export async function startAgentServer(options: AgentServerOptions = {}): Promise<AgentServer> {
  const server = new AgentServer(options);
  await server.listen();
  onTestEnd(() => server.stop());
  return server;
}

/** The stream of one agent, seen by its server. */
export class AgentCall {
  readonly lines: readonly string[];
  readonly connection: Http2Connection;
  readonly accepted: AcceptedConnection;
  /** For bytes that are no packets. */
  readonly raw: Http2Stream;
  readonly stream: PacketStream;
  /** Whatever came but bytes of connections. */
  readonly packets: Packet[] = [];
  readonly #data = new Map<number, Buffer[]>();
  readonly #bytes = new Map<number, number>();
  status: GrpcStatus | undefined;
  #lastDialId = 0n;
  /** Bytes of connections are counted, and not kept. */
  keepsData = true;
  /** False: what the agent sends fills its window. */
  reads = true;
  #unread = 0;

  constructor(parts: {
    readonly stream: Http2Stream;
    readonly lines: readonly string[];
    readonly connection: Http2Connection;
    readonly accepted: AcceptedConnection;
  }) {
    this.lines = parts.lines;
    this.connection = parts.connection;
    this.accepted = parts.accepted;
    this.raw = parts.stream;
    this.stream = new PacketStream(parts.stream, {
      isServer: true,
      holdsCredit: true,
      listener: {
        packet: (packet) => this.packets.push(packet),
        data: (connectId, piece) => this.#onData(connectId, piece),
        drained: () => undefined,
        closed: (status) => {
          this.status = status;
          this.stream.finish(status.isOk ? undefined : new GrpcStatus(grpcCode.unknown, status.message));
        },
      },
    });
  }

  /** The one value of a line of metadata. */
  metadata(name: string): string | undefined {
    const values = allHeaders(this.lines, name);
    if (values.length > 1) throw new Error(`${name} stands there ${values.length} times`);
    return values[0];
  }

  send(packet: Packet): void {
    this.stream.send(packet);
  }

  /** In packets as large as ours are. */
  sendBytes(connectId: number, bytes: Buffer): void {
    for (let at = 0; at < bytes.length; at += 32 * 1024)
      this.stream.sendData(connectId, bytes.subarray(at, at + 32 * 1024));
  }

  /** Asks for a connection, and does not wait. */
  ask(address: string, protocol = 'tcp'): bigint {
    this.#lastDialId += 1n;
    this.send({ type: 'DIAL_REQ', protocol, address, dialId: this.#lastDialId });
    return this.#lastDialId;
  }

  /** Asks for a connection and waits for the answer. */
  async dial(address: string, protocol?: string): Promise<Extract<Packet, { type: 'DIAL_RSP' }>> {
    const dialId = this.ask(address, protocol);
    return this.next('DIAL_RSP', (answer) => answer.dialId === dialId);
  }

  /** Asks for a connection that must work, and gives its number. */
  async open({ host, port }: Address): Promise<number> {
    const { error, connectId } = await this.dial(`${host}:${port}`);
    if (error !== '') throw new Error(error);
    return connectId;
  }

  /** Waits for a packet, and takes it out of the list. */
  async next<Type extends Packet['type']>(
    type: Type,
    isIt: (packet: Extract<Packet, { type: Type }>) => boolean = () => true,
  ): Promise<Extract<Packet, { type: Type }>> {
    const isWanted = (packet: Packet) =>
      packet.type === type && isIt(packet as Extract<Packet, { type: Type }>);
    await until(
      () => this.packets.some(isWanted),
      `a ${type}; there are ${this.packets.map((each) => each.type).join(', ')}`,
    );
    const at = this.packets.findIndex(isWanted);
    return this.packets.splice(at, 1)[0] as Extract<Packet, { type: Type }>;
  }

  bytesOf(connectId: number): number {
    return this.#bytes.get(connectId) ?? 0;
  }

  dataOf(connectId: number): Buffer {
    return Buffer.concat(this.#data.get(connectId) ?? []);
  }

  /** Waits until so many bytes of a connection have come. */
  async received(connectId: number, bytes: number): Promise<Buffer> {
    await until(() => this.bytesOf(connectId) >= bytes, `${bytes} bytes of ${connectId}`, 15_000);
    return this.dataOf(connectId);
  }

  /** Reads what has come, and from now on. */
  readOn(): void {
    this.reads = true;
    this.stream.consumed(this.#unread);
    this.#unread = 0;
  }

  #onData(connectId: number, piece: Buffer): void {
    this.#bytes.set(connectId, this.bytesOf(connectId) + piece.length);
    if (this.keepsData) {
      const pieces = this.#data.get(connectId) ?? [];
      this.#data.set(connectId, pieces);
      pieces.push(Buffer.from(piece));
    }
    if (this.reads) this.stream.consumed(piece.length);
    else this.#unread += piece.length;
  }
}

/** Waits until something is so, or fails the test. */
export async function until(isSo: () => boolean, what = 'it', withinMs = 5_000): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!isSo()) {
    if (performance.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export interface TestDestination {
  readonly address: Address;
  /** Every connection that ever came. */
  readonly sockets: Socket[];
  readonly server: Server;
}

/** A TCP server for agents to connect to; it ends after the test. Half-open connections are its own affair. */
export async function startDestination(
  onConnection: (socket: Socket) => void = () => {},
): Promise<TestDestination> {
  const sockets: Socket[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    onConnection(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestEnd(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return { address: { host: '127.0.0.1', port: (server.address() as AddressInfo).port }, sockets, server };
}

/** A destination that sends back what it gets, and ends when its peer does. */
export function startEcho(): Promise<TestDestination> {
  return startDestination((socket) => socket.pipe(socket));
}

/** Passes TCP on to an address that may change, until it is told to be silent: then nothing comes through any more. */
export class Relay {
  target: () => Address;
  silent = false;
  accepted = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Duplex>();

  constructor(target: () => Address) {
    this.target = target;
    this.#server = createServer((near) => {
      this.accepted += 1;
      const far = connect(this.target());
      for (const [from, to] of [[near, far] as const, [far, near] as const]) {
        this.#sockets.add(from);
        from.on('error', () => to.destroy());
        from.on('close', () => {
          this.#sockets.delete(from);
          to.destroy();
        });
        from.on('data', (chunk) => {
          if (!this.silent) to.write(chunk);
        });
      }
    });
  }

  /** It ends after the test. */
  async listen(): Promise<Address> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    onTestEnd(() => {
      this.#server.close();
      for (const socket of this.#sockets) socket.destroy();
    });
    return { host: '127.0.0.1', port: (this.#server.address() as AddressInfo).port };
  }
}
