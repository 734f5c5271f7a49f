import type { OutgoingHttpHeader, OutgoingHttpHeaders } from 'node:http';
import { Writable } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { httpDate } from './http-date.ts';
import { AnswerHeaders, checkedLines } from './http2-node-headers.ts';
import type { HeaderValue } from './http2-node-headers.ts';
import type { Http2NodeRequest } from './http2-node-request.ts';

/** Where an answer goes: what the exchange gives. */
export interface AnswerSink {
  /** Sends the head; `endStream`: no body follows. Names are lower case, pseudo headers not included. */
  head(status: number, lines: string[], endStream: boolean): void;
  /** An answer before the final one (1xx). */
  inform(status: number, lines: string[]): void;
  /** Sends a piece of the body. False: nothing more is written until `onDrain` is called. */
  write(chunk: Buffer): boolean;
  /** The body is complete. */
  end(): void;
  /** Resets the stream: something went wrong half way. */
  abort(): void;
}

/**
 * The answer to a request of HTTP/2 as handlers for Node's `ServerResponse` want it. The head goes out with the first
 * bytes of the body, with its end, or by `flushHeaders`: never alone where there is more to say at once.
 */
export class Http2NodeResponse extends Writable {
  /** Whether a `date` is added where the handler sets none. */
  sendDate = true;
  /** HTTP/2 has none (RFC 9113 8.3.2). */
  statusMessage = '';
  readonly req: Http2NodeRequest;
  readonly #sink: AnswerSink;
  readonly #headers = new AnswerHeaders();
  #statusCode = 200;
  #isHeadWritten = false;
  #isHeadOut = false;
  #isEnding = false;
  #isSinkEnded = false;
  #isOver = false;
  #written: ((error?: Error | null) => void) | undefined;

  constructor(request: Http2NodeRequest, sink: AnswerSink) {
    super({
      // 'close' comes when the exchange is over, as with Node's own: until then the caller has not taken all.
      autoDestroy: false,
      // Fastify writes large bodies in pieces of 64 KiB: one alone must not count as too much.
      highWaterMark: 64 * 1024 + 1,
    });
    this.req = request;
    this.#sink = sink;
    // Without a listener an error would end the process; an answer with one is never completed.
    this.on('error', () => this.destroy());
  }

  get statusCode(): number {
    return this.#statusCode;
  }

  /** Throws a RangeError at anything but a final status. */
  set statusCode(status: number) {
    if (!Number.isInteger(status) || status < 200 || status > 599)
      throw Object.assign(new RangeError(`Invalid status code: ${status}`), {
        code: 'ERR_HTTP_INVALID_STATUS_CODE',
      });
    this.#statusCode = status;
  }

  /** The head is written, though perhaps not sent: nothing in it can be changed any more. */
  get headersSent(): boolean {
    return this.#isHeadWritten;
  }

  get finished(): boolean {
    return this.writableEnded;
  }

  /** Shared by all requests of the connection: to be looked at only. */
  get socket(): TLSSocket {
    return this.req.socket;
  }

  get connection(): TLSSocket {
    return this.req.socket;
  }

  setHeader(name: string, value: HeaderValue): this {
    this.#refuseBehindHead('set');
    this.#headers.set(name, value);
    return this;
  }

  setHeaders(headers: Headers | ReadonlyMap<string, HeaderValue>): this {
    this.#refuseBehindHead('set');
    const cookies: string[] = [];
    for (const [name, value] of headers) {
      // `Headers` gives each cookie for itself: the next one must not take the place of the one before.
      if (name === 'set-cookie') cookies.push(...[value].flat().map(String));
      else this.setHeader(name, value);
    }
    if (cookies.length > 0) this.setHeader('set-cookie', cookies);
    return this;
  }

  appendHeader(name: string, value: string | readonly string[]): this {
    this.#refuseBehindHead('append');
    this.#headers.append(name, value);
    return this;
  }

  getHeader(name: string): HeaderValue | undefined {
    return this.#headers.get(name);
  }

  getHeaders(): OutgoingHttpHeaders {
    const headers = Object.create(null) as Record<string, HeaderValue | undefined>;
    for (const name of this.#headers.names()) headers[name] = this.#headers.get(name);
    return headers as OutgoingHttpHeaders;
  }

  getHeaderNames(): string[] {
    return this.#headers.names();
  }

  hasHeader(name: string): boolean {
    return this.#headers.has(name);
  }

  removeHeader(name: string): void {
    this.#refuseBehindHead('remove');
    if (name.toLowerCase() === 'date') this.sendDate = false;
    this.#headers.remove(name);
  }

  writeHead(status: number, message?: string, headers?: OutgoingHttpHeaders | OutgoingHttpHeader[]): this;
  writeHead(status: number, headers?: OutgoingHttpHeaders | OutgoingHttpHeader[]): this;
  writeHead(
    status: number,
    first?: string | OutgoingHttpHeaders | OutgoingHttpHeader[],
    second?: OutgoingHttpHeaders | OutgoingHttpHeader[],
  ): this {
    // Nobody hears it; a handler need not know.
    if (this.destroyed) return this;
    this.#refuseBehindHead('write');
    this.statusCode = status;
    const headers = typeof first === 'object' ? first : second;
    if (headers) this.#headers.merge(headers);
    this.#isHeadWritten = true;
    return this;
  }

  flushHeaders(): void {
    if (!this.destroyed && !this.#isHeadOut) this.#sendHead(false);
  }

  writeContinue(callback?: () => void): void {
    this.writeInformation(100);
    if (callback) process.nextTick(callback);
  }

  writeProcessing(callback?: () => void): void {
    this.writeInformation(102);
    if (callback) process.nextTick(callback);
  }

  writeEarlyHints(hints: Record<string, string | string[]>, callback?: () => void): void {
    const link = [hints.link ?? []].flat().join(', ');
    if (link !== '') this.writeInformation(103, { ...hints, link });
    if (callback) process.nextTick(callback);
  }

  /** False where it comes too late. Throws a RangeError at a status that is not 1xx, or is 101. */
  writeInformation(status: number, headers: OutgoingHttpHeaders = {}): boolean {
    if (!Number.isInteger(status) || status < 100 || status > 199 || status === 101)
      throw Object.assign(new RangeError(`Invalid status code: ${status}`), {
        code: 'ERR_HTTP_INVALID_STATUS_CODE',
      });
    const lines = checkedLines(headers);
    if (this.destroyed || this.#isHeadWritten) return false;
    this.#sink.inform(status, lines);
    return true;
  }

  /** Does nothing: no handler here has trailers, which are optional to whoever reads them (RFC 9110 6.5.1). */
  addTrailers(): void {}

  /** Does nothing: the exchange has its own times. */
  setTimeout(): this {
    return this;
  }

  override end(callback?: () => void): this;
  override end(chunk: unknown, callback?: () => void): this;
  override end(chunk: unknown, encoding: BufferEncoding, callback?: () => void): this;
  override end(...given: unknown[]): this {
    const callback = given.find(isCallback);
    const [chunk, encoding] = given.filter((argument) => !isCallback(argument));
    // As Node's own for HTTP/2: to end twice, or what is gone, is no failure.
    if (this.writableEnded || this.destroyed) {
      super.end();
      if (callback) process.nextTick(callback);
      return this;
    }
    this.#isEnding = true;
    try {
      return super.end(chunk, (encoding ?? 'utf8') as BufferEncoding, callback);
    } finally {
      this.#isEnding = false;
    }
  }

  override _write(chunk: Buffer, _: BufferEncoding, callback: (error?: Error | null) => void): void {
    // The last piece says so itself: the end need not wait until there is room again.
    const isLast = (this.#isEnding || this.writableEnded) && this.writableLength === chunk.length;
    if (!this.#isHeadOut) this.#sendHead(isLast && chunk.length === 0);
    if (this.#isSinkEnded) {
      callback();
      return;
    }
    this.#written = callback;
    const goesOn = chunk.length === 0 || this.#sink.write(chunk);
    if (isLast) this.#endSink();
    if (goesOn) this.onDrain();
  }

  override _final(callback: (error?: Error | null) => void): void {
    if (!this.#isHeadOut) this.#sendHead(true);
    this.#endSink();
    callback();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    if (!this.#isOver && (!this.#isSinkEnded || this.#written)) this.#sink.abort();
    const written = this.#written;
    this.#written = undefined;
    written?.(prematureClose());
    callback(error);
  }

  /** There is room again. */
  onDrain(): void {
    const written = this.#written;
    this.#written = undefined;
    written?.();
  }

  /** The exchange is over; `complete`: the caller was sent all. */
  onEnd(complete: boolean): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.req.onEnd(complete);
    if (complete) this.onDrain();
    const isFinishing = complete && this.#isSinkEnded && !this.writableFinished && !this.errored;
    if (isFinishing) this.once('finish', () => this.destroy());
    else this.destroy();
  }

  #sendHead(isAll: boolean): void {
    this.#isHeadWritten = true;
    this.#isHeadOut = true;
    const status = this.#statusCode;
    // The same head as with the body, its length included, and nothing behind it (RFC 9110 6.4.1).
    const isBodyless = this.req.method === 'HEAD' || status === 204 || status === 304;
    if (isAll || isBodyless) this.#isSinkEnded = true;
    const lines = this.#headers.lines();
    if (this.sendDate && !this.#headers.has('date')) lines.push('date', httpDate());
    this.#sink.head(status, lines, this.#isSinkEnded);
  }

  #endSink(): void {
    if (this.#isSinkEnded || this.#isOver || this.destroyed) return;
    this.#isSinkEnded = true;
    this.#sink.end();
  }

  #refuseBehindHead(what: string): void {
    if (!this.#isHeadWritten) return;
    throw Object.assign(new Error(`Cannot ${what} headers after they are sent to the client`), {
      code: 'ERR_HTTP_HEADERS_SENT',
    });
  }
}

const isCallback = (argument: unknown): argument is () => void => typeof argument === 'function';

/** What node:stream tells whoever waits for the end of a stream that was destroyed; fastify takes it for no failure. */
const prematureClose = (): Error =>
  Object.assign(new Error('Premature close'), { code: 'ERR_STREAM_PREMATURE_CLOSE' });
