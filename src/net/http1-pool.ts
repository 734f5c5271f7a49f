import { once } from 'node:events';
import { Agent } from 'node:http';
import type { ClientRequest, ClientRequestArgs } from 'node:http';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { Failure } from '../base/failure.ts';
import type { Connect } from './connect.ts';
import { Http1Exchange, StaleConnection } from './http1-exchange.ts';
import { Slots } from './slots.ts';
import type { IncomingResponse, OutgoingRequest } from './transport.ts';

export interface Http1PoolOptions {
  readonly connect: Connect;
  readonly name: string;
  readonly maxSockets: number;
  readonly maxWaiting: number;
  readonly idleMs: number;
}

/** RFC 9110 §9.2.1: a request that may be sent twice without anybody noticing. */
const safeMethods = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE']);

/** Keep-alive HTTP/1.1 connections to one target, one request at a time on each. */
export class Http1Pool {
  readonly #agent: DialAgent;
  readonly #slots: Slots;
  readonly #name: string;
  #running = 0;
  #closed = false;
  #onEmpty: (() => void) | undefined;

  constructor(options: Http1PoolOptions) {
    this.#name = options.name;
    this.#agent = new DialAgent(options);
    this.#slots = new Slots({
      max: options.maxSockets,
      maxWaiting: options.maxWaiting,
      name: options.name,
    });
  }

  get size(): number {
    return this.#agent.open.size;
  }

  /** A connection that was made to learn the protocol: the next request takes it. */
  adopt(socket: Duplex): void {
    this.#agent.adopt(socket);
  }

  /** `accepted` before the pool was closed, a request is still carried. */
  async request(request: OutgoingRequest, accepted = false): Promise<IncomingResponse> {
    if (this.#closed && !accepted)
      throw new Failure('unreachable', `the connections to ${this.#name} were closed`);
    this.#running += 1;
    try {
      await this.#slots.take(request.signal);
    } catch (error) {
      this.#ended();
      throw error;
    }
    const release = () => {
      this.#slots.release();
      this.#ended();
    };
    return this.#exchange(request, release).catch((error: unknown) => {
      if (!(error instanceof StaleConnection) || request.body || !safeMethods.has(request.method)) {
        release();
        throw error;
      }
      // The others were left alone as long, so they are likely as stale.
      this.#agent.destroyFree();
      return this.#exchange(request, release).catch((again: unknown) => {
        release();
        throw again;
      });
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#agent.destroyFree();
    this.#agent.keep = false;
    if (this.#running > 0)
      await new Promise<void>((resolve) => {
        this.#onEmpty = resolve;
      });
    this.destroy();
    await Promise.all([...this.#agent.open].map((socket) => once(socket, 'close')));
  }

  destroy(): void {
    this.#closed = true;
    this.#agent.end();
  }

  /** `release` is called when the answer is over, not when there is none. */
  #exchange(request: OutgoingRequest, release: () => void): Promise<IncomingResponse> {
    return new Promise((resolve, reject) => {
      new Http1Exchange(
        request,
        { agent: this.#agent },
        {
          reject,
          resolve: (response) => {
            response.body.once('close', release);
            resolve(response);
          },
        },
      );
    });
  }

  #ended(): void {
    this.#running -= 1;
    if (this.#running === 0) this.#onEmpty?.();
  }
}

interface DialArgs extends ClientRequestArgs {
  readonly dialSignal?: AbortSignal;
}

/** node:http's own bookkeeping of connections, over our dial and TLS. */
class DialAgent extends Agent {
  readonly open = new Set<Duplex>();
  /** False: connections end with the request that they carry. */
  keep = true;
  readonly #connect: Connect;
  readonly #idleMs: number;
  readonly #spare: Duplex[] = [];
  readonly #idleTimers = new WeakMap<Duplex, NodeJS.Timeout>();
  readonly #ended = new AbortController();

  constructor({ connect, idleMs }: Http1PoolOptions) {
    super({ keepAlive: true, maxFreeSockets: Infinity, scheduling: 'lifo' });
    this.#connect = connect;
    this.#idleMs = idleMs;
  }

  adopt(socket: Duplex): void {
    this.#watch(socket);
    this.#spare.push(socket);
    this.#startIdleTimer(socket, this.#idleMs);
  }

  override createConnection(
    { dialSignal }: DialArgs,
    done: (error: Error | null, socket: Duplex) => void,
  ): undefined {
    for (let spare = this.#spare.pop(); spare; spare = this.#spare.pop()) {
      clearTimeout(this.#idleTimers.get(spare));
      // What came before any request would pass for the answer to the next one.
      if (spare.readableLength > 0) spare.destroy();
      if (spare.destroyed) continue;
      done(null, spare);
      return;
    }
    const signal = dialSignal ? AbortSignal.any([dialSignal, this.#ended.signal]) : this.#ended.signal;
    this.#connect(['http/1.1'], signal).then(
      ({ socket }) => {
        this.#watch(socket);
        done(null, socket);
      },
      (error: unknown) => (done as (error: unknown) => void)(error),
    );
  }

  /** All connections lead to one target. */
  override getName(): string {
    return '';
  }

  override keepSocketAlive(socket: Duplex): boolean {
    // Node guards an idle socket against bytes that nobody asked for; a stream that is none (plain HTTP in a tunnel) it cannot.
    if (!this.keep || !(socket instanceof Socket)) return false;
    const { _httpMessage: request } = socket as {
      _httpMessage?: ClientRequest & { res?: { headers: object } };
    };
    const hint = (request?.res?.headers as Record<string, unknown> | undefined)?.['keep-alive'];
    const seconds = typeof hint === 'string' ? /timeout=(\d+)/.exec(hint)?.[1] : undefined;
    // A second less than the server says, so that the request does not cross its FIN.
    const idleMs =
      seconds === undefined ? this.#idleMs : Math.min(this.#idleMs, Number(seconds) * 1000 - 1000);
    if (idleMs <= 0) return false;
    this.#startIdleTimer(socket, idleMs);
    return true;
  }

  override reuseSocket(socket: Duplex, request: ClientRequest): void {
    clearTimeout(this.#idleTimers.get(socket));
    super.reuseSocket(socket, request);
  }

  destroyFree(): void {
    for (const sockets of Object.values(this.freeSockets))
      for (const socket of [...(sockets ?? [])]) socket.destroy();
    for (const socket of this.#spare.splice(0)) socket.destroy();
  }

  end(): void {
    this.keep = false;
    this.#ended.abort(new Failure('unreachable', 'the transport was closed'));
    for (const socket of [...this.open]) socket.destroy();
  }

  #watch(socket: Duplex): void {
    this.open.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => {
      this.open.delete(socket);
      clearTimeout(this.#idleTimers.get(socket));
    });
  }

  #startIdleTimer(socket: Duplex, idleMs: number): void {
    const timer = setTimeout(() => socket.destroy(), idleMs);
    timer.unref();
    this.#idleTimers.set(socket, timer);
  }
}
