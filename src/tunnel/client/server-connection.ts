import type { Duplex } from 'node:stream';
import { Failure } from '../../base/failure.ts';
import type { Dial } from '../../net/dial.ts';
import { hostPort } from '../../net/node-errors.ts';
import { connectTls } from '../../net/tls.ts';
import type { ClientTls } from '../../net/tls.ts';
import { openGrpcConnection } from '../grpc-connection.ts';
import type { GrpcConnection } from '../grpc-connection.ts';
import { drainHeader } from '../packet.ts';
import type { PacketStream, PacketStreamListener } from '../packet-stream.ts';

export interface ServerConnectionOptions {
  /** Of this server: an IP address, or what else `dial` understands. */
  readonly address: string;
  /** 0: of a Unix socket. */
  readonly port: number;
  readonly dial: Dial;
  readonly signal: AbortSignal;
  /** Undefined: plain, as on Unix sockets. */
  readonly tls: ClientTls | undefined;
  /** What the server's certificate is for. */
  readonly host: string;
  /** `:authority`. */
  readonly authority: string;
  readonly userAgent: string;
  readonly handshakeTimeoutMs: number;
  /** Between PINGs while there are connections. */
  readonly keepaliveMs: number;
  /** How long an answer to a PING may take. */
  readonly pingTimeoutMs: number;
  /** How long the server may be silent before a dial asks whether it is there. */
  readonly silenceMs: number;
  /** It takes no new streams; those that run go on. */
  readonly onDrain: (connection: ServerConnection) => void;
  readonly onClosed: (connection: ServerConnection) => void;
  /** The server ended it because of our PINGs. */
  readonly onTooImpatient: () => void;
}

/**
 * How far a server may send ahead on one stream, and so what a reader that stopped costs. Enough for 25 MB/s over 20 ms and
 * for a gigabit within a data centre; the sessions that carry requests always read, so that it is upgrades whose readers stop.
 */
const streamWindowBytes = 512 * 1024;
/** The Go server ends a connection at the fourth PING without DATA of its own between them; one may be the keepalive's. */
const mostQuestions = 2;

/**
 * An HTTP/2 connection to one tunnel server, which carries many TCP connections. What it leads to is one process, whatever
 * stands between: which agents are there is the same for all that it carries.
 */
export class ServerConnection {
  /** For messages. */
  readonly name: string;
  readonly #grpc: GrpcConnection;
  readonly #userAgent: string;
  readonly #silenceMs: number;
  #heardAt = performance.now();
  /** PINGs since the server was last heard. */
  #questions = 0;
  #calledAt = performance.now();
  readonly #onEnding = new Set<() => void>();

  constructor(grpc: GrpcConnection, { address, port, userAgent, silenceMs }: ServerConnectionOptions) {
    this.#grpc = grpc;
    this.name = port === 0 ? address : hostPort({ host: address, port });
    this.#userAgent = userAgent;
    this.#silenceMs = silenceMs;
  }

  /** Connections that it carries, or that are asked for. */
  get load(): number {
    return this.#grpc.openStreams;
  }

  get usable(): boolean {
    return this.#grpc.usable;
  }

  get hasRoom(): boolean {
    return this.#grpc.hasRoom;
  }

  /** Why it was lost, where it was. */
  get failure(): Failure | undefined {
    return this.#grpc.failure;
  }

  /** Milliseconds since it began to carry nothing; 0 while it does carry something. */
  idleMs(now: number): number {
    if (this.load > 0) this.#calledAt = now;
    return now - this.#calledAt;
  }

  /** Begins a stream; undefined: there can be no more. */
  call(listener: PacketStreamListener): PacketStream | undefined {
    this.#calledAt = performance.now();
    return this.#grpc.call({
      path: '/ProxyService/Proxy',
      metadata: ['user-agent', this.#userAgent, drainHeader, '1'],
      holdsCredit: true,
      listener,
    });
  }

  /** Calls `listener` when it takes no new streams, while those that run go on; the result forgets it. */
  onEnding(listener: () => void): () => void {
    if (this.usable) this.#onEnding.add(listener);
    // The answer to a dial that was asked for before.
    else setImmediate(listener);
    return () => void this.#onEnding.delete(listener);
  }

  ends(): void {
    for (const listener of this.#onEnding) listener();
    this.#onEnding.clear();
  }

  /** The server gave a sign of life. */
  heard(): void {
    this.#heardAt = performance.now();
    this.#questions = 0;
  }

  /** Asks whether the server is there, if it has been silent: a way that was cut shows no other sign. */
  askWhenSilent(): void {
    if (performance.now() - this.#heardAt < this.#silenceMs || this.#questions >= mostQuestions) return;
    this.#questions += 1;
    this.#grpc.ping();
  }

  /** Takes no new streams and ends with the last one. */
  close(): void {
    this.#grpc.close();
  }

  destroy(failure: Failure): void {
    this.#grpc.destroy(failure);
  }
}

/** Connects to a tunnel server and agrees on HTTP/2 with it. Rejects with a `Failure`, and leaves nothing behind. */
export async function openServerConnection(options: ServerConnectionOptions): Promise<ServerConnection> {
  const { address, port, dial, host, tls, signal, handshakeTimeoutMs } = options;
  const raw = await dial({ host: address, port }, signal);
  let socket: Duplex = raw;
  if (tls) {
    const secure = await connectTls(raw, { tls, host, alpn: ['h2'], signal, timeoutMs: handshakeTimeoutMs });
    // As gRPC wants it; without it every server could be spoken to that happens to have such a certificate.
    if (secure.alpnProtocol !== 'h2') {
      secure.on('error', () => undefined);
      secure.destroy();
      throw new Failure('refused', 'the server does not speak HTTP/2: is it in mode http-connect?');
    }
    socket = secure;
  }
  const told = { drained: () => {} };
  const grpc = await openGrpcConnection(
    socket,
    {
      authority: options.authority,
      scheme: tls ? 'https' : 'http',
      streamWindowBytes,
      keepaliveMs: options.keepaliveMs,
      keepaliveTimeoutMs: options.pingTimeoutMs,
      settingsTimeoutMs: handshakeTimeoutMs,
      onDrain: () => told.drained(),
    },
    signal,
  );
  if (socket.closed) throw grpc.failure ?? new Failure('unreachable', 'the server closed the connection');
  const connection = new ServerConnection(grpc, options);
  told.drained = () => {
    options.onDrain(connection);
    if (!grpc.isClosed) connection.ends();
  };
  socket.once('close', () => {
    if (grpc.wasTooImpatient) options.onTooImpatient();
    options.onClosed(connection);
  });
  return connection;
}
