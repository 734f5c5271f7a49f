/** What one connection, or all of them together, may take. Times are milliseconds. */
export interface ListenerLimits {
  /** Bytes of one request's header lines, both protocols: 1 MiB as Go's server, for callers in a thousand groups. */
  readonly maxHeaderBytes: number;
  /** Concurrent streams of one HTTP/2 connection (`--http2-max-streams-per-connection`). */
  readonly maxStreamsPerConnection: number;
  readonly handshakeTimeoutMs: number;
  /** For the head of an HTTP/1.1 request, and for the first request of an HTTP/2 connection. */
  readonly headersTimeoutMs: number;
  /** For a body that the server itself reads. Bodies that are passed on may take as long as they take. */
  readonly bodyTimeoutMs: number;
  /** A complete answer of which the caller takes nothing for so long is cut. */
  readonly unreadAnswerTimeoutMs: number;
  /** An idle HTTP/1.1 connection stays: longer than Go's clients keep theirs, lest a request meets its end. */
  readonly keepAliveTimeoutMs: number;
  /** An HTTP/2 connection without streams stays: kube-apiserver's IdleTimeout. */
  readonly http2IdleTimeoutMs: number;
  /** A PING is sent over each HTTP/2 connection this often; one that says nothing until the second next is gone. */
  readonly pingIntervalMs: number;
  /**
   * A connection that is older takes no new requests, give or take a tenth; 0: no bound. kube-apiserver has none;
   * with it the hub's few connections come to a replica that was added within the hour.
   */
  readonly maxConnectionAgeMs: number;
  /** The chance that a request over HTTP/2 ends its connection in good order (`--goaway-chance`). */
  readonly goawayChance: number;
  readonly maxConnections: number;
  /** Streams that a caller may reset before an answer: as long as nobody on the connection is known, and after. */
  readonly resets: {
    readonly unknown: ResetLimit;
    readonly authenticated: ResetLimit;
  };
}

export interface ResetLimit {
  readonly burst: number;
  readonly perSecond: number;
}

export const defaultListenerLimits: ListenerLimits = {
  maxHeaderBytes: 1024 * 1024,
  maxStreamsPerConnection: 1000,
  handshakeTimeoutMs: 10_000,
  headersTimeoutMs: 32_000,
  bodyTimeoutMs: 60_000,
  unreadAnswerTimeoutMs: 60_000,
  keepAliveTimeoutMs: 120_000,
  http2IdleTimeoutMs: 90_000,
  pingIntervalMs: 30_000,
  maxConnectionAgeMs: 60 * 60_000,
  goawayChance: 0,
  maxConnections: 20_000,
  resets: {
    unknown: { burst: 200, perSecond: 20 },
    authenticated: { burst: 10_000, perSecond: 1_000 },
  },
};
