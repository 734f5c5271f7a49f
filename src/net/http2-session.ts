import type { Duplex } from 'node:stream';
import { Failure } from '../base/failure.ts';
import { Http2Connection } from '../http2/connection.ts';
import type { Http2ConnectionOwner } from '../http2/connection-options.ts';
import type { Http2Stream, StreamListener } from '../http2/stream.ts';
import { wayEnds } from './dial.ts';
import { untilFirstSettings } from './first-settings.ts';
import type { FirstListener } from './first-settings.ts';
import { connectionFailure } from './node-errors.ts';

export interface Http2SessionOptions {
  /** Most streams at once, where the peer allows more or says nothing. */
  readonly maxStreams: number;
  /** How far a peer may send ahead on one stream: what a reader that stopped can cost. */
  readonly streamWindowBytes: number;
  readonly pingIntervalMs: number;
  readonly pingTimeoutMs: number;
  /** A session without streams is closed after this. */
  readonly idleMs: number;
  /** How long the peer may take to send its SETTINGS. */
  readonly settingsTimeoutMs: number;
}

export interface Http2SessionOwner {
  /** A stream ended, or the peer allows more of them. */
  onRoom(session: Http2Session): void;
  /** No new streams may start. */
  onDrain(session: Http2Session): void;
  onClose(session: Http2Session): void;
}

const mebibyte = 1024 * 1024;

export interface SessionRequest {
  /** With pseudo headers first. */
  readonly lines: readonly string[];
  readonly endStream: boolean;
  readonly isHead: boolean;
  readonly listener: StreamListener;
}

/** One HTTP/2 connection to a target that counts its streams, looks whether it is alive, and ends when it is idle. */
export class Http2Session implements Http2ConnectionOwner {
  /** Streams open or promised. Whoever raises it calls `start` or `release`. */
  open = 0;
  /** Answers that have begun. */
  answers = 0;
  readonly #connection: Http2Connection;
  readonly #options: Http2SessionOptions;
  readonly #owner: Http2SessionOwner;
  #onFirst: FirstListener | undefined;
  #timer: NodeJS.Timeout | undefined;
  #limit = 0;
  #draining = false;
  #destroyedByUs = false;
  #idleSince = performance.now();
  #heardAt = performance.now();
  #pingTimer: NodeJS.Timeout | undefined;
  /** Places of streams that were reset before the PING that is on its way, and since. */
  #resetBeforePing = 0;
  #resetBehindPing = 0;
  #failure: Failure | undefined;
  /** RFC 9113 6.8: streams above it were not and will not be processed. */
  #lastStreamId = Infinity;

  constructor(
    socket: Duplex,
    options: Http2SessionOptions,
    { owner, onFirst }: { readonly owner: Http2SessionOwner; readonly onFirst: FirstListener },
  ) {
    this.#options = options;
    this.#owner = owner;
    this.#onFirst = onFirst;
    this.#connection = new Http2Connection(
      socket,
      {
        maxHeaderBytes: mebibyte,
        streamWindowBytes: options.streamWindowBytes,
        // Credit is given back on receipt, so this is bandwidth x delay and no stream can eat another's share.
        connectionWindowBytes: 32 * mebibyte,
        maxUnreadBytes: 512 * mebibyte,
      },
      this,
    );
    socket.once(wayEnds, () => this.close());
  }

  /** Streams that this session may carry at once. */
  get limit(): number {
    return this.#limit;
  }

  get usable(): boolean {
    return !this.#draining;
  }

  get hasRoom(): boolean {
    return !this.#draining && this.open < this.#limit;
  }

  /** Why the connection ended, for the streams that it took along. */
  get failure(): Failure | undefined {
    const { error } = this.#connection;
    if (error) this.#failure ??= connectionFailure(error, true);
    return this.#failure;
  }

  /** The peer closed a connection that it had answered on, and has answered nothing since there were so many answers. */
  lostSince(answers: number): boolean {
    return answers > 0 && this.answers === answers && this.#connection.closed && !this.#destroyedByUs;
  }

  /** True when the peer said that it never acted on the stream. */
  refused(streamId: number): boolean {
    return streamId > this.#lastStreamId;
  }

  /** Opens a stream in a place that was counted in `open`; undefined: the session takes none any more. */
  start(request: SessionRequest): Http2Stream | undefined {
    // A path that was cut while the session stood idle shows before a caller waits for its whole deadline.
    if (this.open === 1 && performance.now() - this.#heardAt > this.#options.pingTimeoutMs) this.#ping();
    return this.#connection.request(request.lines, request);
  }

  /** Gives places back. */
  release(places = 1): void {
    this.open -= places;
    if (this.open === 0) this.#idleSince = performance.now();
    this.#owner.onRoom(this);
  }

  /**
   * Gives a place back when the peer has surely seen the reset of its stream, which a PING behind it tells: until then
   * the peer counts it, and would refuse the next one (as Go's client, golang/go#66156).
   */
  releaseAfterReset(): void {
    if (this.#pingTimer) this.#resetBehindPing += 1;
    else {
      this.#resetBeforePing += 1;
      this.#ping();
    }
  }

  /** Lets running streams end. */
  close(): void {
    this.#drain();
  }

  destroy(failure: Failure): void {
    this.#destroyedByUs = true;
    this.#failure ??= failure;
    this.#drain();
    this.#connection.destroy();
  }

  // What follows is for the connection.

  onSettings(): void {
    this.#limit = Math.min(this.#connection.peer.maxConcurrentStreams, this.#options.maxStreams);
    const first = this.#onFirst;
    if (first) {
      this.#onFirst = undefined;
      const { pingIntervalMs, idleMs } = this.#options;
      this.#timer = setInterval(() => this.#tick(), Math.min(pingIntervalMs, idleMs));
      this.#timer.unref();
      first.settings();
    } else this.#owner.onRoom(this);
  }

  onGoaway(lastStreamId: number): void {
    this.#lastStreamId = lastStreamId;
    this.#drain();
  }

  onPong(): void {
    clearTimeout(this.#pingTimer);
    this.#pingTimer = undefined;
    this.#heardAt = performance.now();
    const seen = this.#resetBeforePing;
    this.#resetBeforePing = this.#resetBehindPing;
    this.#resetBehindPing = 0;
    if (this.#resetBeforePing > 0) this.#ping();
    if (seen > 0) this.release(seen);
  }

  onClose(error: Error | undefined): void {
    clearInterval(this.#timer);
    clearTimeout(this.#pingTimer);
    if (this.#onFirst) {
      this.#onFirst.close(error);
      return;
    }
    this.#drain();
    this.#owner.onClose(this);
  }

  #drain(): void {
    if (this.#draining) return;
    this.#draining = true;
    this.#connection.finish();
    if (!this.#onFirst) this.#owner.onDrain(this);
  }

  #tick(): void {
    if (this.open > 0) this.#ping();
    else if (performance.now() - this.#idleSince >= this.#options.idleMs) this.close();
  }

  #ping(): void {
    if (this.#pingTimer || this.#connection.closed) return;
    this.#pingTimer = setTimeout(() => {
      this.destroy(new Failure('reset', 'http2: client connection lost', { sent: true }));
    }, this.#options.pingTimeoutMs);
    this.#pingTimer.unref();
    this.#connection.ping();
  }
}

/** Speaks HTTP/2 on a connected byte stream; see `untilFirstSettings`. */
export function openHttp2Session(
  socket: Duplex,
  options: Http2SessionOptions,
  { owner, signal }: { readonly owner: Http2SessionOwner; readonly signal: AbortSignal },
): Promise<Http2Session> {
  const { settingsTimeoutMs } = options;
  return untilFirstSettings(
    socket,
    { settingsTimeoutMs, signal },
    (onFirst) => new Http2Session(socket, options, { owner, onFirst }),
  );
}
