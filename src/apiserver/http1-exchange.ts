import { STATUS_CODES } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex, Readable } from 'node:stream';
import { firstHeader } from '../base/header-lines.ts';
import type { HeaderLines } from '../base/header-lines.ts';
import type { ClientConnection } from './client-connection.ts';
import type { Exchange, NodePair, StreamedBody, UpgradeSide } from './exchange.ts';
import { onFirstRead } from './expect-continue.ts';
import type { ListenerLimits } from './listener-limits.ts';
import { discardRest, isTooLongToDiscard } from './unread-body.ts';

const noBytes = Buffer.alloc(0);

const hasBody = (headers: IncomingMessage['headers']) =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;

/** What both kinds of HTTP/1.1 exchange share: the request, and the end of the exchange. */
abstract class Http1Base {
  readonly protocol = 'HTTP/1.1';
  readonly method: string;
  readonly target: string;
  readonly headers: HeaderLines;
  readonly connection: ClientConnection;
  readonly body: Readable | undefined;
  protected readonly request: IncomingMessage;
  #answered: number | undefined;
  #onHead: ((status: number) => void) | undefined;
  readonly #endListeners: (() => void)[] = [];
  #controller: AbortController | undefined;
  #ended = false;

  constructor(request: IncomingMessage, connection: ClientConnection) {
    this.request = request;
    this.method = request.method ?? '';
    this.target = request.url ?? '';
    this.headers = request.rawHeaders;
    this.connection = connection;
    this.body = hasBody(request.headers) ? request : undefined;
    request.on('error', () => {});
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

  protected get answered(): number | undefined {
    return this.#answered;
  }

  protected set answered(status: number | undefined) {
    this.#answered = status;
    if (status !== undefined) this.#onHead?.(status);
  }

  onHead(listener: (status: number) => void): void {
    this.#onHead = listener;
  }

  onEnd(listener: () => void): void {
    if (this.#ended) listener();
    else this.#endListeners.push(listener);
  }

  protected end(complete: boolean): void {
    if (this.#ended) return;
    this.#ended = true;
    if (!complete) this.#controller?.abort(new Error('the caller went away'));
    for (const listener of this.#endListeners) listener();
  }
}

/** An ordinary request of an HTTP/1.1 connection. */
export class Http1Exchange extends Http1Base implements Exchange {
  readonly isUpgrade = false;
  readonly #response: ServerResponse;
  readonly #limits: ListenerLimits;
  #streamed: Readable | undefined;

  constructor(options: {
    request: IncomingMessage;
    response: ServerResponse;
    connection: ClientConnection;
    limits: ListenerLimits;
    /** Nothing has told the caller yet that its body is wanted. */
    expectsContinue: boolean;
  }) {
    super(options.request, options.connection);
    const { response } = options;
    this.#response = response;
    this.#limits = options.limits;
    response.on('error', () => {});
    response.on('close', () => this.end(response.writableFinished));
    if (!options.expectsContinue) return;
    if (this.body) onFirstRead(this.body, () => this.inform(100, []));
    // There is nothing to send, but behind an answer without it Node's server ends the connection.
    else this.inform(100, []);
  }

  get status(): number | undefined {
    return this.answered ?? (this.#response.headersSent ? this.#response.statusCode : undefined);
  }

  inform(status: number, headers: HeaderLines): void {
    if (this.#gone() || this.request.httpVersion === '1.0') return;
    if (status === 100) {
      this.#response.writeContinue();
      return;
    }
    // Without a socket another answer of the same connection is still on its way out.
    this.#response.socket?.write(responseHead(status, headers, STATUS_CODES[status]), 'latin1');
  }

  respond(status: number, headers: HeaderLines, body?: string | Uint8Array): void {
    if (this.#gone()) return;
    this.#writeHead(status, headers);
    this.#response.end(body);
    this.#endUnreadBody();
    this.#cutWhenUnread();
  }

  stream(status: number, headers: HeaderLines, { body, trailers }: StreamedBody): void {
    if (this.#gone()) {
      body.destroy();
      return;
    }
    const response = this.#response;
    this.#writeHead(status, headers);
    // A stream that says nothing yet (a watch) must still show its headers. Node's `flushHeaders` writes bytes above 0x7f
    // as UTF-8: values must arrive as they are (RFC 9110 5.5).
    response.write(noBytes);
    body.once('error', () => this.abort());
    response.once('close', () => body.destroy());
    body.once('end', () => {
      if (trailers) response.addTrailers(pairs(trailers()));
      response.end();
      this.#endUnreadBody();
      this.#cutWhenUnread();
    });
    body.pipe(response, { end: false });
    this.#streamed = body;
  }

  finish(): void {
    if (!this.#streamed || this.#response.destroyed) return;
    this.#streamed.unpipe(this.#response);
    this.#response.end();
    this.#endUnreadBody();
    this.#cutWhenUnread();
    this.#streamed.destroy();
  }

  nodePair(): NodePair {
    this.#cutWhenUnread();
    if (this.body) this.#cutWhenSlow(this.body);
    return { request: this.request, response: this.#response };
  }

  takeSocket(): UpgradeSide {
    throw new Error('this request asks for no upgrade');
  }

  abort(): void {
    this.request.socket.destroy();
  }

  closeConnectionAfter(): void {
    this.#response.shouldKeepAlive = false;
  }

  /** As with HTTP/2: an answer that is complete and of which nothing moves. */
  #cutWhenUnread(): void {
    const response = this.#response;
    if (response.writableFinished || response.destroyed) return;
    response.removeAllListeners('timeout');
    // The socket's time: bytes that the caller takes put it off, and the next request begins with its own.
    response.setTimeout(this.#limits.unreadAnswerTimeoutMs, () => {
      if (response.writableEnded) this.request.socket.destroy();
      else this.#cutWhenUnread();
    });
  }

  #cutWhenSlow(body: Readable): void {
    const timer = setTimeout(() => this.request.socket.destroy(), this.#limits.bodyTimeoutMs);
    for (const event of ['end', 'close']) body.once(event, () => clearTimeout(timer));
  }

  #gone(): boolean {
    return this.#response.destroyed || this.#response.headersSent;
  }

  #writeHead(status: number, headers: HeaderLines): void {
    this.answered = status;
    if (firstHeader(headers, 'date') !== undefined) this.#response.sendDate = false;
    if (isTooLongToDiscard(this.request)) this.#response.shouldKeepAlive = false;
    this.#response.writeHead(status, [...headers]);
  }

  /** The rest of a body that nobody wants; called when the answer is complete. */
  #endUnreadBody(): void {
    if (this.body && !this.request.readableEnded) discardRest(this.request);
  }
}

/** A request for an upgrade: its answer is written by whoever takes the socket, or here when it is refused. */
export class UpgradeExchange extends Http1Base implements Exchange {
  readonly isUpgrade = true;
  /** Nothing: what comes next is the protocol that was asked for, or a refusal. */
  readonly inform = (): void => {};
  readonly #socket: Duplex;
  readonly #head: Buffer;

  constructor(options: {
    request: IncomingMessage;
    socket: Duplex;
    head: Buffer;
    connection: ClientConnection;
  }) {
    super(options.request, options.connection);
    this.#socket = options.socket;
    this.#head = options.head;
    this.#socket.on('error', () => {});
    this.#socket.on('close', () => this.end(false));
  }

  get status(): number | undefined {
    return this.answered;
  }

  respond(status: number, headers: HeaderLines, body: string | Uint8Array = ''): void {
    if (this.answered !== undefined || this.#socket.destroyed) return;
    this.answered = status;
    const length = Buffer.byteLength(body);
    const lines = [
      ...headers.filter((_, i, all) => !isFraming(all[i - (i % 2)])),
      'Content-Length',
      String(length),
    ];
    this.#socket.write(responseHead(status, [...lines, 'Connection', 'close']));
    // Bytes pipelined behind a refused upgrade are never read (CVE-2018-1002105's lesson).
    this.#endSoon(body);
  }

  stream(status: number, headers: HeaderLines, { body }: StreamedBody): void {
    if (this.answered !== undefined || this.#socket.destroyed) {
      body.destroy();
      return;
    }
    this.answered = status;
    const lines = headers.filter((_, i, all) => !isFraming(all[i - (i % 2)]));
    // Without a length the end of the connection ends the body (RFC 9112 6.3).
    this.#socket.write(responseHead(status, [...lines, 'Connection', 'close']));
    body.once('error', () => this.abort());
    this.#socket.once('close', () => body.destroy());
    body.pipe(this.#socket, { end: false });
    body.once('end', () => this.#endSoon(''));
  }

  finish(): void {
    this.#socket.end();
  }

  nodePair(): NodePair {
    throw new Error('an upgrade has no response object');
  }

  takeSocket(status: number): UpgradeSide {
    this.answered = status;
    return { socket: this.#socket, head: this.#head };
  }

  abort(): void {
    this.#socket.destroy();
  }

  /** Nothing to do: no request follows one for an upgrade. */
  closeConnectionAfter(): void {}

  #endSoon(body: string | Uint8Array): void {
    this.#socket.end(body);
    // The same grace that kube-aggregator gives a refused upgrade's answer (apimachinery upgradeaware.go).
    const timer = setTimeout(() => this.#socket.destroy(), 10_000);
    timer.unref();
    this.#socket.once('finish', () => {
      clearTimeout(timer);
      this.#socket.destroy();
    });
  }
}

const framing = new Set(['connection', 'content-length', 'transfer-encoding', 'keep-alive', 'upgrade']);
const isFraming = (name: string | undefined) => framing.has((name ?? '').toLowerCase());

/** The head of an HTTP/1.1 response, for sockets that Node's server has let go. */
export function responseHead(status: number, headers: HeaderLines, reason = ''): string {
  let head = `HTTP/1.1 ${status} ${reason}\r\n`;
  for (let i = 0; i + 1 < headers.length; i += 2) head += `${headers[i] ?? ''}: ${headers[i + 1] ?? ''}\r\n`;
  return `${head}\r\n`;
}

function pairs(lines: HeaderLines): [string, string][] {
  const result: [string, string][] = [];
  for (let i = 0; i + 1 < lines.length; i += 2) result.push([lines[i] ?? '', lines[i + 1] ?? '']);
  return result;
}
