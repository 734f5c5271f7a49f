import { TokenBucket } from '../../base/token-bucket.ts';
import { Http2Connection } from '../../http2/connection.ts';
import { errorCode } from '../../http2/frame.ts';
import type { Http2Stream } from '../../http2/stream.ts';
import type { AcceptedConnection } from '../stream-listener.ts';

const mebibyte = 1024 * 1024;

export interface GrpcServerConnectionOptions {
  /** Bytes that the client may send ahead on one stream. */
  readonly streamWindowBytes: number;
  readonly maxConcurrentStreams: number;
  /** Bytes of all its streams that nobody has taken: beyond it the client gets no credit, on any stream. */
  readonly maxUnreadBytes: number;
  /** A PING goes this often to see whether the client is there; 0: never. */
  readonly keepaliveMs: number;
  readonly keepaliveTimeoutMs: number;
  /** A call: its `:path` and all lines of its head. Whoever takes it sets the stream's listener. */
  readonly onCall: (call: GrpcCall) => void;
  readonly onClosed: (connection: GrpcServerConnection) => void;
}

export interface GrpcCall {
  readonly path: string;
  readonly lines: readonly string[];
  readonly stream: Http2Stream;
  readonly peer: AcceptedConnection;
  /** To be called when the client has cut the stream: one that does it too often is sent away. */
  readonly countReset: () => void;
  /** GOAWAY on the connection that it came by. */
  readonly finishConnection: () => void;
}

/**
 * Resets that a client may send: Go's clients end every dial by one, thousands at a time (tunnel.md 1.9); beyond it is
 * an attack (CVE-2023-44487), which costs little here, as streams begin no work of their own.
 */
const resets = { burst: 20_000, perSecond: 2_000 };

/** The server's side of an HTTP/2 connection that carries gRPC calls. */
export class GrpcServerConnection {
  readonly #connection: Http2Connection;
  readonly #options: GrpcServerConnectionOptions;
  readonly #peer: AcceptedConnection;
  readonly #resets = new TokenBucket(resets);
  #keepalive: NodeJS.Timeout | undefined;
  #pingTimer: NodeJS.Timeout | undefined;

  constructor(peer: AcceptedConnection, options: GrpcServerConnectionOptions) {
    this.#peer = peer;
    this.#options = options;
    this.#connection = new Http2Connection(
      peer.socket,
      {
        requests: {
          maxConcurrentStreams: options.maxConcurrentStreams,
          onRequest: (stream, lines) => this.#onRequest(stream, lines),
          onHeadTooLarge: (stream) => stream.reset(errorCode.enhanceYourCalm),
        },
        maxHeaderBytes: 64 * 1024,
        streamWindowBytes: options.streamWindowBytes,
        connectionWindowBytes: Math.max(8 * mebibyte, options.streamWindowBytes),
        maxUnreadBytes: options.maxUnreadBytes,
      },
      {
        onSettings: () => undefined,
        onGoaway: () => undefined,
        onPong: () => this.#onPong(),
        onClose: () => this.#onClose(),
      },
    );
    if (options.keepaliveMs > 0)
      this.#keepalive = setInterval(() => this.#ping(), options.keepaliveMs).unref();
  }

  get openStreams(): number {
    return this.#connection.openStreams;
  }

  /** GOAWAY: no new calls; it ends with the last one. */
  finish(): void {
    this.#connection.finish();
  }

  destroy(): void {
    this.#connection.destroy();
  }

  #onRequest(stream: Http2Stream, lines: readonly string[]): void {
    const { onCall } = this.#options;
    const path = valueOf(lines, ':path');
    const finishConnection = () => this.finish();
    onCall({ path, lines, stream, peer: this.#peer, countReset: this.#countReset, finishConnection });
  }

  readonly #countReset = (): void => {
    if (!this.#resets.take()) this.#connection.fail(errorCode.enhanceYourCalm, 'too many resets');
  };

  #ping(): void {
    if (this.#pingTimer) return;
    this.#pingTimer = setTimeout(() => this.destroy(), this.#options.keepaliveTimeoutMs).unref();
    this.#connection.ping();
  }

  #onPong(): void {
    clearTimeout(this.#pingTimer);
    this.#pingTimer = undefined;
  }

  #onClose(): void {
    clearInterval(this.#keepalive);
    clearTimeout(this.#pingTimer);
    this.#options.onClosed(this);
  }
}

/** Of a line that a request has once. */
function valueOf(lines: readonly string[], name: string): string {
  for (let at = 0; at + 1 < lines.length; at += 2) if (lines[at] === name) return lines[at + 1] ?? '';
  return '';
}
