import { connect as connectHttp2 } from 'node:http2';
import type { ClientHttp2Session, ClientHttp2Stream, ClientSessionOptions } from 'node:http2';
import type { Duplex } from 'node:stream';
import { Failure } from '../base/failure.ts';
import { abortFailure, connectionFailure, hostPort, tlsFailure } from './node-errors.ts';
import type { Address } from './dial.ts';

export interface Http2SessionOptions {
  readonly address: Address;
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

/** One HTTP/2 connection that counts its streams: Node's client queues the stream past the peer's limit in silence. */
export class Http2Session {
  /** Streams open or promised. Whoever raises it calls `start` or `release`. */
  open = 0;
  /** Answers that have begun. */
  answers = 0;
  readonly #session: ClientHttp2Session;
  readonly #options: Http2SessionOptions;
  readonly #owner: Http2SessionOwner;
  readonly #timer: NodeJS.Timeout;
  #limit: number;
  #draining = false;
  #destroyedByUs = false;
  #closed = false;
  #idleSince = performance.now();
  #heardAt = performance.now();
  #pingTimer: NodeJS.Timeout | undefined;
  #failure: Failure | undefined;
  /** RFC 9113 §6.8: streams above it were not and will not be processed. */
  #lastStreamId = Infinity;

  constructor(session: ClientHttp2Session, options: Http2SessionOptions, owner: Http2SessionOwner) {
    this.#session = session;
    this.#options = options;
    this.#owner = owner;
    this.#limit = this.#limitOf(session);
    this.#timer = setInterval(() => this.#tick(), Math.min(options.pingIntervalMs, options.idleMs));
    this.#timer.unref();
    session.on('remoteSettings', () => {
      this.#limit = this.#limitOf(session);
      this.#owner.onRoom(this);
    });
    session.on('goaway', (_code, lastStreamId: number) => {
      this.#lastStreamId = lastStreamId;
      this.#drain();
    });
    session.on('error', (error: Error) => (this.#failure ??= connectionFailure(error, true)));
    session.on('close', () => this.#onClose());
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
    return this.#failure;
  }

  /** The peer closed a connection that it had answered on, and has answered nothing since there were so many answers. */
  lostSince(answers: number): boolean {
    return answers > 0 && this.answers === answers && this.#session.destroyed && !this.#destroyedByUs;
  }

  /** True when the peer said that it never acted on the stream. */
  refused(streamId: number): boolean {
    return streamId > this.#lastStreamId;
  }

  /** Opens a stream in a place that was counted in `open`. Throws Node's error when a header is not valid. */
  start(headers: readonly string[], endStream: boolean): ClientHttp2Stream {
    // A path that was cut while the session stood idle shows before a caller waits for its whole deadline.
    if (this.open === 1 && performance.now() - this.#heardAt > this.#options.pingTimeoutMs) this.#ping();
    return this.#session.request(headers, { endStream });
  }

  /** Gives a place back. */
  release(): void {
    this.open -= 1;
    if (this.open === 0) this.#idleSince = performance.now();
    this.#owner.onRoom(this);
  }

  /** Lets running streams end. */
  close(): void {
    this.#drain();
  }

  destroy(failure: Failure): void {
    this.#destroyedByUs = true;
    this.#failure ??= failure;
    this.#drain();
    this.#session.destroy();
  }

  #limitOf(session: ClientHttp2Session): number {
    return Math.min(session.remoteSettings.maxConcurrentStreams ?? 100, this.#options.maxStreams);
  }

  #drain(): void {
    if (this.#draining) return;
    this.#draining = true;
    this.#session.close();
    this.#owner.onDrain(this);
  }

  #onClose(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#timer);
    clearTimeout(this.#pingTimer);
    this.#drain();
    this.#owner.onClose(this);
  }

  #tick(): void {
    if (this.open > 0) this.#ping();
    else if (performance.now() - this.#idleSince >= this.#options.idleMs) this.close();
  }

  #ping(): void {
    if (this.#pingTimer || this.#session.closed || this.#session.destroyed) return;
    this.#pingTimer = setTimeout(() => {
      this.destroy(new Failure('reset', 'http2: client connection lost', { sent: true }));
    }, this.#options.pingTimeoutMs);
    this.#pingTimer.unref();
    this.#session.ping((error) => {
      clearTimeout(this.#pingTimer);
      this.#pingTimer = undefined;
      if (!error) this.#heardAt = performance.now();
    });
  }
}

/**
 * Speaks HTTP/2 on a connected byte stream. Resolves when the peer's SETTINGS are there: only then its stream limit is
 * known, and that there is anybody (a TLS 1.3 server refuses our certificate after the handshake). Rejects with a
 * `Failure`, having destroyed the stream.
 */
export function openHttp2Session(
  socket: Duplex,
  options: Http2SessionOptions,
  { owner, signal }: { readonly owner: Http2SessionOwner; readonly signal: AbortSignal },
): Promise<Http2Session> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      socket.destroy();
      reject(abortFailure(signal));
      return;
    }
    const session = startSession(socket, options);
    const onSettings = () => {
      settle();
      resolve(new Http2Session(session, options, owner));
    };
    const fail = (failure: Failure) => {
      settle();
      session.on('error', () => undefined);
      session.destroy();
      socket.destroy();
      reject(failure);
    };
    const onError = (error: Error) => fail(tlsFailure(error));
    const onClose = () => fail(new Failure('unreachable', 'http2: connection closed before SETTINGS'));
    const onAbort = () => fail(abortFailure(signal));
    const timer = setTimeout(
      () => fail(new Failure('timeout', 'http2: timeout awaiting SETTINGS')),
      options.settingsTimeoutMs,
    );
    const settle = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      session.off('remoteSettings', onSettings).off('error', onError).off('close', onClose);
    };
    signal.addEventListener('abort', onAbort);
    session.on('remoteSettings', onSettings).on('error', onError).on('close', onClose);
  });
}

function startSession(socket: Duplex, options: Http2SessionOptions): ClientHttp2Session {
  // The last one is missing in @types/node for clients.
  const settings: ClientSessionOptions & { strictSingleValueFields: boolean } = {
    createConnection: () => socket,
    settings: {
      enablePush: false,
      initialWindowSize: options.streamWindowBytes,
      maxHeaderListSize: mebibyte,
    },
    maxHeaderListPairs: 16_384,
    maxSendHeaderBlockLength: 2 * mebibyte,
    // In MB, for all streams of the session together; what does not fit is refused in the middle of a request.
    maxSessionMemory: 512,
    // The front has decided what may be sent; a doubled header is for the target to judge.
    strictSingleValueFields: false,
  };
  const session = connectHttp2(`https://${hostPort(options.address)}`, settings);
  session.once('connect', () => {
    // Node gives connection credit back on receipt, so this is bandwidth × delay and no stream can eat another's share.
    if (!session.destroyed) session.setLocalWindowSize(32 * mebibyte);
  });
  return session;
}
