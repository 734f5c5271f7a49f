import { Http2ServerRequest, Http2ServerResponse, constants } from 'node:http2';
import type { IncomingHttpHeaders, OutgoingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { Readable } from 'node:stream';
import type { HeaderLines } from '../base/header-lines.ts';
import type { ClientConnection } from './client-connection.ts';
import type { ListenerLimits } from './listener-limits.ts';
import { expectsContinue, onFirstRead } from './expect-continue.ts';
import type { Exchange, NodePair, StreamedBody, UpgradeSide } from './exchange.ts';

/** A request of an HTTP/2 connection, on Node's stream API: the compatibility API costs half again as much. */
export class Http2Exchange implements Exchange {
  readonly protocol = 'HTTP/2.0';
  readonly isUpgrade = false;
  readonly method: string;
  readonly target: string;
  readonly headers: HeaderLines;
  readonly connection: ClientConnection;
  readonly body: Readable | undefined;
  readonly #stream: ServerHttp2Stream;
  readonly #parsedHeaders: IncomingHttpHeaders;
  readonly #limits: ListenerLimits;
  readonly #closeConnection: () => void;
  readonly #endListeners: (() => void)[] = [];
  #controller: AbortController | undefined;
  #ended = false;
  #status: number | undefined;
  #response: Http2ServerResponse | undefined;
  #streamed: Readable | undefined;
  #onHead: ((status: number) => void) | undefined;

  constructor(options: {
    stream: ServerHttp2Stream;
    headers: IncomingHttpHeaders;
    rawHeaders: readonly string[];
    endOfStream: boolean;
    connection: ClientConnection;
    limits: ListenerLimits;
    closeConnection: () => void;
  }) {
    const { stream, headers, rawHeaders } = options;
    this.#stream = stream;
    this.#parsedHeaders = headers;
    this.method = headers[':method'] ?? '';
    this.target = headers[':path'] ?? '';
    this.headers = withoutPseudoHeaders(rawHeaders);
    this.connection = options.connection;
    this.#limits = options.limits;
    this.#closeConnection = options.closeConnection;
    this.body = options.endOfStream ? undefined : stream;
    // The reset of a stream is told by 'close' too; an error without a listener would end the process.
    stream.on('error', () => {});
    stream.on('close', () => this.#onClose());
    // After a reset by the caller Node says 'end' as after END_STREAM: half a body would look whole.
    if (this.body && expectsContinue(this.headers)) onFirstRead(this.body, () => this.inform(100, []));
    if (this.body) stream.on('aborted', () => stream.destroy(new Error('the caller went away')));
  }

  get status(): number | undefined {
    return this.#status ?? (this.#response?.headersSent ? this.#response.statusCode : undefined);
  }

  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#ended) this.#controller.abort(new Error('the caller went away'));
    return this.#controller.signal;
  }

  cancel(reason: Error): void {
    this.#controller ??= new AbortController();
    this.#controller.abort(reason);
  }

  #onClose(): void {
    this.#ended = true;
    // writableFinished: everything incl. END_STREAM was handed to the socket.
    if (!this.#stream.writableFinished || this.#stream.rstCode !== constants.NGHTTP2_NO_ERROR) {
      this.#controller?.abort(new Error('the caller went away'));
    }
    for (const listener of this.#endListeners) listener();
  }

  onEnd(listener: () => void): void {
    if (this.#ended) listener();
    else this.#endListeners.push(listener);
  }

  onHead(listener: (status: number) => void): void {
    this.#onHead = listener;
  }

  inform(status: number, headers: HeaderLines): void {
    if (this.#gone()) return;
    try {
      this.#stream.additionalHeaders({ ':status': status, ...objectOf(headers) });
    } catch {
      // Node refuses lines that it would not read itself; the answer that counts is still to come.
    }
  }

  respond(status: number, headers: HeaderLines, body?: string | Uint8Array): void {
    if (this.#gone()) return;
    this.#status = status;
    this.#onHead?.(status);
    const empty = body === undefined || body.length === 0 || this.method === 'HEAD';
    this.#stream.respond([':status', String(status), ...headers], { endStream: empty });
    if (!empty) this.#stream.end(body);
    this.#dropUnreadBody();
    this.#cutWhenUnread();
  }

  stream(status: number, headers: HeaderLines, { body, trailers }: StreamedBody): void {
    if (this.#gone()) {
      body.destroy();
      return;
    }
    this.#status = status;
    this.#onHead?.(status);
    const stream = this.#stream;
    if (trailers) stream.once('wantTrailers', () => sendTrailers(stream, trailers()));
    stream.respond([':status', String(status), ...headers], { waitForTrailers: trailers !== undefined });
    body.once('error', () => this.abort());
    stream.once('close', () => body.destroy());
    body.pipe(stream);
    body.once('end', () => {
      this.#dropUnreadBody();
      this.#cutWhenUnread();
    });
    this.#streamed = body;
  }

  finish(): void {
    const body = this.#streamed;
    if (!body || this.#stream.destroyed) return;
    body.unpipe(this.#stream);
    this.#stream.end();
    this.#dropUnreadBody();
    this.#cutWhenUnread();
    body.destroy();
  }

  nodePair(): NodePair {
    const request = new Http2ServerRequest(this.#stream, this.#parsedHeaders, {}, [...this.headers]);
    const response = new Http2ServerResponse(this.#stream);
    this.#response = response;
    this.#cutWhenUnread();
    if (this.body) this.#cutWhenSlow(this.body);
    // Node keeps its own link from the stream to both objects in its compatibility layer only.
    return { request, response };
  }

  takeSocket(): UpgradeSide {
    throw new Error('an HTTP/2 stream cannot be upgraded');
  }

  abort(): void {
    // `close` would end the writable side first, and half an answer would look whole: END_STREAM, then RST_STREAM.
    if (!this.#stream.destroyed) this.#stream.destroy(new Error('the answer was cut short'));
  }

  closeConnectionAfter(): void {
    this.#closeConnection();
  }

  /** A stream whose answer is complete and of which nothing moves holds memory for a caller that takes nothing. */
  #cutWhenUnread(): void {
    const stream = this.#stream;
    if (stream.destroyed) return;
    // Node looks at what was sent since: bytes that move put the time off. A watch without events is not complete.
    stream.setTimeout(this.#limits.unreadAnswerTimeoutMs, () => {
      if (stream.writableEnded) stream.destroy(new Error('the caller does not read its answer'));
      else this.#cutWhenUnread();
    });
  }

  #cutWhenSlow(body: Readable): void {
    const timer = setTimeout(() => {
      this.#stream.destroy(new Error('the body took too long'));
    }, this.#limits.bodyTimeoutMs);
    for (const event of ['end', 'close']) body.once(event, () => clearTimeout(timer));
  }

  #gone(): boolean {
    return this.#stream.destroyed || this.#stream.closed || this.#stream.headersSent;
  }

  /**
   * A body that nobody reads any more must not hold the connection's flow-control window, nor its stream for as long as
   * it comes: the answer is complete, so that no error is told (RFC 9113 8.1).
   */
  #dropUnreadBody(): void {
    const stream = this.#stream;
    if (!this.body || stream.readableEnded || stream.destroyed) return;
    stream.resume();
    // Without an error Node waits until the answer is out.
    const close = () => stream.close(constants.NGHTTP2_NO_ERROR);
    const timer = setTimeout(close, this.#limits.bodyTimeoutMs);
    stream.once('close', () => clearTimeout(timer));
  }
}

function sendTrailers(stream: ServerHttp2Stream, lines: HeaderLines): void {
  if (!stream.destroyed) stream.sendTrailers(objectOf(lines));
}

function objectOf(lines: HeaderLines): OutgoingHttpHeaders {
  const headers: OutgoingHttpHeaders = {};
  for (let i = 0; i + 1 < lines.length; i += 2) {
    const name = (lines[i] ?? '').toLowerCase();
    const value = lines[i + 1] ?? '';
    const before = headers[name];
    headers[name] = before === undefined ? value : [before, value].flat().map(String);
  }
  return headers;
}

function withoutPseudoHeaders(raw: readonly string[]): HeaderLines {
  // Pseudo headers come first (RFC 9113 8.3), so the rest is one slice.
  let start = 0;
  while (start < raw.length && raw[start]?.startsWith(':')) start += 2;
  return raw.slice(start);
}
