import { constants as h2, performServerHandshake } from 'node:http2';
import type { IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import type { Log } from '../base/log.ts';
import { TokenBucket } from '../base/token-bucket.ts';
import type { ClientConnection } from './client-connection.ts';
import type { Exchange } from './exchange.ts';
import { Http2Exchange } from './http2-exchange.ts';
import type { ListenerLimits } from './listener-limits.ts';
import { RequestTurns } from './request-turns.ts';

/** What Node gives with a new stream: flags and the lines as they came stand behind the joined headers. */
type StreamEvent = [
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  flags: number,
  rawHeaders: string[],
];

export interface Http2ConnectionOptions {
  readonly limits: ListenerLimits;
  readonly handle: (exchange: Exchange) => void;
  readonly log: Log;
}

/** How long a client has to end its side after the end of ours; Go's server gives a fifth (goAwayTimeout). */
const farewellMs = 5_000;
/** An old connection is ended when nothing was asked for so long, so that no request meets its end. */
const quietMs = 200;

/** Requests of one connection that begin in one turn of the event loop: some milliseconds of work. */
const requestsPerTurn = 32;

/** An HTTP/2 connection: its streams become Exchanges; it ends in good order, and when its peer is hostile or gone. */
export class Http2Connection {
  readonly #session: ServerHttp2Session;
  readonly #client: ClientConnection;
  readonly #limits: ListenerLimits;
  readonly #openedAt = performance.now();
  readonly #maxAgeMs: number;
  readonly #resets: { readonly unknown: TokenBucket; readonly authenticated: TokenBucket };
  readonly #turns = new RequestTurns(requestsPerTurn);
  #openStreams = 0;
  #served = false;
  #idleSince = performance.now();
  #pingedAt = performance.now();
  #bytesAtPing: number | undefined;
  #overAt: number | undefined;
  #askedAt = performance.now();

  constructor(client: ClientConnection, options: Http2ConnectionOptions) {
    const { limits, log } = options;
    this.#client = client;
    this.#limits = limits;
    this.#resets = {
      unknown: new TokenBucket(limits.resets.unknown),
      authenticated: new TokenBucket(limits.resets.authenticated),
    };
    this.#maxAgeMs = limits.maxConnectionAgeMs * (0.9 + Math.random() * 0.2);
    this.#session = handshake(client, limits);
    this.#session.on('error', (error: Error) => log.debug({ err: error }, 'HTTP/2 session failed'));
    this.#session.on('stream', (...event: StreamEvent) => this.#onStream(event, options));
  }

  /**
   * Ends the connection in good order: GOAWAY names the last stream that was begun. It and those before it are
   * answered; later ones were never begun, and the client sends them again elsewhere (RFC 9113 6.8). As Go's server,
   * and unlike what the RFC recommends, there is no notice before it: Node ignores new streams after any GOAWAY.
   */
  finish(): void {
    if (!this.#session.closed && !this.#session.destroyed) this.#session.close();
  }

  destroy(): void {
    this.#session.destroy();
    this.#client.socket.destroy();
  }

  /** Looks after itself; to be called every few seconds. */
  check(now: number): void {
    if (this.#session.destroyed || (this.#session.closed && this.#openStreams === 0)) {
      // The end has been sent; a client that does not answer with its own would stay for ever, and so would one that
      // has begun a request and never ends its head: nghttp2 has a stream then, of which nobody is told.
      this.#overAt ??= now;
      if (now - this.#overAt > farewellMs) this.destroy();
      return;
    }
    if (this.#isOld(now)) this.finish();
    const idleTimeoutMs = this.#served ? this.#limits.http2IdleTimeoutMs : this.#limits.headersTimeoutMs;
    if (this.#openStreams === 0 && now - this.#idleSince > idleTimeoutMs) this.finish();
    if (now - this.#pingedAt > this.#limits.pingIntervalMs) this.#checkLiveness(now);
  }

  /** Busy ones have twice the time to come to a quiet moment. */
  #isOld(now: number): boolean {
    const age = now - this.#openedAt;
    if (this.#maxAgeMs === 0 || age < this.#maxAgeMs) return false;
    return now - this.#askedAt > quietMs || age > 2 * this.#maxAgeMs;
  }

  /** Bytes count as life, too: behind much data on a slow line the answer to a PING comes late. */
  #checkLiveness(now: number): void {
    const { bytesRead } = this.#client.socket;
    // Checks are counted, not the clock: after a pause of this process the answer may be here and not be read yet.
    if (this.#bytesAtPing === bytesRead) {
      this.destroy();
      return;
    }
    this.#pingedAt = now;
    this.#bytesAtPing = bytesRead;
    this.#session.ping(() => {});
  }

  #onStream([stream, headers, flags, rawHeaders]: StreamEvent, options: Http2ConnectionOptions): void {
    const endOfStream = (flags & h2.NGHTTP2_FLAG_END_STREAM) !== 0;
    this.#openStreams += 1;
    this.#served = true;
    this.#askedAt = performance.now();
    stream.once('close', () => this.#onStreamEnd(stream));
    const { goawayChance } = this.#limits;
    // As kube-apiserver's filter: any request may be the one, probes too (apiserver filters/goaway.go).
    if (goawayChance > 0 && Math.random() < goawayChance) this.finish();
    const { limits, handle } = options;
    const exchange = new Http2Exchange({
      ...{ stream, headers, rawHeaders, endOfStream, limits },
      connection: this.#client,
      closeConnection: () => this.finish(),
    });
    this.#turns.add({ isGone: () => stream.closed || stream.destroyed, begin: () => handle(exchange) });
  }

  #onStreamEnd(stream: ServerHttp2Stream): void {
    this.#openStreams -= 1;
    this.#idleSince = performance.now();
    if (stream.aborted && stream.rstCode !== h2.NGHTTP2_NO_ERROR && !this.#mayReset()) {
      this.#session.destroy(new Error('too many resets'), h2.NGHTTP2_ENHANCE_YOUR_CALM);
    }
  }

  /**
   * Rapid reset (CVE-2023-44487). nghttp2's own limit knows one rate for all and would end the streams of every user
   * when one of them aborts much through the hub: kube-aggregator is not limited, others by what is known of them.
   */
  #mayReset(): boolean {
    const { caller } = this.#client;
    return caller === 'frontProxy' || this.#resets[caller].take();
  }
}

function handshake({ socket }: ClientConnection, limits: ListenerLimits): ServerHttp2Session {
  const session = performServerHandshake(socket, {
    settings: {
      maxConcurrentStreams: limits.maxStreamsPerConnection,
      maxHeaderListSize: limits.maxHeaderBytes,
      // nghttp2 takes eight CONTINUATION frames (CVE-2024-27983): of 16 KiB each they would hold 144 KiB of headers.
      maxFrameSize: Math.max(16_384, Math.min(limits.maxHeaderBytes, 2 ** 24 - 1)),
      initialWindowSize: 256 * 1024,
      enablePush: false,
    },
    // Each pair counts 32 bytes more than it has (RFC 9113 6.5.2), so the size is the one limit that is ever reached.
    // The default of 128 pairs refuses every request of a user in 130 groups.
    maxHeaderListPairs: Math.ceil(limits.maxHeaderBytes / 32),
    maxSendHeaderBlockLength: limits.maxHeaderBytes,
    maxSessionMemory: 100,
    // Resets are counted by Http2Connection.
    streamResetBurst: 2 ** 31 - 1,
    streamResetRate: 2 ** 31 - 1,
  });
  // Bodies of many uploads share this connection's window.
  session.setLocalWindowSize(8 * 1024 * 1024);
  return session;
}
