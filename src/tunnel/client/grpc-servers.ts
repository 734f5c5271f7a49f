import { LRUCache } from 'lru-cache';
import type { Failure } from '../../base/failure.ts';
import type { Log } from '../../base/log.ts';
import type { DialOutcome, DialRequest } from './dial-outcome.ts';
import type { DialSearch } from './dial-search.ts';
import type { ServerAddresses } from './server-addresses.ts';
import type { ServerConnection } from './server-connection.ts';
import { ServerConnections } from './server-connections.ts';
import type { OpenConnection } from './server-connections.ts';
import { callServer } from './tunnel-call.ts';
import type { CallLimits } from './tunnel-call.ts';
import type { TunnelServers } from './tunnel-servers.ts';
import { until } from './until.ts';

export interface GrpcServersOptions extends CallLimits {
  readonly addresses: ServerAddresses;
  readonly open: (options: OpenConnection) => Promise<ServerConnection>;
  readonly usualStreams: number;
  /** To one address. */
  readonly maxConnections: number;
  readonly idleMs: number;
  readonly log: Log;
}

/** Which connection had an agent is remembered for so many destinations, for so long. */
const remembered = { max: 10_000, ttl: 60_000 };

/**
 * Tunnel servers in mode gRPC: connections to all of them, as each has the agents that came to it. A dial goes to the one
 * with least to carry; where that has no agent, to the next.
 */
export class GrpcServers implements TunnelServers {
  readonly #options: GrpcServersOptions;
  readonly #servers = new Map<string, ServerConnections>();
  /** Of addresses that are no more. */
  readonly #leaving = new Set<ServerConnections>();
  /** Where an agent was found, for destinations that not every server has one for. */
  readonly #found = new LRUCache<string, ServerConnection>(remembered);
  #list: readonly string[] = [];
  #turn = 0;
  #closed = false;

  constructor(options: GrpcServersOptions) {
    this.#options = options;
  }

  get size(): number {
    return [...this.#servers.values(), ...this.#leaving].reduce((sum, { size }) => sum + size, 0);
  }

  async ask(search: DialSearch, request: DialRequest): Promise<DialOutcome | undefined> {
    const { signal } = request;
    for (;;) {
      await this.#options.addresses.known(signal);
      this.#follow();
      const connection = this.#pick(search);
      // At once: what it carries decides where the next dial goes.
      const asked = connection && this.#askOn(connection, search, request);
      for (const server of this.#servers.values()) server.openAhead();
      if (asked) return asked;
      const waits = [...this.#servers.values()].flatMap((server) => this.#connectFor(search, server) ?? []);
      if (waits.length === 0) return undefined;
      await until(Promise.race(waits), signal);
    }
  }

  failures(): Failure[] {
    return [...this.#servers.values()].flatMap(({ failure }) => failure ?? []);
  }

  renew(): void {
    for (const server of this.#servers.values()) server.renew();
  }

  async tidy(isInUse: boolean): Promise<void> {
    if (isInUse) await this.#options.addresses.refresh();
    this.#follow();
    for (const server of this.#servers.values()) server.closeIdle(this.#options.idleMs, isInUse);
    for (const server of this.#leaving) if (server.size === 0) this.#leaving.delete(server);
  }

  close(): void {
    this.#closed = true;
    for (const server of this.#servers.values()) server.close();
  }

  destroy(): void {
    this.#closed = true;
    for (const server of [...this.#servers.values(), ...this.#leaving]) server.destroy();
  }

  /** Takes up new addresses, and lets go of those that are no more. */
  #follow(): void {
    const { addresses } = this.#options;
    if (addresses.list === this.#list || this.#closed) return;
    this.#list = addresses.list;
    for (const [address, server] of this.#servers) {
      if (this.#list.includes(address)) continue;
      this.#servers.delete(address);
      this.#leaving.add(server);
      server.close();
    }
    for (const address of this.#list) {
      if (this.#servers.has(address)) continue;
      const onTrouble = () => void addresses.refresh();
      this.#servers.set(address, new ServerConnections({ ...this.#options, address, onTrouble }));
    }
  }

  #pick(search: DialSearch): ServerConnection | undefined {
    const found = this.#found.get(search.target);
    if (found && found.hasRoom && !search.asked.has(found)) return found;
    const servers = [...this.#servers.values()];
    // Those that carry the same have their turns.
    this.#turn = (this.#turn + 1) % Math.max(servers.length, 1);
    let best: ServerConnection | undefined;
    for (const server of [...servers.slice(this.#turn), ...servers.slice(0, this.#turn)]) {
      if (search.asked.has(server)) continue;
      const candidate = server.pick(search.asked);
      if (candidate && (!best || candidate.load < best.load)) best = candidate;
    }
    return best;
  }

  /** A connection that this search may wait for; undefined: it has waited often enough, or there can be no more. */
  #connectFor(search: DialSearch, server: ServerConnections): Promise<void> | undefined {
    if (search.asked.has(server)) return undefined;
    const { addresses, maxConnections } = this.#options;
    const waited = search.waits.get(server) ?? 0;
    const most = (addresses.mayBeShared || server.isFull ? maxConnections : 1) + search.lost;
    // Somebody has answered already: who could not be reached just now is not waited for.
    const isHopeless = waited > 0 && server.failure !== undefined;
    const isUseless = search.withoutAgent > 0 && server.isLeftAlone;
    if (!server.isConnecting && (waited >= most || isHopeless || isUseless)) return undefined;
    const connecting = server.connect();
    if (connecting && !search.waitedFor.has(connecting)) {
      search.waitedFor.add(connecting);
      search.waits.set(server, waited + 1);
    }
    return connecting;
  }

  async #askOn(connection: ServerConnection, search: DialSearch, request: DialRequest): Promise<DialOutcome> {
    search.asked.add(connection);
    const outcome = await callServer(connection, request, this.#options);
    this.#learn(connection, search, outcome);
    return outcome;
  }

  #learn(connection: ServerConnection, search: DialSearch, outcome: DialOutcome): void {
    const { target } = search;
    const found = this.#found.peek(target);
    if (outcome.type === 'open' && (search.withoutAgent > 0 || found)) this.#found.set(target, connection);
    if (outcome.type !== 'no-agent' && outcome.type !== 'unusable') return;
    if (found === connection) this.#found.delete(target);
    if (this.#options.addresses.mayBeShared) return;
    for (const server of this.#servers.values()) if (server.has(connection)) search.asked.add(server);
  }
}
