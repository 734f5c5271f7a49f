import type { Http2Stream } from './stream.ts';

export interface Http2ConnectionOptions {
  /** Takes what the peer asks: with it this is the server's side, without it the client's. */
  readonly requests?: RequestTaker;
  /** Bytes of a list of header lines, counted as RFC 9113 6.5.2 does. */
  readonly maxHeaderBytes: number;
  /** How far a peer may send ahead on one stream, and on all of them together. */
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
  /** Bytes that came and that nobody has read, of all streams: beyond it the peer gets no credit until somebody reads. */
  readonly maxUnreadBytes: number;
}

/** Who owns a connection. */
export interface Http2ConnectionOwner {
  /** The peer sent its settings, for the first time or again. */
  onSettings(): void;
  /** Clients: the peer takes no new streams; those above `lastStreamId` it has not looked at. */
  onGoaway(lastStreamId: number): void;
  /** An answer to `ping` has come. */
  onPong(): void;
  /** Nothing comes or goes any more; every stream has been told. */
  onClose(error: Error | undefined): void;
}

/** What a server does with the streams that its peer begins. */
export interface RequestTaker {
  /** Streams that the peer may have open at once. */
  readonly maxConcurrentStreams: number;
  /** A request, its head checked. Whoever takes it sets the stream's `listener` before anything is sent on it. */
  onRequest(stream: Http2Stream, lines: string[], endStream: boolean): void;
  /** One whose head is larger than it may be; it can be answered. */
  onHeadTooLarge(stream: Http2Stream): void;
}
