import type { Duplex } from 'node:stream';
import { Failure, errorText } from '../base/failure.ts';
import { createConnect } from './connect.ts';
import type { Connect, ConnectOptions } from './connect.ts';
import { Http1Pool } from './http1-pool.ts';
import { Http2Exchange, Unprocessed } from './http2-exchange.ts';
import { Http2Pool } from './http2-pool.ts';
import { openHttp2Session } from './http2-session.ts';
import type { Http2Session, Http2SessionOptions, Http2SessionOwner } from './http2-session.ts';
import { hostPort } from './node-errors.ts';
import { checkRequest } from './request-check.ts';
import type { IncomingResponse, OutgoingRequest, Transport, UpgradeResponse } from './transport.ts';
import { upgradeOn } from './upgrade.ts';

export interface TransportLimits {
  /**
   * HTTP/2 connections for short requests, and as many again for long-running ones: 256, that is 25,600 watches at a
   * kube-apiserver, which allows 100 streams on each.
   */
  readonly maxSessions: number;
  /** HTTP/1.1 connections for short requests, and as many again for long-running ones: 256. */
  readonly maxSockets: number;
  /** Connections for upgrades: 4096. */
  readonly maxUpgrades: number;
  /** Requests of a kind that wait for a connection: 1024. The next one fails at once. */
  readonly maxWaiting: number;
  /** Streams on one HTTP/2 connection, where its peer allows more: 250. */
  readonly maxStreams: number;
  /** How far a peer may send ahead on an HTTP/2 stream, that is what a stopped reader costs: 2 MiB. */
  readonly streamWindowBytes: number;
  /** Connections without a request are closed after this: 90 s. */
  readonly idleMs: number;
  /** A PING goes this often while something is open (30 s), and the connection is lost when none comes back (15 s). */
  readonly pingIntervalMs: number;
  readonly pingTimeoutMs: number;
  /** How long a TLS handshake may take, and then a peer's SETTINGS: 10 s each. */
  readonly handshakeTimeoutMs: number;
}

const defaultLimits: TransportLimits = {
  maxSessions: 256,
  maxSockets: 256,
  maxUpgrades: 4096,
  maxWaiting: 1024,
  maxStreams: 250,
  streamWindowBytes: 2 * 1024 * 1024,
  idleMs: 90_000,
  pingIntervalMs: 30_000,
  pingTimeoutMs: 15_000,
  handshakeTimeoutMs: 10_000,
};

export interface TransportOptions extends ConnectOptions {
  readonly limits?: Partial<TransportLimits>;
}

/**
 * A session may end under a request more than once: while a server restarts, or one that ends its session behind each
 * 401 (kube-apiserver's UnauthenticatedHTTP2DOSMitigation). As often as Go's client.
 */
const maxTries = 7;

/** A target that spoke no HTTP/2 is offered it again after this: it may have been upgraded. */
const offerAgainMs = 300_000;

/**
 * Makes the way to one target. Nothing is opened before the first request.
 *
 * @example
 * const transport = createTransport({
 *   address: { host: '10.0.0.1', port: 6443 },
 *   dial: createTcpDial(),
 *   tls: createClientTls({ ca, certificatePem, privateKeyPem }),
 * });
 * const { status, body } = await transport.request({
 *   method: 'GET', target: '/version', headers: [], authority: '10.0.0.1:6443', signal,
 * });
 */
export function createTransport(options: TransportOptions): Transport {
  return new PooledTransport(options);
}

interface Kind {
  readonly http2: Http2Pool;
  readonly http1: Http1Pool;
}

class PooledTransport implements Transport {
  readonly #connect: Connect;
  readonly #name: string;
  readonly #limits: TransportLimits;
  readonly #sessionOptions: Http2SessionOptions;
  readonly #short: Kind;
  readonly #long: Kind;
  readonly #upgraded = new Set<Duplex>();
  readonly #ended = new AbortController();
  #upgrading = 0;
  /** No HTTP/2 is offered before this time: the target has refused it, or there is no TLS to choose it in. */
  #http1Until: number;
  #closed = false;

  constructor(options: TransportOptions) {
    this.#limits = { ...defaultLimits, ...options.limits };
    this.#name = hostPort(options.address);
    this.#connect = createConnect({ handshakeTimeoutMs: this.#limits.handshakeTimeoutMs, ...options });
    this.#http1Until = options.tls ? 0 : Infinity;
    this.#sessionOptions = {
      settingsTimeoutMs: this.#limits.handshakeTimeoutMs,
      ...this.#limits,
    };
    this.#short = this.#createKind();
    this.#long = this.#createKind();
  }

  readonly connections = () => ({
    http2: this.#short.http2.size + this.#long.http2.size,
    http1: this.#short.http1.size + this.#long.http1.size,
    upgraded: this.#upgraded.size,
  });

  async request(request: OutgoingRequest): Promise<IncomingResponse> {
    checkRequest(request);
    for (let tries = 1; ; tries += 1) {
      try {
        return await this.#send(request, tries > 1);
      } catch (error) {
        // RFC 9113 §8.7: the peer says that it has done nothing. A few times, or two servers that both refuse make a loop.
        if (!(error instanceof Unprocessed) || tries >= maxTries || request.signal.aborted) throw error;
      }
    }
  }

  async upgrade(request: OutgoingRequest): Promise<UpgradeResponse> {
    checkRequest(request, { isUpgrade: true });
    if (this.#closed) throw this.#closedFailure();
    if (this.#upgrading + this.#upgraded.size >= this.#limits.maxUpgrades)
      throw new Failure('refused', `too many upgraded connections to ${this.#name}`);
    this.#upgrading += 1;
    try {
      const signal = AbortSignal.any([request.signal, this.#ended.signal]);
      const { socket } = await this.#connect(['http/1.1'], signal);
      this.#upgraded.add(socket);
      socket.on('error', () => undefined);
      socket.once('close', () => this.#upgraded.delete(socket));
      return await upgradeOn(socket, request);
    } finally {
      this.#upgrading -= 1;
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    const pools = [this.#short.http2, this.#short.http1, this.#long.http2, this.#long.http1];
    const upgrades = [...this.#upgraded].map(
      (socket) => new Promise<void>((resolve) => socket.once('close', () => resolve())),
    );
    await Promise.all([...pools.map((pool) => pool.close()), ...upgrades]);
  }

  destroy(reason?: unknown): void {
    this.#closed = true;
    const failure =
      reason instanceof Failure
        ? reason
        : new Failure('reset', reason === undefined ? 'the transport was closed' : errorText(reason), {
            cause: reason,
          });
    this.#ended.abort(failure);
    for (const { http1, http2 } of [this.#short, this.#long]) {
      http2.destroy(failure);
      http1.destroy();
    }
    for (const socket of [...this.#upgraded]) socket.destroy();
  }

  /** `accepted`: it was taken before, and is sent once more; that the transport was closed meanwhile does not end it. */
  #send(request: OutgoingRequest, accepted: boolean): Promise<IncomingResponse> {
    const kind = request.longRunning === true ? this.#long : this.#short;
    if (this.#http1Until > 0 && performance.now() < this.#http1Until)
      return kind.http1.request(request, accepted);
    if (request.signal.aborted || this.#closed) return this.#sendLater(kind, request, accepted);
    const session = kind.http2.tryAcquire();
    return session ? exchange(session, request) : this.#sendLater(kind, request, accepted);
  }

  async #sendLater(kind: Kind, request: OutgoingRequest, accepted: boolean): Promise<IncomingResponse> {
    const session = await kind.http2.acquire(request.signal, accepted);
    // It was accepted by the time it waited.
    return session ? exchange(session, request) : kind.http1.request(request, true);
  }

  #createKind(): Kind {
    const { maxSessions, maxSockets, maxWaiting, idleMs } = this.#limits;
    const shared = { name: this.#name, maxWaiting };
    const http1 = new Http1Pool({ ...shared, connect: this.#connect, maxSockets, idleMs });
    const open = (owner: Http2SessionOwner, signal: AbortSignal) => this.#open(http1, owner, signal);
    return { http1, http2: new Http2Pool({ ...shared, maxSessions, open }) };
  }

  async #open(
    http1: Http1Pool,
    owner: Http2SessionOwner,
    signal: AbortSignal,
  ): Promise<Http2Session | undefined> {
    const { socket, protocol } = await this.#connect(['h2', 'http/1.1'], signal);
    if (protocol === 'h2') {
      this.#http1Until = 0;
      return openHttp2Session(socket, this.#sessionOptions, { owner, signal });
    }
    this.#http1Until = performance.now() + offerAgainMs;
    http1.adopt(socket);
    return undefined;
  }

  #closedFailure(): Failure {
    return new Failure('unreachable', `the connections to ${this.#name} were closed`);
  }
}

function exchange(session: Http2Session, request: OutgoingRequest): Promise<IncomingResponse> {
  return new Promise((resolve, reject) => {
    new Http2Exchange(session, request, { resolve, reject });
  });
}
