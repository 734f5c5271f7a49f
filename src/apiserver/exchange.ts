import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex, Readable } from 'node:stream';
import type { HeaderLines } from '../base/header-lines.ts';
import type { ClientConnection } from './client-connection.ts';
import type { Http2NodeRequest, Http2NodeResponse } from './http2-node-pair.ts';

/** The raw side of an HTTP/1.1 upgrade: the socket, and the bytes that came right behind the request. */
export interface UpgradeSide {
  readonly socket: Duplex;
  readonly head: Buffer;
}

export interface NodePair {
  readonly request: IncomingMessage | Http2NodeRequest;
  readonly response: ServerResponse | Http2NodeResponse;
}

/**
 * One request and its answer, whichever protocol it came by: the seam between the listener and everything behind it.
 * An exchange is answered once, by `respond`, `stream`, `nodePair` or, for an upgrade, by `takeSocket`.
 */
export interface Exchange {
  readonly protocol: 'HTTP/2.0' | 'HTTP/1.1';
  readonly method: string;
  /** The request target as it came on the wire. */
  readonly target: string;
  /** Header lines without pseudo headers. Names are lower case on HTTP/2, as sent on HTTP/1.1. */
  readonly headers: HeaderLines;
  readonly connection: ClientConnection;
  /** The request wants another protocol: it has `Connection: upgrade` and came by HTTP/1.1. */
  readonly isUpgrade: boolean;
  /** Undefined where the request has no body. */
  readonly body: Readable | undefined;
  /** Fires when the caller goes away before the answer is complete, or with the reason that `cancel` was given. */
  readonly signal: AbortSignal;
  /** The status that was answered, once it was. */
  readonly status: number | undefined;
  /**
   * Tells the caller something before the answer (1xx but 101), if it can still be told: not once the head is out, not
   * over HTTP/1.0, and not for an upgrade.
   */
  inform(status: number, headers: HeaderLines): void;
  /** Answers with a whole body. */
  respond(status: number, headers: HeaderLines, body?: string | Uint8Array): void;
  /** Answers with a body that flows; the exchange owns `body` from here: an error in it resets the stream. */
  stream(status: number, headers: HeaderLines, body: StreamedBody): void;
  /** Hands the request to a handler written for Node's request and response objects. */
  nodePair(): NodePair;
  /** An upgrade's socket: whoever takes it answers on it and ends it; `status` is what it will answer. */
  takeSocket(status: number): UpgradeSide;
  /** Ends a streamed answer early and in good order: nothing is missing of a stream that could go on for ever. */
  finish(): void;
  /** Ends all work for the request by its `signal`. The caller is still there, and can be answered. */
  cancel(reason: Error): void;
  /** Resets the stream or destroys the socket: the only thing left to say once headers are out. */
  abort(): void;
  /**
   * Called once, when the head of the answer goes out; there is one listener. Not for `nodePair`: whoever answers there
   * knows.
   */
  onHead(listener: (status: number) => void): void;
  /**
   * The connection takes no new requests from here on, and ends when those that run have: GOAWAY, or
   * `Connection: close` where the answer's head is not out yet.
   */
  closeConnectionAfter(): void;
  /** Called once, when the answer is complete or the caller is gone. */
  onEnd(listener: () => void): void;
}

export interface StreamedBody {
  readonly body: Readable;
  /** Read after the body's end. */
  readonly trailers?: () => HeaderLines;
}
