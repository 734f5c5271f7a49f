import type { Duplex } from 'node:stream';
import { Backoff } from '../../base/backoff.ts';
import type { Failure } from '../../base/failure.ts';
import type { Log } from '../../base/log.ts';
import { connectionFailure } from '../../net/node-errors.ts';
import { askByConnect } from './connect-call.ts';
import type { DialOutcome, DialRequest } from './dial-outcome.ts';
import type { DialSearch } from './dial-search.ts';
import type { ServerAddresses } from './server-addresses.ts';
import type { TunnelServers } from './tunnel-servers.ts';

export interface ConnectServersOptions {
  readonly addresses: ServerAddresses;
  /** Connects to a server, and agrees on TLS with it where there is TLS. */
  readonly open: (address: string, signal: AbortSignal) => Promise<Duplex>;
  /** How often an address is asked that may stand for several servers. */
  readonly maxConnections: number;
  readonly log: Log;
}

/** Tunnel servers in mode http-connect: each TCP connection is a connection of its own to one of them. */
export class ConnectServers implements TunnelServers {
  readonly size = 0;
  readonly #options: ConnectServersOptions;
  readonly #servers = new Map<string, ConnectServer>();
  readonly #sockets = new Set<Duplex>();
  #list: readonly string[] = [];
  #turn = 0;

  constructor(options: ConnectServersOptions) {
    this.#options = options;
  }

  async ask(search: DialSearch, request: DialRequest): Promise<DialOutcome | undefined> {
    const { addresses, maxConnections } = this.#options;
    await addresses.known(request.signal);
    this.#follow();
    this.#turn += 1;
    const all = [...this.#servers.values()];
    const turned = all
      .map((_, at) => all[(at + this.#turn) % all.length])
      .filter((each) => each !== undefined);
    const most = addresses.mayBeShared ? maxConnections : 1;
    const left = turned.filter(
      (server) => !search.asked.has(server) && (search.waits.get(server) ?? 0) < most,
    );
    // One that could not be reached just now comes last, and not at all when somebody has answered.
    const server =
      left.find(({ isLeftAlone }) => !isLeftAlone) ?? (search.withoutAgent > 0 ? undefined : left[0]);
    if (!server) return undefined;
    search.waits.set(server, (search.waits.get(server) ?? 0) + 1);
    const outcome = await this.#askServer(server, request);
    if (outcome.type === 'unusable' || outcome.type === 'unreachable') search.asked.add(server);
    return outcome;
  }

  failures(): Failure[] {
    return [...this.#servers.values()].flatMap(({ failure }) => failure ?? []);
  }

  renew(): void {
    // Each connection is made with what is newest.
  }

  async tidy(isInUse: boolean): Promise<void> {
    if (isInUse) await this.#options.addresses.refresh();
  }

  close(): void {
    // Nothing is kept that carries nothing.
  }

  destroy(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #follow(): void {
    const { list } = this.#options.addresses;
    if (list === this.#list) return;
    this.#list = list;
    for (const address of this.#servers.keys()) if (!list.includes(address)) this.#servers.delete(address);
    for (const address of list)
      if (!this.#servers.has(address))
        this.#servers.set(address, new ConnectServer(address, this.#options.log));
  }

  async #askServer(server: ConnectServer, request: DialRequest): Promise<DialOutcome> {
    const { open, addresses } = this.#options;
    request.counted.become('dialing');
    let socket: Duplex;
    try {
      socket = await open(server.address, request.signal);
    } catch (error) {
      const failure = connectionFailure(error, false);
      if (request.signal.aborted)
        return { type: 'failed', failure, reason: failure.kind === 'timeout' ? 'timeout' : 'context' };
      server.failed(failure);
      void addresses.refresh();
      return { type: 'unreachable' };
    }
    server.worked();
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    const outcome = await askByConnect(socket, request, server.address);
    if (outcome.type !== 'open') return outcome;
    request.counted.become('ok');
    socket.once('close', () => request.counted.end());
    return outcome;
  }
}

/** How one of them has fared. */
class ConnectServer {
  readonly address: string;
  readonly #log: Log;
  readonly #backoff = new Backoff({ initialMs: 1_000, maxMs: 30_000 });
  #aloneUntil = 0;
  failure: Failure | undefined;

  constructor(address: string, log: Log) {
    this.address = address;
    this.#log = log;
  }

  get isLeftAlone(): boolean {
    return performance.now() < this.#aloneUntil;
  }

  failed(failure: Failure): void {
    const { address } = this;
    if (!this.failure)
      this.#log.warn({ address, reason: failure.message }, 'the tunnel server cannot be reached');
    this.failure = failure;
    if (!this.isLeftAlone) this.#aloneUntil = performance.now() + this.#backoff.next();
  }

  worked(): void {
    if (this.failure) this.#log.info({ address: this.address }, 'the tunnel server can be reached again');
    this.failure = undefined;
    this.#aloneUntil = 0;
    this.#backoff.reset();
  }
}
