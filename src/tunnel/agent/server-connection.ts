import type { Duplex } from 'node:stream';
import { Failure } from '../../base/failure.ts';
import { allHeaders, firstHeader } from '../../base/header-lines.ts';
import type { HeaderLines } from '../../base/header-lines.ts';
import type { Redacted } from '../../base/redacted.ts';
import type { Dial } from '../../net/dial.ts';
import { abortFailure, hostPort } from '../../net/node-errors.ts';
import { connectTls } from '../../net/tls.ts';
import type { ClientTls } from '../../net/tls.ts';
import {
  agentIdHeader,
  agentIdentifiersHeader,
  serverCountHeader,
  serverIdHeader,
} from '../agent-identifiers.ts';
import { openGrpcConnection } from '../grpc-connection.ts';
import type { GrpcConnection } from '../grpc-connection.ts';
import { GrpcStatus, grpcCode } from '../grpc-status.ts';
import type { PacketStream } from '../packet-stream.ts';
import { pauseHeader } from '../shared-stream.ts';
import type { AgentMetrics } from './agent-metrics.ts';
import { Destinations } from './destinations.ts';
import type { DestinationsOptions } from './destinations.ts';
import { withOwnDates } from './own-certificate.ts';
import type { ServerAddress } from './server-addresses.ts';

/** What all connections of an agent have in common. */
export interface AgentIdentity {
  readonly agentId: string;
  /** As `formatIdentifiers` writes them. */
  readonly identifiers: string;
  /** The newest; a connection keeps what it began with. */
  readonly tls: () => ClientTls;
  /** Our certificate in it, PEM; undefined: there is none. */
  readonly certificatePem?: () => string | undefined;
  /** Offered before `h2`, for whoever tells connections apart by it. */
  readonly alpnProtocols: readonly string[];
  /** Sent as a bearer token, read at each connect. Rejects with a `Failure`. */
  readonly readToken: (() => Promise<Redacted<string>>) | undefined;
}

export interface ServerConnectionOptions {
  readonly identity: AgentIdentity;
  readonly address: ServerAddress;
  readonly dial: Dial;
  /** Of PINGs; Go's servers end a connection whose PINGs come more often than every 30 s. */
  readonly keepaliveMs: number;
  readonly keepaliveTimeoutMs: number;
  /** How long the server may take to say who it is. */
  readonly answerTimeoutMs: number;
  readonly destinations: Omit<DestinationsOptions, 'metrics'>;
  readonly metrics: AgentMetrics;
  /** The server will end it, and takes no new streams on it; what is open goes on. Told at most once, before `onClosed`. */
  readonly onLeaving: (connection: ServerConnection) => void;
  /** Told once, and only of a connection that was given to somebody. */
  readonly onClosed: (connection: ServerConnection, end: ServerConnectionEnd) => void;
}

export interface ServerConnectionEnd {
  readonly status: GrpcStatus;
  /** The server ended it because of too many PINGs. */
  readonly tooManyPings: boolean;
}

const mebibyte = 1024 * 1024;
const settingsTimeoutMs = 10_000;
/** How long the server may take to end its side when we have ended ours. */
const farewellMs = 1_000;
/** Of what a server says of an error. */
const mostMessageCharacters = 300;

/**
 * Connects to one server and begins the stream on which it asks for connections. Rejects with a `Failure`, having closed
 * whatever it had opened.
 */
export async function connectServer(
  options: ServerConnectionOptions,
  signal: AbortSignal,
): Promise<ServerConnection> {
  const { identity, address, dial } = options;
  const metadata = await metadataOf(identity);
  const stream = await dial({ host: address.ip, port: address.port }, signal);
  try {
    return await begin(stream, { options, metadata, signal });
  } catch (error) {
    throw withOwnDates(error, identity.certificatePem?.(), new Date());
  }
}

interface Beginning {
  readonly options: ServerConnectionOptions;
  readonly metadata: HeaderLines;
  readonly signal: AbortSignal;
}

async function begin(stream: Duplex, { options, metadata, signal }: Beginning): Promise<ServerConnection> {
  const socket = await shakeHands(stream, options, signal);
  const holder: { connection: ServerConnection | undefined } = { connection: undefined };
  const grpc = await openGrpcConnection(
    socket,
    {
      authority: hostPort(options.address),
      scheme: 'https',
      // All connections share it, and what comes is taken at once: this is bandwidth x delay, and keeps nothing.
      streamWindowBytes: 8 * mebibyte,
      keepaliveMs: options.keepaliveMs,
      keepaliveTimeoutMs: options.keepaliveTimeoutMs,
      settingsTimeoutMs,
      onDrain: () => holder.connection?.onDrain(),
    },
    signal,
  );
  const connection = new ServerConnection(grpc, options);
  holder.connection = connection;
  try {
    await connection.begin(metadata, signal);
  } catch (error) {
    connection.destroy();
    throw error;
  }
  return connection;
}

/** Rejects with a `Failure` that does not show the token. */
async function metadataOf({ agentId, identifiers, readToken }: AgentIdentity): Promise<string[]> {
  const lines = [agentIdHeader, agentId, agentIdentifiersHeader, identifiers, pauseHeader, '1'];
  if (!readToken) return lines;
  const token = (await readToken()).reveal().trim();
  if (!/^[\x21-\x7e]+$/.test(token))
    throw new Failure('refused', 'the token of the service account is not one word');
  return [...lines, 'authorization', `Bearer ${token}`];
}

async function shakeHands(
  stream: Duplex,
  { identity, address }: ServerConnectionOptions,
  signal: AbortSignal,
): Promise<Duplex> {
  const protocols = [...identity.alpnProtocols, 'h2'];
  const socket = await connectTls(stream, {
    tls: identity.tls(),
    host: address.host,
    alpn: protocols,
    signal,
  });
  if (socket.alpnProtocol !== false && socket.alpnProtocol !== null) return socket;
  socket.on('error', () => undefined).destroy();
  throw new Failure(
    'unreachable',
    'the server agreed to none of the offered protocols (ALPN), which must be h2',
  );
}

interface Waiting {
  readonly resolve: () => void;
  readonly reject: (failure: Failure) => void;
}

/** The connection to one server, with the one stream on it. */
export class ServerConnection {
  serverId = '';
  /** Servers that there are, as this one says. */
  serverCount = 1;
  readonly #grpc: GrpcConnection;
  readonly #options: ServerConnectionOptions;
  readonly #destinations: Destinations;
  #stream: PacketStream | undefined;
  #waiting: Waiting | undefined;
  #opened = false;
  #leaving = false;
  #destroyedByUs = false;
  #ended: GrpcStatus | undefined;
  readonly #whenClosed = Promise.withResolvers<undefined>();

  constructor(grpc: GrpcConnection, options: ServerConnectionOptions) {
    this.#grpc = grpc;
    this.#options = options;
    this.#destinations = new Destinations({ ...options.destinations, metrics: options.metrics });
  }

  get openConnections(): number {
    return this.#destinations.openConnections;
  }

  /** Nothing is under way on it. */
  get isIdle(): boolean {
    return this.#destinations.isIdle;
  }

  /** Its server has said that it will end it. */
  get isLeaving(): boolean {
    return this.#leaving;
  }

  get isClosed(): boolean {
    return this.#ended !== undefined;
  }

  /** Begins the stream; resolves when the server has said who it is. */
  async begin(metadata: HeaderLines, signal: AbortSignal): Promise<void> {
    const { answerTimeoutMs, metrics } = this.#options;
    const onAbort = () => this.#fail(abortFailure(signal));
    const timer = setTimeout(
      () => this.#fail(new Failure('timeout', 'the server did not say who it is in time')),
      answerTimeoutMs,
    );
    signal.addEventListener('abort', onAbort);
    try {
      await new Promise<void>((resolve, reject) => {
        this.#waiting = { resolve, reject };
        this.#stream = this.#grpc.call({
          path: '/AgentService/Connect',
          metadata,
          holdsCredit: true,
          onPacket: metrics.packet,
          listener: {
            opened: (lines) => this.#onAnswer(lines),
            packet: (packet) => this.#destinations.packet(packet),
            data: (connectId, piece, isFirst) => this.#destinations.data(connectId, piece, isFirst),
            drained: () => this.#destinations.drained(),
            closed: (status) => this.#onStreamClosed(status),
          },
        });
        if (!this.#stream) this.#fail(new Failure('unreachable', 'the server ended the connection'));
        else this.#destinations.attach(this.#stream);
        if (signal.aborted) onAbort();
      });
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** Asks the server for no more dials. */
  drain(): void {
    this.#destinations.sendDrain();
  }

  /** Ends the stream in good order, and the connection behind it; what is open on it is cut. */
  async close(): Promise<void> {
    if (this.#ended) return;
    this.#stream?.finish();
    const timer = setTimeout(() => this.destroy(), farewellMs);
    await this.#whenClosed.promise;
    clearTimeout(timer);
  }

  destroy(failure?: Failure): void {
    this.#destroyedByUs = true;
    this.#grpc.destroy(failure);
    this.#onStreamClosed(
      new GrpcStatus(grpcCode.cancelled, failure?.message ?? 'the agent closed the connection'),
    );
  }

  /** The HTTP/2 connection takes no new streams. */
  onDrain(): void {
    if (!this.#opened || this.#ended || this.#leaving || this.#destroyedByUs) return;
    this.#leaving = true;
    this.#options.onLeaving(this);
  }

  #onAnswer(lines: HeaderLines): void {
    const [id, ...otherIds] = allHeaders(lines, serverIdHeader);
    const [count, ...otherCounts] = allHeaders(lines, serverCountHeader);
    if (id === undefined || id === '' || otherIds.length > 0) {
      this.#fail(
        new Failure('refused', `expected one server ID, got ${id === undefined ? 0 : 1 + otherIds.length}`),
      );
      return;
    }
    if (count === undefined || otherCounts.length > 0 || !/^\d{1,6}$/.test(count)) {
      this.#fail(new Failure('refused', 'expected one server count'));
      return;
    }
    this.serverId = id;
    this.serverCount = Math.max(1, Number(count));
    if (firstHeader(lines, pauseHeader) !== undefined) this.#destinations.allowPause();
    this.#opened = true;
    this.#waiting?.resolve();
    this.#waiting = undefined;
  }

  /** Before the server has said who it is. */
  #fail(failure: Failure): void {
    if (!this.#waiting) return;
    this.#waiting.reject(failure);
    this.#waiting = undefined;
    this.destroy(failure);
  }

  #onStreamClosed(status: GrpcStatus): void {
    if (this.#ended) return;
    this.#ended = status;
    const tooManyPings = this.#grpc.wasTooImpatient;
    this.#destinations.closed(status);
    this.#waiting?.reject(this.#grpc.failure ?? statusFailure(status));
    this.#waiting = undefined;
    this.#grpc.destroy();
    this.#whenClosed.resolve(undefined);
    if (!this.#opened) return;
    if (!status.isOk && !this.#destroyedByUs) this.#options.metrics.streamBroke(status.code);
    this.#options.onClosed(this, { status, tooManyPings });
  }
}

function statusFailure({ code, message }: GrpcStatus): Failure {
  const text = message === '' ? 'it gave no reason' : message.slice(0, mostMessageCharacters);
  return new Failure('refused', `the server refused the stream: ${text} (gRPC code ${code})`);
}
