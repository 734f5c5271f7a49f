import type { HeaderLines } from '../base/header-lines.ts';
import type { Http2Connection } from '../http2/connection.ts';
import { errorCode } from '../http2/frame.ts';
import { silentListener } from '../http2/stream.ts';
import type { Http2Stream, StreamListener } from '../http2/stream.ts';
import { GrpcStatus, grpcCode, readStatus, statusLines, statusOfReset } from './grpc-status.ts';
import { encodeDataHead, encodePacket } from './packet-codec.ts';
import type { Packet } from './packet.ts';
import { PacketReader } from './packet-reader.ts';
import type { PacketTaker } from './packet-reader.ts';

/** Who is told what comes on a stream of packets. */
export interface PacketStreamListener extends PacketTaker {
  /** Clients: the server's metadata is here. */
  opened?(metadata: HeaderLines): void;
  /** There is room again after a `send…` gave false. */
  drained(): void;
  /**
   * Nothing more comes: the peer has ended its side (`ok`), or the stream is broken. Told once; a server whose client
   * has ended its side still owes it a `finish`.
   */
  closed(status: GrpcStatus): void;
}

export interface PacketStreamOptions {
  /**
   * Bytes of connections may only be sent ahead as far as the stream's window, until `consumed` says that they went on.
   * Otherwise whatever comes is taken: on a stream that many connections share, one must not hold up the others.
   */
  readonly holdsCredit: boolean;
  /** Told of each packet that comes or goes, for metrics. */
  readonly onPacket?: ((type: Packet['type'], direction: 'in' | 'out') => void) | undefined;
  /** The peer cut the stream by RST_STREAM, or with its connection. */
  readonly onReset?: (() => void) | undefined;
}

/** Bytes up to which a packet is put together before it is sent: one frame costs more than the copy. */
const copiedBytes = 4096;
/**
 * Packets other than DATA that wait for a peer which does not read: a peer makes us send them (CLOSE_REQ for bytes of a
 * connection that is none), so that they must not wait without end.
 */
const mostWaiting = 16_384;
/** What was sent to a client that does not read may still be on its way. */
const lingerMs = 10_000;
const ok = new GrpcStatus(grpcCode.ok, '');
const ignorePacket = () => undefined;

/**
 * One gRPC call that carries packets both ways (`ProxyService/Proxy`, `AgentService/Connect`) on an HTTP/2 stream, either
 * side of it.
 */
export class PacketStream implements StreamListener {
  readonly #stream: Http2Stream;
  readonly #listener: PacketStreamListener;
  readonly #isServer: boolean;
  readonly #holdsCredit: boolean;
  readonly #onPacket: (type: Packet['type'], direction: 'in' | 'out') => void;
  readonly #onReset: (() => void) | undefined;
  readonly #reader: PacketReader;
  #headSent: boolean;
  #closed = false;
  #linger: NodeJS.Timeout | undefined;
  /** A chunk is being read, of which so many bytes were given to the listener and have not gone on. */
  #reading = false;
  #given = 0;
  /** Below zero: what was gathered over several chunks was given back before the listener had it. */
  #credit = 0;
  /** Packets that were sent since there was no room. */
  #waiting = 0;

  constructor(
    stream: Http2Stream,
    options: PacketStreamOptions & { readonly isServer: boolean; readonly listener: PacketStreamListener },
  ) {
    const { isServer, listener, holdsCredit, onPacket } = options;
    this.#stream = stream;
    this.#listener = listener;
    this.#isServer = isServer;
    this.#holdsCredit = holdsCredit;
    this.#onPacket = onPacket ?? ignorePacket;
    this.#onReset = options.onReset;
    this.#headSent = !isServer;
    this.#reader = new PacketReader({
      packet: (packet) => {
        this.#onPacket(packet.type, 'in');
        listener.packet(packet);
      },
      data: (connectId, piece, isFirst) => {
        if (isFirst) this.#onPacket('DATA', 'in');
        this.#given += piece.length;
        listener.data(connectId, piece, isFirst);
      },
    });
    stream.listener = this;
  }

  /** Nothing comes any more. */
  get isClosed(): boolean {
    return this.#closed;
  }

  /** False: wait for `drained` before the next. */
  send(packet: Packet): boolean {
    this.#sendHeadOnce();
    this.#onPacket(packet.type, 'out');
    const hasRoom = this.#stream.write(encodePacket(packet));
    if (!hasRoom && (this.#waiting += 1) === mostWaiting) setImmediate(() => this.#giveUp());
    return hasRoom;
  }

  /** A DATA packet, its bytes not copied where there are many. False: wait for `drained` before the next. */
  sendData(connectId: number, bytes: Buffer): boolean {
    this.#sendHeadOnce();
    this.#onPacket('DATA', 'out');
    const head = encodeDataHead(connectId, bytes.length);
    if (bytes.length <= copiedBytes) return this.#stream.write(Buffer.concat([head, bytes]));
    this.#stream.write(head);
    return this.#stream.write(bytes);
  }

  /** Servers: answers with metadata before there is a packet. */
  sendHead(metadata: HeaderLines = []): void {
    if (this.#headSent) return;
    this.#headSent = true;
    this.#stream.sendHead([':status', '200', 'content-type', 'application/grpc', ...metadata], false);
  }

  /** So many bytes of connections went on, where credit is held. */
  consumed(bytes: number): void {
    if (this.#reading) this.#given -= bytes;
    else this.#giveBack(bytes);
  }

  /** Ends our side in good order; a server says why. */
  finish(status: GrpcStatus = ok): void {
    if (!this.#isServer) {
      this.#stream.end();
      return;
    }
    if (this.#headSent) this.#stream.end(undefined, statusLines(status));
    else
      this.#stream.sendHead(
        [':status', '200', 'content-type', 'application/grpc', ...statusLines(status)],
        true,
      );
    this.#headSent = true;
    // The client need not end its side any more (RFC 9113 8.1), and must not keep ours open by not doing it.
    if (this.#stream.localSent) this.#stream.reset(errorCode.noError);
    else if (!this.#stream.closed)
      this.#linger ??= setTimeout(() => this.#stream.reset(errorCode.cancel), lingerMs).unref();
  }

  /** Ends it at once; its listener is told. */
  cancel(): void {
    this.#stream.reset(errorCode.cancel);
    this.#close(new GrpcStatus(grpcCode.cancelled, 'the stream was cancelled'));
  }

  // What follows is for the stream.

  headReceived(status: number, lines: string[], endStream: boolean): void {
    if (status < 200) return;
    if (endStream) {
      const none = () =>
        headProblem(status, lines) ?? new GrpcStatus(grpcCode.unknown, 'an answer without a status');
      this.#answered(readStatus(lines) ?? none());
      return;
    }
    const problem = headProblem(status, lines);
    if (problem) this.#break(problem);
    else this.#listener.opened?.(lines);
  }

  dataReceived(chunk: Buffer): void {
    if (this.#closed) {
      this.#stream.consumed(chunk.length);
      return;
    }
    this.#given = 0;
    this.#reading = true;
    try {
      this.#reader.read(chunk);
    } catch (error) {
      if (!(error instanceof GrpcStatus)) throw error;
      this.#break(error);
    } finally {
      this.#reading = false;
    }
    this.#giveBack(this.#holdsCredit ? chunk.length - this.#given : chunk.length);
  }

  endReceived(trailers: readonly string[]): void {
    if (!this.#reader.isBetweenMessages) {
      this.#break(new GrpcStatus(grpcCode.internal, 'the stream ended within a message'));
      return;
    }
    if (this.#isServer) this.#close(ok);
    else
      this.#answered(
        readStatus(trailers) ?? new GrpcStatus(grpcCode.internal, 'the stream ended without a status'),
      );
  }

  drained(): void {
    this.#waiting = 0;
    if (!this.#closed) this.#listener.drained();
  }

  streamClosed(code: number | undefined, byPeer: boolean): void {
    clearTimeout(this.#linger);
    if (code !== undefined && byPeer) this.#onReset?.();
    // Servers are done when their client is, or when they have said how it ended (RFC 9113 8.1).
    const isGood = code === undefined || (this.#isServer && code === errorCode.noError);
    this.#close(isGood ? ok : statusOfReset(code));
  }

  #giveBack(bytes: number): void {
    this.#credit += bytes;
    if (this.#credit <= 0) return;
    this.#stream.consumed(this.#credit);
    this.#credit = 0;
  }

  #sendHeadOnce(): void {
    if (!this.#headSent) this.sendHead();
  }

  /** The peer does not keep to the protocol. */
  #break(status: GrpcStatus): void {
    if (this.#closed) return;
    // Before the stream ends, which would be told as a good end, or as a cancellation.
    this.#closed = true;
    this.#reader.stop();
    if (this.#isServer) this.finish(status);
    else this.#stream.reset(errorCode.cancel);
    this.#listener.closed(status);
  }

  /** Clients: the server has said how it ended, and nothing that we send counts any more. */
  #answered(status: GrpcStatus): void {
    this.#close(status);
    if (this.#stream.isBlocked) this.#stream.reset(errorCode.cancel);
    else this.#stream.end();
  }

  #giveUp(): void {
    this.#close(new GrpcStatus(grpcCode.resourceExhausted, 'the peer does not read'));
    this.#stream.reset(errorCode.enhanceYourCalm);
  }

  #close(status: GrpcStatus): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#reader.stop();
    this.#listener.closed(status);
  }
}

/** What is no answer of a gRPC server. */
function headProblem(status: number, lines: HeaderLines): GrpcStatus | undefined {
  if (status !== 200) {
    const code =
      status === 401
        ? grpcCode.unauthenticated
        : status === 403
          ? grpcCode.permissionDenied
          : grpcCode.unavailable;
    return new GrpcStatus(code, `unexpected HTTP status code received from server: ${status}`);
  }
  for (let at = 0; at + 1 < lines.length; at += 2)
    if (lines[at] === 'content-type' && lines[at + 1]?.startsWith('application/grpc') === true)
      return undefined;
  return new GrpcStatus(grpcCode.unknown, 'the answer is not gRPC');
}

export interface PacketCall extends PacketStreamOptions {
  /** `/ProxyService/Proxy` or `/AgentService/Connect`. */
  readonly path: string;
  readonly authority: string;
  readonly scheme: 'http' | 'https';
  /** Further lines of the head, names in lower case. */
  readonly metadata: HeaderLines;
  readonly listener: PacketStreamListener;
}

/** Begins a call (clients); undefined: the connection takes no more. */
export function callPackets(connection: Http2Connection, call: PacketCall): PacketStream | undefined {
  const { path, authority, scheme, metadata } = call;
  const lines = [
    ...[':method', 'POST', ':scheme', scheme, ':authority', authority, ':path', path],
    ...['content-type', 'application/grpc', 'te', 'trailers'],
    ...metadata,
  ];
  const stream = connection.request(lines, { endStream: false, isHead: false, listener: silentListener });
  return stream && new PacketStream(stream, { ...call, isServer: false });
}
