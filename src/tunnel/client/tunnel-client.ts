import type { Duplex } from 'node:stream';
import { Failure } from '../../base/failure.ts';
import type { Log } from '../../base/log.ts';
import type { Closable } from '../../base/scope.ts';
import { createTcpDial } from '../../net/dial-tcp.ts';
import type { Address, Dial } from '../../net/dial.ts';
import { abortFailure, connectionFailure, hostPort } from '../../net/node-errors.ts';
import { connectTls } from '../../net/tls.ts';
import type { ClientTls } from '../../net/tls.ts';
import type { Reloading } from '../../pki/reloading-file.ts';
import { noTunnelClientMetrics } from './client-metrics.ts';
import type { TunnelClientMetrics } from './client-metrics.ts';
import { ConnectServers } from './connect-servers.ts';
import { ConnectionCounts } from './connection-counts.ts';
import type { CountedConnection } from './connection-counts.ts';
import { DialSearch } from './dial-search.ts';
import type { DialError } from './dial-search.ts';
import { createUnixDial } from './dial-unix.ts';
import { GrpcServers } from './grpc-servers.ts';
import { Keepalive } from './keepalive.ts';
import { createServerAddresses, fixedAddress, resolveByDns } from './server-addresses.ts';
import type { Resolve, ServerAddresses } from './server-addresses.ts';
import { openServerConnection } from './server-connection.ts';
import type { TunnelServers } from './tunnel-servers.ts';

export interface TunnelDialLimits {
  /** For a dial altogether: 30 s, as in the Go client. */
  readonly dialTimeoutMs: number;
  /** For a TCP connection to a server, its TLS handshake and its SETTINGS: 10 s each. */
  readonly connectTimeoutMs: number;
  /** Without a sign of life for so long a server is asked by a PING (10 s), which it must answer in time (10 s). */
  readonly silenceMs: number;
  readonly pingTimeoutMs: number;
  /** Between PINGs on a connection that carries something: 5 min 10 s, as Go's servers take no more than one in 5 min. */
  readonly keepaliveMs: number;
  /** How long the end of a connection may take to be confirmed: 10 s, as in the Go client. */
  readonly closeTimeoutMs: number;
  /** How often the server's name is looked up while the tunnel is in use: 30 s; after trouble at once, once a second. */
  readonly lookupIntervalMs: number;
  readonly lookupPauseMs: number;
  /** An HTTP/2 connection that carries nothing is closed after this: 5 min; the last one to a server when the tunnel is unused. */
  readonly idleMs: number;
  /** TCP connections on one HTTP/2 connection before one more is opened: 200. */
  readonly usualStreams: number;
  /** HTTP/2 connections to one address: 4. */
  readonly maxConnections: number;
}

const defaultLimits: TunnelDialLimits = {
  dialTimeoutMs: 30_000,
  connectTimeoutMs: 10_000,
  silenceMs: 10_000,
  pingTimeoutMs: 10_000,
  keepaliveMs: 310_000,
  closeTimeoutMs: 10_000,
  lookupIntervalMs: 30_000,
  lookupPauseMs: 1_000,
  idleMs: 300_000,
  usualStreams: 200,
  maxConnections: 4,
};

export interface TunnelDialOptions {
  /** As the servers' flag `--mode` has it. */
  readonly mode: 'grpc' | 'http-connect';
  readonly server: { readonly type: 'tcp'; readonly host: string; readonly port: number } | UnixServer;
  /** Connections are made with the newest; undefined: plain, as on Unix sockets. */
  readonly tls?: Pick<Reloading<ClientTls>, 'current' | 'onChange'> | undefined;
  readonly userAgent?: string;
  readonly metrics?: TunnelClientMetrics;
  readonly log: Log;
  readonly limits?: Partial<TunnelDialLimits>;
  /** All addresses of the servers' name: the system's resolver unless said. */
  readonly resolve?: Resolve;
  /** Reaches a server: TCP, or the Unix socket, unless said. */
  readonly dial?: Dial;
}

interface UnixServer {
  readonly type: 'unix';
  readonly path: string;
}

/**
 * Opens byte streams through a tunnel (ANP, konnectivity) to where its agents are: the host of an address is a cluster's
 * name, which the agent there is found by. Nothing is opened before the first dial. Rejects with a `Failure` in words that
 * say whose fault it is: the way to the tunnel server, that no agent is there, or what the agent found.
 *
 * @example
 * const dial = scope.own(createTunnelDial({
 *   mode: 'grpc', server: { type: 'tcp', host: 'proxy-entrypoint.ocm', port: 8090 }, tls, log,
 * }));
 * const stream = await dial({ host: 'cluster1', port: 443 }, signal);
 */
export function createTunnelDial(options: TunnelDialOptions): Dial & Closable {
  const client = new TunnelClient(options);
  const dial: Dial = (address, signal) => client.dial(address, signal);
  return Object.assign(dial, {
    close: () => client.close(),
    destroy: () => client.destroy(),
  });
}

/** After so long without a dial, and with nothing open, nothing is kept ready. */
const unusedMs = 600_000;

class TunnelClient implements Closable {
  readonly #name: string;
  readonly #servers: TunnelServers;
  readonly #limits: TunnelDialLimits;
  readonly #metrics: TunnelClientMetrics;
  readonly #counts = new ConnectionCounts();
  readonly #ended = new AbortController();
  readonly #endRenewal: (() => void) | undefined;
  #dialledAt = 0;
  #tidyTimer: NodeJS.Timeout | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: TunnelDialOptions) {
    const { server, tls, metrics = noTunnelClientMetrics } = options;
    this.#limits = { ...defaultLimits, ...options.limits };
    this.#name = server.type === 'unix' ? unixName : hostPort(server);
    this.#metrics = metrics;
    this.#servers = createServers(options, this.#limits);
    this.#endRenewal = tls?.onChange(() => this.#servers.renew());
    metrics.watch(this.#counts);
  }

  async dial(address: Address, signal: AbortSignal): Promise<Duplex> {
    if (signal.aborted) throw abortFailure(signal);
    if (this.#closing) throw new Failure('unreachable', 'the tunnel was closed');
    this.#dialledAt = performance.now();
    this.#tidyTimer ??= setInterval(() => void this.#tidy(), this.#limits.lookupIntervalMs).unref();
    const search = new DialSearch(address.host, hostPort(address));
    const counted = this.#counts.begin();
    const { deadline, clear } = this.#deadline(search.target, signal);
    try {
      return await this.#search(search, deadline, counted);
    } catch (error) {
      counted.end();
      throw error;
    } finally {
      clear();
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  destroy(): void {
    this.#closing ??= Promise.resolve();
    this.#stop();
    this.#ended.abort(new Failure('unreachable', 'the tunnel was closed'));
    this.#servers.destroy();
  }

  async #close(): Promise<void> {
    this.#stop();
    this.#servers.close();
    await this.#counts.none();
    this.destroy();
  }

  #stop(): void {
    clearInterval(this.#tidyTimer);
    this.#endRenewal?.();
  }

  async #search(search: DialSearch, signal: AbortSignal, counted: CountedConnection): Promise<Duplex> {
    const request = { target: search.target, signal, counted };
    for (;;) {
      const outcome = await this.#servers
        .ask(search, request)
        .catch((error: unknown) => this.#cannotAsk(error, signal));
      if (!outcome) throw this.#told(search.end(this.#name, this.#servers.failures()));
      if (outcome.type === 'open') {
        const { socket } = outcome;
        if (!signal.aborted && !socket.destroyed) return socket;
        socket.destroy();
        return this.#cannotAsk(socket.errored, signal);
      }
      const end = search.learn(outcome);
      if (end) throw this.#told(end);
    }
  }

  /** Time is up, nobody waits any more, or nobody knows where the servers are. */
  #cannotAsk(error: unknown, signal: AbortSignal): never {
    const failure = signal.aborted ? abortFailure(signal) : connectionFailure(error, false);
    if (!signal.aborted) {
      const text = `tunnel server ${this.#name}: ${failure.message}`;
      throw this.#told({
        failure: new Failure(failure.kind, text, { cause: failure }),
        reason: 'streamsetup',
      });
    }
    throw this.#told({ failure, reason: failure.kind === 'timeout' ? 'timeout' : 'context' });
  }

  #told({ failure, reason }: DialError): Failure {
    this.#metrics.dialFailed(reason);
    return failure;
  }

  /** The caller's signal and ours, with a limit in time. */
  #deadline(target: string, signal: AbortSignal): { deadline: AbortSignal; clear: () => void } {
    const { dialTimeoutMs } = this.#limits;
    const controller = new AbortController();
    const onAbort = () => controller.abort(signal.reason);
    const onEnd = () => controller.abort(this.#ended.signal.reason);
    signal.addEventListener('abort', onAbort);
    this.#ended.signal.addEventListener('abort', onEnd);
    const timer = setTimeout(() => {
      const text = `dial ${target} through tunnel ${this.#name}: no answer within ${dialTimeoutMs / 1000} s`;
      controller.abort(new Failure('timeout', text));
    }, dialTimeoutMs);
    return {
      deadline: controller.signal,
      clear: () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', onAbort);
        this.#ended.signal.removeEventListener('abort', onEnd);
      },
    };
  }

  async #tidy(): Promise<void> {
    const isInUse = this.#counts.total > 0 || performance.now() - this.#dialledAt < unusedMs;
    await this.#servers.tidy(isInUse);
    if (isInUse || this.#servers.size > 0) return;
    clearInterval(this.#tidyTimer);
    this.#tidyTimer = undefined;
  }
}

/** In what callers are told: paths of this machine are nothing to them. */
const unixName = '(Unix socket)';

function createServers(options: TunnelDialOptions, limits: TunnelDialLimits): TunnelServers {
  const { server, tls, log, userAgent = 'cluster-gateway' } = options;
  const { connectTimeoutMs: timeoutMs } = limits;
  const dial =
    options.dial ?? (server.type === 'unix' ? createUnixDial(server.path) : createTcpDial({ timeoutMs }));
  const addresses = addressesOf(options, limits);
  const place = server.type === 'unix' ? { host: 'localhost', port: 0 } : server;
  if (options.mode === 'http-connect') {
    const open = async (address: string, signal: AbortSignal) => {
      const raw = await dial({ host: address, port: place.port }, signal);
      const secure = tls && { tls: tls.current(), host: place.host, alpn: ['http/1.1'], signal, timeoutMs };
      return secure ? connectTls(raw, secure) : raw;
    };
    return new ConnectServers({ ...limits, addresses, open, log });
  }
  const keepalive = new Keepalive(limits.keepaliveMs, log);
  return new GrpcServers({
    ...{ ...limits, addresses, log },
    open: (request) =>
      openServerConnection({
        ...{ ...limits, ...place, ...request, dial, userAgent, tls: tls?.current() },
        authority: server.type === 'unix' ? 'localhost' : hostPort(server),
        handshakeTimeoutMs: timeoutMs,
        keepaliveMs: keepalive.ms,
        onTooImpatient: () => keepalive.double(),
      }),
  });
}

function addressesOf(
  { server, log, resolve = resolveByDns }: TunnelDialOptions,
  { lookupPauseMs: minPauseMs }: TunnelDialLimits,
): ServerAddresses {
  if (server.type === 'unix') return fixedAddress(unixName, false);
  return createServerAddresses({ ...server, resolve, minPauseMs, log });
}
