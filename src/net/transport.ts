import type { Duplex, Readable } from 'node:stream';
import type { HeaderLines } from '../base/header-lines.ts';

export interface OutgoingRequest {
  readonly method: string;
  /** The request target as it goes on the wire (origin form): never parsed or normalised. */
  readonly target: string;
  /** Without Host and framing headers (`host`, `content-length` may stand; `transfer-encoding`, `connection` not). */
  readonly headers: HeaderLines;
  /** The value of Host or :authority. */
  readonly authority: string;
  /**
   * Absent: there is no body. It is read with back-pressure, and let go of, paused, when the answer comes before its
   * end; it is never destroyed here. If it fails, the stream is reset and the request or the answer's body fails.
   */
  readonly body?: Readable;
  /** Called for each piece of the body that is sent on: a long upload shows by it that it goes on. */
  readonly onBodyProgress?: () => void;
  /** Called for each answer before the final one (1xx), but for 100 and 101. */
  readonly onInformation?: (status: number, headers: HeaderLines) => void;
  /**
   * Aborting resets the stream or destroys the socket at once, also while the answer's body flows. A reason that is a
   * `Failure` (a deadline, say) is what the request then rejects with; any other gives `cancelled`.
   */
  readonly signal: AbortSignal;
  /** Watches, followed logs and the like: kept on sessions apart, so that they never starve short requests. */
  readonly longRunning?: boolean;
}

export interface IncomingResponse {
  readonly status: number;
  /** Lower-case names on HTTP/2; pseudo headers are left out. */
  readonly headers: HeaderLines;
  /**
   * Ends or errors (with a `Failure`) exactly once; an answer that was cut short never just ends. It must be read or
   * destroyed, which frees the stream or the socket; only one that has no body (HEAD, 204, 304) may be left alone.
   */
  readonly body: Readable;
  /**
   * The body, if all of it is here, nobody has touched `body`, and there are no trailers: what most answers are. It can be
   * taken once, and then `body` must not be touched. Undefined: read `body`.
   */
  readonly takeWhole?: () => Buffer | undefined;
  /** Known after `body` ended. */
  readonly trailers: () => HeaderLines;
}

export type UpgradeResponse =
  | {
      readonly type: 'upgraded';
      readonly status: 101;
      readonly headers: HeaderLines;
      readonly socket: Duplex;
      readonly head: Buffer;
    }
  | { readonly type: 'refused'; readonly response: IncomingResponse };

/**
 * The pooled, multiplexed way to one cluster. Lives as long as the cluster's endpoint and TLS material do.
 * All calls reject with a `Failure`.
 */
export interface Transport {
  request(request: OutgoingRequest): Promise<IncomingResponse>;
  /**
   * An HTTP/1.1 upgrade on a connection of its own, never pooled, never shared: `headers` contain Connection and
   * Upgrade as they are to be sent. 101 gives the socket and the bytes that came with it; any other answer is given
   * as it is, and its connection is closed after it.
   */
  upgrade(request: OutgoingRequest): Promise<UpgradeResponse>;
  /** Connections open now, by protocol: for metrics and tests. */
  readonly connections: () => { readonly http2: number; readonly http1: number; readonly upgraded: number };
  /** Takes no new request, lets the running ones end. */
  close(): Promise<void>;
  destroy(reason?: unknown): void;
}
