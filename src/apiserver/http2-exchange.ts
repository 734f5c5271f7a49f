import type { Readable } from 'node:stream';
import { firstHeader } from '../base/header-lines.ts';
import type { HeaderLines } from '../base/header-lines.ts';
import { errorCode } from '../http2/frame.ts';
import { IncomingBody } from '../http2/incoming-body.ts';
import type { Http2Stream, StreamListener } from '../http2/stream.ts';
import type { ClientConnection } from './client-connection.ts';
import type { ListenerLimits } from './listener-limits.ts';
import { expectsContinue, onFirstRead } from './expect-continue.ts';
import type { Exchange, NodePair, StreamedBody, UpgradeSide } from './exchange.ts';
import { createHttp2NodePair } from './http2-node-pair.ts';
import type { Http2NodeResponse } from './http2-node-pair.ts';
import { httpDate } from './http-date.ts';
import { StreamedAnswer } from './streamed-answer.ts';

export interface Http2ExchangeOptions {
  readonly stream: Http2Stream;
  /** With pseudo headers first. */
  readonly lines: readonly string[];
  readonly endOfStream: boolean;
  readonly connection: ClientConnection;
  readonly limits: ListenerLimits;
  readonly closeConnection: () => void;
  /** `isReset`: by the caller, or because of what it sent. */
  readonly onStreamEnd: (isReset: boolean) => void;
}

/** A request of an HTTP/2 connection. */
export class Http2Exchange implements Exchange, StreamListener {
  readonly protocol = 'HTTP/2.0';
  readonly isUpgrade = false;
  readonly method: string;
  readonly target: string;
  readonly headers: HeaderLines;
  readonly connection: ClientConnection;
  readonly body: RequestBody | undefined;
  readonly #authority: string;
  readonly #stream: Http2Stream;
  readonly #limits: ListenerLimits;
  readonly #closeConnection: () => void;
  readonly #onStreamEnd: (isReset: boolean) => void;
  readonly #endListeners: (() => void)[] = [];
  #controller: AbortController | undefined;
  #ended = false;
  #status: number | undefined;
  #response: Http2NodeResponse | undefined;
  #streamed: StreamedAnswer | undefined;
  #onHead: ((status: number) => void) | undefined;
  #timers: NodeJS.Timeout[] = [];

  constructor(options: Http2ExchangeOptions) {
    const { stream, lines, limits } = options;
    this.#stream = stream;
    const { method, target, authority, headers } = readHead(lines);
    this.method = method;
    this.target = target;
    this.#authority = authority;
    this.headers = headers;
    this.connection = options.connection;
    this.#limits = limits;
    this.#closeConnection = options.closeConnection;
    this.#onStreamEnd = options.onStreamEnd;
    if (options.endOfStream) return;
    this.body = new RequestBody(stream);
    if (expectsContinue(headers)) onFirstRead(this.body, () => this.inform(100, []));
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

  onEnd(listener: () => void): void {
    if (this.#ended) listener();
    else this.#endListeners.push(listener);
  }

  onHead(listener: (status: number) => void): void {
    this.#onHead = listener;
  }

  inform(status: number, headers: HeaderLines): void {
    if (!this.#gone()) this.#stream.sendHead([':status', String(status), ...headers], false);
  }

  respond(status: number, headers: HeaderLines, body?: string | Uint8Array): void {
    if (this.#gone()) return;
    const empty = body === undefined || body.length === 0 || this.method === 'HEAD';
    this.#sendHead(status, headers, empty);
    if (!empty) this.#stream.end(typeof body === 'string' ? Buffer.from(body) : bufferOf(body));
    this.#afterAnswer();
  }

  stream(status: number, headers: HeaderLines, streamed: StreamedBody): void {
    if (this.#gone()) {
      streamed.body.destroy();
      return;
    }
    this.#sendHead(status, headers, false);
    this.#streamed = new StreamedAnswer(this.#stream, streamed, {
      onComplete: () => this.#afterAnswer(),
      onBroken: () => this.abort(),
    });
  }

  finish(): void {
    const streamed = this.#streamed;
    if (!streamed || this.#stream.closed) return;
    streamed.letGo();
    this.#stream.end();
    this.#afterAnswer();
    streamed.body.destroy();
  }

  nodePair(): NodePair {
    const stream = this.#stream;
    const { request, response } = createHttp2NodePair({
      ...{ method: this.method, target: this.target, headers: this.headers, authority: this.#authority },
      ...{ socket: this.connection.socket, body: this.body },
      sink: {
        head: (status, lines, endStream) => {
          this.#sendHead(status, lines, endStream);
          if (endStream) this.#afterAnswer();
        },
        inform: (status, lines) => this.inform(status, lines),
        write: (chunk) => stream.write(chunk),
        end: () => {
          stream.end();
          this.#afterAnswer();
        },
        abort: () => this.abort(),
      },
    });
    this.#response = response;
    if (this.body) this.#cutWhenSlow(this.body);
    return { request, response };
  }

  takeSocket(): UpgradeSide {
    throw new Error('an HTTP/2 stream cannot be upgraded');
  }

  abort(): void {
    this.#stream.reset(errorCode.internalError);
  }

  closeConnectionAfter(): void {
    this.#closeConnection();
  }

  // What follows is for the stream.

  /** Of answers; a request has its head before there is an exchange. */
  headReceived(): void {}

  dataReceived(chunk: Buffer): void {
    this.body?.receive(chunk);
  }

  endReceived(): void {
    this.body?.complete();
  }

  drained(): void {
    this.#streamed?.drained();
    this.#response?.onDrain();
  }

  streamClosed(code: number | undefined, byPeer: boolean): void {
    this.#ended = true;
    for (const timer of this.#timers) clearTimeout(timer);
    const { body } = this;
    if (body && !body.isWhole) body.destroy(new Error('the caller went away'));
    // localSent: everything incl. END_STREAM is on its way.
    const complete = this.#stream.localSent && (code === undefined || code === errorCode.noError);
    if (!complete) this.#controller?.abort(new Error('the caller went away'));
    this.#streamed?.closed();
    this.#response?.onEnd(complete);
    this.#onStreamEnd(isResetOf(code, byPeer));
    for (const listener of this.#endListeners) listener();
  }

  #sendHead(status: number, headers: HeaderLines, endStream: boolean): void {
    this.#status = status;
    this.#onHead?.(status);
    const lines = [':status', String(status), ...headers];
    if (firstHeader(headers, 'date') === undefined) lines.push('date', httpDate());
    this.#stream.sendHead(lines, endStream);
  }

  /** Whoever answers has said all of it; it may not be out, and not all of the request may be in. */
  #afterAnswer(): void {
    if (this.#stream.closed) return;
    this.#cutWhenUnread();
    this.#dropUnreadBody();
  }

  /** A stream whose answer is complete and of which nothing moves holds memory for a caller that takes nothing. */
  #cutWhenUnread(): void {
    let sent = this.#stream.sentBytes;
    const timer = setInterval(() => {
      if (this.#stream.localSent) clearInterval(timer);
      else if (sent === this.#stream.sentBytes) this.#stream.reset(errorCode.cancel);
      else sent = this.#stream.sentBytes;
    }, this.#limits.unreadAnswerTimeoutMs);
    this.#timers.push(timer);
  }

  #cutWhenSlow(body: Readable): void {
    const timer = setTimeout(() => this.abort(), this.#limits.bodyTimeoutMs);
    this.#timers.push(timer);
    for (const event of ['end', 'close']) body.once(event, () => clearTimeout(timer));
  }

  #gone(): boolean {
    return this.#stream.closed || this.status !== undefined;
  }

  /**
   * A body that nobody reads any more must not hold the connection's flow-control window, nor its stream for as long as
   * it comes: the answer is complete, so that no error is told (RFC 9113 8.1).
   */
  #dropUnreadBody(): void {
    if (!this.body || this.#stream.remoteEnded) return;
    this.body.resume();
    const cut = (): void => {
      if (this.#stream.localSent) this.#stream.reset(errorCode.noError);
      else timer.refresh();
    };
    const timer = setTimeout(cut, this.#limits.bodyTimeoutMs);
    this.#timers.push(timer);
  }
}

/** The caller's body; the exchange ends it. */
class RequestBody extends IncomingBody {
  isWhole = false;

  constructor(stream: Http2Stream) {
    super();
    this.receiveFrom(stream);
    // Whoever reads it hears of its end by 'error' too; unheard, it would end the process.
    this.on('error', () => {});
  }

  override complete(): void {
    this.isWhole = true;
    super.complete();
  }
}

/** Resets that a caller is charged for: its own, and those that its frames made us send (CVE-2025-8671). */
function isResetOf(code: number | undefined, byPeer: boolean): boolean {
  if (code === undefined) return false;
  return byPeer ? code !== errorCode.noError : faults.has(code);
}

const faults: ReadonlySet<number> = new Set([
  errorCode.protocolError,
  errorCode.flowControlError,
  errorCode.streamClosed,
]);

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Pseudo headers come first (RFC 9113 8.3), so the rest is one slice. */
function readHead(lines: readonly string[]) {
  let method = '';
  let target = '';
  let authority = '';
  let at = 0;
  for (; lines[at]?.charCodeAt(0) === 58; at += 2) {
    const value = lines[at + 1] ?? '';
    if (lines[at] === ':method') method = value;
    else if (lines[at] === ':path') target = value;
    else if (lines[at] === ':authority') authority = value;
  }
  return { method, target, authority, headers: lines.slice(at) };
}
