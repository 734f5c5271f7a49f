import type { Duplex } from 'node:stream';
import { Failure } from '../base/failure.ts';
import { Http2Connection } from '../http2/connection.ts';
import type { Http2ConnectionOwner } from '../http2/connection-options.ts';
import { Http2ConnectionError, errorCode } from '../http2/frame.ts';
import { untilFirstSettings } from '../net/first-settings.ts';
import type { FirstListener } from '../net/first-settings.ts';
import { connectionFailure } from '../net/node-errors.ts';
import { callPackets } from './packet-stream.ts';
import type { PacketCall, PacketStream } from './packet-stream.ts';

const mebibyte = 1024 * 1024;

export interface GrpcConnectionOptions {
  /** What stands in `:authority`. */
  readonly authority: string;
  readonly scheme: 'http' | 'https';
  /** How far the server may send ahead on one stream. */
  readonly streamWindowBytes: number;
  /** A PING goes this often while there are streams; 0: none by itself. Go's servers end a connection for PINGs that come too often. */
  readonly keepaliveMs: number;
  /** How long the answer to a PING may take. */
  readonly keepaliveTimeoutMs: number;
  /** How long the server's SETTINGS may take. */
  readonly settingsTimeoutMs: number;
  /** Told once, when no new stream can begin: the server ends the connection, or it is lost. */
  readonly onDrain: (connection: GrpcConnection) => void;
}

/** The client's side of an HTTP/2 connection that carries streams of packets. */
export class GrpcConnection implements Http2ConnectionOwner {
  readonly #connection: Http2Connection;
  readonly #options: GrpcConnectionOptions;
  #onFirst: FirstListener | undefined;
  #keepalive: NodeJS.Timeout | undefined;
  #pingTimer: NodeJS.Timeout | undefined;
  #drained = false;
  #failure: Failure | undefined;

  constructor(socket: Duplex, options: GrpcConnectionOptions, onFirst: FirstListener) {
    this.#options = options;
    this.#onFirst = onFirst;
    this.#connection = new Http2Connection(
      socket,
      {
        maxHeaderBytes: 64 * 1024,
        streamWindowBytes: options.streamWindowBytes,
        connectionWindowBytes: 32 * mebibyte,
        maxUnreadBytes: 512 * mebibyte,
      },
      this,
    );
  }

  get openStreams(): number {
    return this.#connection.openStreams;
  }

  /** New streams can begin. */
  get usable(): boolean {
    return !this.#drained && !this.#connection.ending;
  }

  get hasRoom(): boolean {
    return this.usable && this.openStreams < this.#connection.peer.maxConcurrentStreams;
  }

  get isClosed(): boolean {
    return this.#connection.closed;
  }

  /** Why it ended; undefined while it has not, or when it ended in good order. */
  get failure(): Failure | undefined {
    const { error } = this.#connection;
    return this.#failure ?? (error ? connectionFailure(error, true) : undefined);
  }

  /** The server ended it because we asked too often whether it is alive. */
  get wasTooImpatient(): boolean {
    const { error } = this.#connection;
    return error instanceof Http2ConnectionError && error.code === errorCode.enhanceYourCalm;
  }

  /** Begins a call; undefined: no more can begin. */
  call(call: Omit<PacketCall, 'authority' | 'scheme'>): PacketStream | undefined {
    return callPackets(this.#connection, { ...call, ...this.#options });
  }

  /** Asks whether the server is there; it is lost when no answer comes in time. */
  ping(): void {
    if (this.#pingTimer || this.#connection.closed) return;
    this.#pingTimer = setTimeout(
      () => this.destroy(new Failure('reset', 'http2: client connection lost', { sent: true })),
      this.#options.keepaliveTimeoutMs,
    );
    this.#pingTimer.unref();
    this.#connection.ping();
  }

  /** Takes no new streams, and ends with the last one. */
  close(): void {
    this.#drain();
  }

  destroy(failure?: Failure): void {
    this.#failure ??= failure;
    this.#drain();
    this.#connection.destroy();
  }

  // What follows is for the connection.

  onSettings(): void {
    const first = this.#onFirst;
    if (!first) return;
    this.#onFirst = undefined;
    const { keepaliveMs } = this.#options;
    if (keepaliveMs > 0) this.#keepalive = setInterval(() => this.#keepAlive(), keepaliveMs).unref();
    first.settings();
  }

  onGoaway(): void {
    if (this.#drained) return;
    this.#drained = true;
    // Whoever is told may ask why, which the connection knows at the end of this call.
    queueMicrotask(() => this.#tellDrain());
  }

  onPong(): void {
    clearTimeout(this.#pingTimer);
    this.#pingTimer = undefined;
  }

  onClose(error: Error | undefined): void {
    clearInterval(this.#keepalive);
    clearTimeout(this.#pingTimer);
    if (this.#onFirst) this.#onFirst.close(error);
    else this.#drain();
  }

  /** Go's servers count PINGs on a connection without streams as abuse. */
  #keepAlive(): void {
    if (this.openStreams > 0) this.ping();
  }

  #drain(): void {
    if (this.#drained) return;
    this.#drained = true;
    this.#connection.finish();
    this.#tellDrain();
  }

  #tellDrain(): void {
    if (!this.#onFirst) this.#options.onDrain(this);
  }
}

/** Speaks HTTP/2 on a connected stream; see `untilFirstSettings`. */
export function openGrpcConnection(
  socket: Duplex,
  options: GrpcConnectionOptions,
  signal: AbortSignal,
): Promise<GrpcConnection> {
  const { settingsTimeoutMs } = options;
  return untilFirstSettings(
    socket,
    { settingsTimeoutMs, signal },
    (onFirst) => new GrpcConnection(socket, options, onFirst),
  );
}
