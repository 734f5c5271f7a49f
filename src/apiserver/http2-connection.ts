import type { Log } from '../base/log.ts';
import { TokenBucket } from '../base/token-bucket.ts';
import { Http2Connection } from '../http2/connection.ts';
import { errorCode } from '../http2/frame.ts';
import type { Http2Stream } from '../http2/stream.ts';
import type { ClientConnection } from './client-connection.ts';
import type { Exchange } from './exchange.ts';
import { Http2Exchange } from './http2-exchange.ts';
import type { ListenerLimits } from './listener-limits.ts';
import { RequestTurns } from './request-turns.ts';

export interface ServerConnectionOptions {
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
export class Http2ServerConnection {
  readonly #connection: Http2Connection;
  readonly #options: ServerConnectionOptions;
  readonly #client: ClientConnection;
  readonly #limits: ListenerLimits;
  readonly #openedAt = performance.now();
  readonly #maxAgeMs: number;
  readonly #resets: { readonly unknown: TokenBucket; readonly authenticated: TokenBucket };
  readonly #turns = new RequestTurns(requestsPerTurn);
  #served = false;
  #idleSince = performance.now();
  #pingedAt = performance.now();
  #bytesAtPing: number | undefined;
  #overAt: number | undefined;
  #askedAt = performance.now();

  constructor(client: ClientConnection, options: ServerConnectionOptions) {
    const { limits, log } = options;
    this.#client = client;
    this.#limits = limits;
    this.#resets = {
      unknown: new TokenBucket(limits.resets.unknown),
      authenticated: new TokenBucket(limits.resets.authenticated),
    };
    this.#maxAgeMs = limits.maxConnectionAgeMs * (0.9 + Math.random() * 0.2);
    this.#options = options;
    this.#connection = new Http2Connection(
      client.socket,
      {
        requests: {
          maxConcurrentStreams: limits.maxStreamsPerConnection,
          onRequest: (stream, lines, endOfStream) => this.#onRequest({ stream, lines, endOfStream }),
          onHeadTooLarge: (stream) => refuseTooLarge(stream),
        },
        maxHeaderBytes: limits.maxHeaderBytes,
        streamWindowBytes: 256 * 1024,
        // Bodies of many uploads share this connection's window.
        connectionWindowBytes: 8 * 1024 * 1024,
        maxUnreadBytes: 64 * 1024 * 1024,
      },
      {
        onSettings: () => undefined,
        onGoaway: () => undefined,
        onPong: () => undefined,
        onClose: (error) => {
          if (error) log.debug({ err: error }, 'HTTP/2 connection failed');
        },
      },
    );
  }

  /**
   * Ends the connection in good order: GOAWAY names the last stream that was begun. It and those before it are
   * answered; later ones were never begun, and the client sends them again elsewhere (RFC 9113 6.8).
   */
  finish(): void {
    this.#connection.finish();
  }

  destroy(): void {
    this.#connection.destroy();
  }

  /** Looks after itself; to be called every few seconds. */
  check(now: number): void {
    const { openStreams } = this.#connection;
    if (this.#connection.ending && openStreams === 0) {
      // The end has been sent; a client that does not answer with its own would stay for ever.
      this.#overAt ??= now;
      if (now - this.#overAt > farewellMs) this.destroy();
      return;
    }
    if (this.#isOld(now)) this.finish();
    const idleTimeoutMs = this.#served ? this.#limits.http2IdleTimeoutMs : this.#limits.headersTimeoutMs;
    if (openStreams === 0 && now - this.#idleSince > idleTimeoutMs) this.finish();
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
    this.#connection.ping();
  }

  #onRequest(request: { stream: Http2Stream; lines: string[]; endOfStream: boolean }): void {
    const { limits, handle } = this.#options;
    this.#served = true;
    this.#askedAt = performance.now();
    // As kube-apiserver's filter: any request may be the one, probes too (apiserver filters/goaway.go).
    if (limits.goawayChance > 0 && Math.random() < limits.goawayChance) this.finish();
    const exchange = new Http2Exchange({
      ...request,
      limits,
      connection: this.#client,
      closeConnection: () => this.finish(),
      onStreamEnd: (isReset) => this.#onStreamEnd(isReset),
    });
    request.stream.listener = exchange;
    this.#turns.add({ isGone: () => request.stream.closed, begin: () => handle(exchange) });
  }

  #onStreamEnd(isReset: boolean): void {
    this.#idleSince = performance.now();
    if (isReset && !this.#mayReset()) this.#connection.fail(errorCode.enhanceYourCalm, 'too many resets');
  }

  /**
   * Rapid reset (CVE-2023-44487), and what makes the server reset (CVE-2025-8671). One rate for all would end the streams
   * of every user when one of them aborts much through the hub: kube-aggregator is not limited, others by what is known
   * of them.
   */
  #mayReset(): boolean {
    const { caller } = this.#client;
    return caller === 'frontProxy' || this.#resets[caller].take();
  }
}

/** RFC 6585 5. What of the body is on its way is for nobody. */
function refuseTooLarge(stream: Http2Stream): void {
  stream.sendHead([':status', '431'], true);
  stream.reset(errorCode.noError);
}
