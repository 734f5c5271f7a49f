import { setTimeout as sleep } from 'node:timers/promises';
import { Backoff } from '../../base/backoff.ts';
import type { Log } from '../../base/log.ts';
import type { Closable } from '../../base/scope.ts';
import { hostPort } from '../../net/node-errors.ts';
import type { ResolvedServers, ServerAddress } from './server-addresses.ts';
import type { ServerConnection, ServerConnectionEnd } from './server-connection.ts';

/** What a set is told of a connection that it has asked for. */
export interface ServerConnectionEvents {
  readonly onLeaving: (connection: ServerConnection) => void;
  readonly onClosed: (connection: ServerConnection, end: ServerConnectionEnd) => void;
}

export interface ConnectAttempt extends ServerConnectionEvents {
  readonly address: ServerAddress;
  readonly keepaliveMs: number;
}

export interface ServerSetOptions {
  readonly resolve: (signal: AbortSignal) => Promise<ResolvedServers>;
  readonly connect: (attempt: ConnectAttempt, signal: AbortSignal) => Promise<ServerConnection>;
  /** How often addresses and servers are looked for while one is missing. */
  readonly syncIntervalMs: number;
  /** The longest pause between tries, and between looks at the addresses while no server is missing. */
  readonly syncIntervalCapMs: number;
  /** Go on looking for servers when there are as many as they say. */
  readonly syncForever: boolean;
  readonly keepaliveMs: number;
  readonly log: Log;
}

/** Addresses, connections, and connections whose servers end them; a server that says otherwise is not followed. */
const most = 256;
const longestKeepaliveMs = 3_600_000;

/** One address, and what is known of the servers behind it. */
interface Site {
  readonly address: ServerAddress;
  readonly backoff: Backoff;
  keepaliveMs: number;
  /** The next try is not before it; of `performance.now`. */
  dueAt: number;
  dialing: boolean;
  /** It stood in the last answer of the resolver. */
  listed: boolean;
  readonly openedAt: Map<ServerConnection, number>;
  /** The server that answered here was connected already, by another address. */
  duplicateOf: string | undefined;
}

/**
 * Keeps one connection to every server. Servers are found by their addresses, each of which is connected to; and behind a
 * load balancer by connecting until as many different ones have answered as they say that there are.
 */
export class ServerSet implements Closable {
  readonly #options: ServerSetOptions;
  readonly #sites = new Map<string, Site>();
  readonly #servers = new Map<string, ServerConnection>();
  /** Their servers end them; others may have taken their place. */
  readonly #leaving = new Set<ServerConnection>();
  readonly #ended = new AbortController();
  readonly #resolveBackoff: Backoff;
  #serverCount = 1;
  #timer: NodeJS.Timeout | undefined;
  #draining = false;

  constructor(options: ServerSetOptions) {
    this.#options = options;
    this.#resolveBackoff = this.#newBackoff();
  }

  /** Begins to connect. */
  start(): void {
    void this.#resolveAgainAndAgain();
  }

  /** Servers that are connected and take dials. */
  get size(): number {
    return this.#servers.size;
  }

  /** Servers that there are, as the last one that answered says. */
  get serverCount(): number {
    return this.#serverCount;
  }

  get connections(): readonly ServerConnection[] {
    return [...this.#servers.values(), ...this.#leaving];
  }

  /** Makes no new connections, and asks servers for no new dials. */
  drain(): void {
    if (this.#draining) return;
    this.#draining = true;
    for (const connection of this.connections) connection.drain();
    this.#stop();
  }

  async close(): Promise<void> {
    this.#stop();
    await Promise.all(this.connections.map((connection) => connection.close()));
  }

  destroy(): void {
    this.#stop();
    for (const connection of this.connections) connection.destroy();
  }

  #stop(): void {
    this.#ended.abort(new Error('the agent connects to no more servers'));
    clearTimeout(this.#timer);
  }

  #hasEnded(): boolean {
    return this.#ended.signal.aborted;
  }

  #newBackoff(): Backoff {
    const { syncIntervalMs, syncIntervalCapMs } = this.#options;
    return new Backoff({ initialMs: syncIntervalMs, maxMs: syncIntervalCapMs, factor: 1.5, jitter: 0.5 });
  }

  async #resolveAgainAndAgain(): Promise<void> {
    const { resolve, log } = this.#options;
    const { signal } = this.#ended;
    while (!this.#hasEnded()) {
      const { addresses, failures } = await resolve(signal);
      if (this.#hasEnded()) return;
      for (const failure of failures) log.warn({ err: failure }, 'the name of a server cannot be resolved');
      this.#list(addresses);
      this.#dialDue();
      if (failures.length === 0) this.#resolveBackoff.reset();
      const pause = failures.length > 0 ? this.#resolveBackoff.next() : this.#resolvePause();
      await sleep(pause, undefined, { signal }).catch(() => undefined);
    }
  }

  #resolvePause(): number {
    const isComplete = ![...this.#sites.values()].some((site) => this.#wants(site));
    const { syncIntervalMs, syncIntervalCapMs } = this.#options;
    return isComplete ? syncIntervalCapMs : jittered(syncIntervalMs);
  }

  #list(addresses: readonly ServerAddress[]): void {
    for (const site of this.#sites.values()) site.listed = false;
    for (const address of addresses) {
      const key = `${hostPort({ host: address.ip, port: address.port })} ${address.host}`;
      const known = this.#sites.get(key);
      if (known) known.listed = true;
      else if (this.#sites.size < most) this.#sites.set(key, this.#newSite(address));
    }
    for (const [key, site] of this.#sites)
      if (!site.listed && !site.dialing && site.openedAt.size === 0) this.#sites.delete(key);
  }

  #newSite(address: ServerAddress): Site {
    return {
      ...{ address, backoff: this.#newBackoff(), keepaliveMs: this.#options.keepaliveMs },
      ...{ dueAt: 0, dialing: false, listed: true, openedAt: new Map(), duplicateOf: undefined },
    };
  }

  /** Whether a connection by this address is missing. */
  #wants(site: Site): boolean {
    if (!site.listed || this.#servers.size >= most) return false;
    const isConnected =
      site.openedAt.size > 0 || (site.duplicateOf !== undefined && this.#servers.has(site.duplicateOf));
    return !isConnected || this.#options.syncForever || this.#servers.size < this.#serverCount;
  }

  /** Dials where it is time to, and comes back when it is the next time. */
  readonly #dialDue = (): void => {
    clearTimeout(this.#timer);
    if (this.#hasEnded()) return;
    const now = performance.now();
    let next = Infinity;
    for (const site of this.#sites.values()) {
      if (site.dialing || !this.#wants(site)) continue;
      if (site.dueAt <= now) void this.#dial(site);
      else next = Math.min(next, site.dueAt);
    }
    if (next < Infinity) this.#timer = setTimeout(this.#dialDue, next - now);
  };

  /** Does not reject. */
  async #dial(site: Site): Promise<void> {
    const { connect, log } = this.#options;
    const server = hostPort({ host: site.address.ip, port: site.address.port });
    site.dialing = true;
    try {
      const connection = await connect(
        {
          address: site.address,
          keepaliveMs: site.keepaliveMs,
          onLeaving: (leaving) => this.#onLeaving(site, leaving),
          onClosed: (closed, end) => this.#onClosed(site, closed, end),
        },
        this.#ended.signal,
      );
      this.#onConnected(site, connection);
    } catch (error) {
      if (!this.#hasEnded()) log.warn({ err: error, server }, 'a server could not be connected to');
      this.#postpone(site, site.backoff.next());
    }
    site.dialing = false;
    this.#dialDue();
  }

  #onConnected(site: Site, connection: ServerConnection): void {
    const { log, syncIntervalMs } = this.#options;
    const { serverId, serverCount } = connection;
    if (this.#hasEnded() || connection.isClosed) {
      connection.destroy();
      this.#postpone(site, site.backoff.next());
      return;
    }
    if (connection.isLeaving) {
      this.#leaving.add(connection);
      this.#postpone(site, site.backoff.next());
      return;
    }
    this.#serverCount = serverCount;
    if (this.#servers.has(serverId)) {
      log.debug({ serverId }, 'this server is connected already');
      site.duplicateOf = serverId;
      // Behind one address there is a load balancer; of several ones each may be one server.
      if (this.#sites.size === 1) site.backoff.reset();
      this.#postpone(site, this.#sites.size === 1 ? jittered(syncIntervalMs) : site.backoff.next());
      void connection.close();
      return;
    }
    this.#servers.set(serverId, connection);
    site.openedAt.set(connection, performance.now());
    this.#postpone(site, this.#options.syncForever ? jittered(syncIntervalMs) : 0);
    log.info({ serverId, serverCount, connected: this.#servers.size }, 'connected to a server');
  }

  #onLeaving(site: Site, connection: ServerConnection): void {
    if (!this.#forget(site, connection)) return;
    this.#options.log.info({ serverId: connection.serverId }, 'a server ends its connection');
    this.#leaving.add(connection);
    for (const oldest of this.#leaving) {
      if (this.#leaving.size <= most) break;
      oldest.destroy();
    }
    this.#dialDue();
  }

  #onClosed(site: Site, connection: ServerConnection, { status, tooManyPings }: ServerConnectionEnd): void {
    const { serverId } = connection;
    const wasLeaving = this.#leaving.delete(connection);
    if (tooManyPings) {
      site.keepaliveMs = Math.min(longestKeepaliveMs, site.keepaliveMs * 2);
      const fields = { serverId, keepaliveMs: site.keepaliveMs };
      this.#options.log.warn(fields, 'the server wants fewer PINGs: they go half as often from now on');
    }
    if (!this.#forget(site, connection) && !wasLeaving) return;
    this.#options.log.info(
      { serverId, err: status.isOk ? undefined : status },
      'a server is not connected any more',
    );
    this.#dialDue();
  }

  /** False: it was not, or is no more, the connection to its server. */
  #forget(site: Site, connection: ServerConnection): boolean {
    const openedAt = site.openedAt.get(connection);
    if (openedAt === undefined) return false;
    site.openedAt.delete(connection);
    this.#servers.delete(connection.serverId);
    // One that lasted was no failure; of those that end at once the next one waits longer.
    if (performance.now() - openedAt >= this.#options.syncIntervalCapMs) site.backoff.reset();
    this.#postpone(site, site.backoff.next());
    // Whoever stood back for this connection is asked again, not all in one moment.
    for (const other of this.#sites.values())
      if (other.duplicateOf === connection.serverId)
        this.#postpone(other, jittered(this.#options.syncIntervalMs));
    return true;
  }

  #postpone(site: Site, ms: number): void {
    site.dueAt = Math.max(site.dueAt, performance.now() + ms);
  }
}

/** Half of it to all of it, so that many agents do not come in one moment. */
function jittered(ms: number): number {
  return ms * (0.5 + Math.random() * 0.5);
}
