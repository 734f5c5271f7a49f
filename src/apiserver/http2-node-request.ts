import type { IncomingHttpHeaders } from 'node:http';
import { Readable } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import type { HeaderLines } from '../base/header-lines.ts';
import { headersObject } from './http2-node-headers.ts';

export interface Http2NodeRequestOptions {
  readonly method: string;
  /** As it came on the wire. */
  readonly target: string;
  /** Without pseudo headers; names in lower case. */
  readonly headers: HeaderLines;
  /** Empty where the request names none. */
  readonly authority: string;
  readonly socket: TLSSocket;
  /** Undefined where the request has no body. */
  readonly body: Readable | undefined;
}

/** A request of HTTP/2 as handlers for Node's `IncomingMessage` want it. */
export class Http2NodeRequest extends Readable {
  method: string;
  url: string;
  readonly httpVersion = '2.0';
  readonly httpVersionMajor = 2;
  readonly httpVersionMinor = 0;
  readonly scheme = 'https';
  readonly authority: string;
  readonly #socket: TLSSocket;
  readonly #lines: HeaderLines;
  readonly #body: Readable | undefined;
  #headers: IncomingHttpHeaders | undefined;
  #isReading = false;
  #aborted = false;

  constructor(options: Http2NodeRequestOptions) {
    // 'close' means that the exchange is over, not that the body was read: fastify cancels work by it.
    super({ autoDestroy: false });
    this.method = options.method;
    this.url = options.target;
    this.authority = options.authority;
    this.#socket = options.socket;
    this.#lines = options.headers;
    this.#body = options.body;
    // Who went away is no failure of a handler that does not listen; without a listener it would end the process.
    this.on('error', () => {});
  }

  /** Shared by all requests of the connection: to be looked at only. */
  get socket(): TLSSocket {
    return this.#socket;
  }

  get connection(): TLSSocket {
    return this.#socket;
  }

  get headers(): IncomingHttpHeaders {
    return (this.#headers ??= headersObject(this.#lines, this.authority));
  }

  get rawHeaders(): string[] {
    return [...this.#lines];
  }

  /** Always empty: nobody here reads trailers of a request. */
  get trailers(): Record<string, string> {
    return {};
  }

  get rawTrailers(): string[] {
    return [];
  }

  /** The caller went away before the answer was complete, or the body broke off. */
  get aborted(): boolean {
    return this.#aborted;
  }

  /** All of the body has come. */
  get complete(): boolean {
    return this.#body?.readableEnded ?? true;
  }

  /** Does nothing: the exchange has its own times. */
  setTimeout(): this {
    return this;
  }

  /** The exchange is over; `complete`: in good order. */
  onEnd(complete: boolean): void {
    const isRead = !this.#isReading || this.readableEnded;
    if (!complete) this.#abort(isRead ? undefined : goneError());
    else if (isRead) this.destroy();
    // Its last bytes are here, but the handler has not taken them yet.
    else this.once('end', () => this.destroy());
  }

  override _read(): void {
    const body = this.#body;
    if (!body) {
      this.push(null);
      return;
    }
    // Not before: the body belongs to whoever reads it first, and that need not be by this object.
    if (!this.#isReading) {
      this.#isReading = true;
      this.#follow(body);
    }
    body.resume();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    // The rest must not hold the connection's window (RFC 9113 8.1); its end is the exchange's affair.
    if (this.#isReading) this.#body?.resume();
    callback(error);
  }

  #follow(body: Readable): void {
    if (body.readableEnded) {
      this.push(null);
      return;
    }
    if (body.destroyed) {
      this.#abort(body.errored ?? goneError());
      return;
    }
    body.on('data', (chunk: Buffer) => {
      if (!this.destroyed && !this.push(chunk)) body.pause();
    });
    body.once('end', () => this.push(null));
    body.on('error', (error: Error) => this.#abort(error));
    // A close without an end: half a body must not look whole.
    body.once('close', () => {
      if (!body.readableEnded) this.#abort(goneError());
    });
  }

  #abort(error: Error | undefined): void {
    const isFirst = !this.#aborted;
    this.#aborted = true;
    // First the error: at 'aborted' node:stream already tells whoever waits for the end what it was.
    this.destroy(error);
    if (isFirst) this.emit('aborted');
  }
}

/** What Node's server says then. */
const goneError = (): Error => Object.assign(new Error('aborted'), { code: 'ECONNRESET' });
