import { Backoff } from '../../base/backoff.ts';
import { Failure } from '../../base/failure.ts';
import type { Log } from '../../base/log.ts';
import { connectionFailure } from '../../net/node-errors.ts';
import type { ServerConnection } from './server-connection.ts';

export interface OpenConnection {
  readonly address: string;
  readonly signal: AbortSignal;
  readonly onDrain: (connection: ServerConnection) => void;
  readonly onClosed: (connection: ServerConnection) => void;
}

export interface ServerConnectionsOptions {
  readonly address: string;
  readonly open: (options: OpenConnection) => Promise<ServerConnection>;
  /** Streams on each connection beyond which one more is opened, up to `maxConnections`. */
  readonly usualStreams: number;
  readonly maxConnections: number;
  readonly log: Log;
  /** A connection could not be made, or ended: its server may be elsewhere by now. */
  readonly onTrouble: () => void;
}

/** The HTTP/2 connections to one address of the tunnel server. */
export class ServerConnections {
  readonly address: string;
  readonly #options: ServerConnectionsOptions;
  readonly #open: ServerConnection[] = [];
  /** Take no new streams, and end with their last one. */
  readonly #ending = new Set<ServerConnection>();
  readonly #ended = new AbortController();
  readonly #backoff = new Backoff({ initialMs: 1_000, maxMs: 30_000 });
  #connecting: Promise<void> | undefined;
  #aloneUntil = 0;
  #failure: Failure | undefined;
  #closed = false;

  constructor(options: ServerConnectionsOptions) {
    this.address = options.address;
    this.#options = options;
  }

  /** Why the last connection could not be made; undefined when it could. */
  get failure(): Failure | undefined {
    return this.#failure;
  }

  get size(): number {
    return this.#open.length + this.#ending.size;
  }

  /** None could be made a short time ago. */
  get isLeftAlone(): boolean {
    return performance.now() < this.#aloneUntil;
  }

  /** All that are open carry as much as the server allows. */
  get isFull(): boolean {
    return this.#open.length > 0 && this.#open.every(({ hasRoom }) => !hasRoom);
  }

  has(connection: ServerConnection): boolean {
    return this.#open.includes(connection);
  }

  get isConnecting(): boolean {
    return this.#connecting !== undefined;
  }

  /** The one that carries least, and was not asked. */
  pick(asked: ReadonlySet<object>): ServerConnection | undefined {
    let best: ServerConnection | undefined;
    for (const connection of this.#open)
      if (connection.hasRoom && !asked.has(connection) && (!best || connection.load < best.load))
        best = connection;
    return best;
  }

  /** One connection is kept ready, and one more where those that there are carry much. */
  openAhead(): void {
    const least = this.#open.reduce((load, connection) => Math.min(load, connection.load), Infinity);
    if (this.isLeftAlone || (this.#open.length > 0 && least < this.#options.usualStreams)) return;
    void this.connect();
  }

  /** One more connection, whoever waits for it; undefined: there are as many as there may be. Never rejects. */
  connect(): Promise<void> | undefined {
    if (this.#connecting || this.#closed) return this.#connecting;
    if (this.#open.length >= this.#options.maxConnections) return undefined;
    this.#connecting = this.#connect().finally(() => (this.#connecting = undefined));
    return this.#connecting;
  }

  /** New connections from here on, by new certificates; those that are open carry what they carry. */
  renew(): void {
    for (const connection of [...this.#open]) connection.close();
  }

  /** Closes what has carried nothing for so long; the last one only where none is needed. */
  closeIdle(idleMs: number, keepsOne: boolean): void {
    const now = performance.now();
    for (const connection of [...this.#open]) {
      if (keepsOne && this.#open.length === 1) return;
      if (connection.idleMs(now) >= idleMs) connection.close();
    }
  }

  /** No new connections; those that are open end with what they carry. */
  close(): void {
    this.#closed = true;
    this.#ended.abort(closed());
    this.renew();
  }

  destroy(): void {
    this.close();
    for (const connection of this.#ending) connection.destroy(closed());
  }

  async #connect(): Promise<void> {
    const { open, address, log, onTrouble } = this.#options;
    try {
      const connection = await open({
        ...{ address, signal: this.#ended.signal },
        onDrain: (draining) => this.#onDrain(draining),
        onClosed: (gone) => this.#onClosed(gone),
      });
      if (this.#failure) log.info({ address }, 'the tunnel server can be reached again');
      this.#failure = undefined;
      this.#aloneUntil = 0;
      this.#backoff.reset();
      if (connection.usable && !this.#closed) this.#open.push(connection);
      else {
        this.#ending.add(connection);
        connection.close();
      }
    } catch (error) {
      const failure = connectionFailure(error, false);
      if (!this.#failure && !this.#closed)
        log.warn({ address, reason: failure.message }, 'the tunnel server cannot be reached');
      this.#failure = failure;
      this.#aloneUntil = performance.now() + this.#backoff.next();
      onTrouble();
    }
  }

  #onDrain(connection: ServerConnection): void {
    const at = this.#open.indexOf(connection);
    if (at < 0) return;
    this.#open.splice(at, 1);
    this.#ending.add(connection);
  }

  #onClosed(connection: ServerConnection): void {
    this.#onDrain(connection);
    this.#ending.delete(connection);
    if (!this.#closed) this.#options.onTrouble();
  }
}

const closed = () => new Failure('unreachable', 'the tunnel was closed');
