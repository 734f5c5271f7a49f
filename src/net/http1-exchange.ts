import { request as startRequest } from 'node:http';
import type { Agent, ClientRequest, IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import type { Duplex } from 'node:stream';
import { Failure, errorText } from '../base/failure.ts';
import { firstHeader } from '../base/header-lines.ts';
import type { HeaderLines } from '../base/header-lines.ts';
import { countRead } from '../base/read-buffers.ts';
import { abortFailure, connectionFailure } from './node-errors.ts';
import { RequestBody } from './request-body.ts';
import type { IncomingResponse, OutgoingRequest } from './transport.ts';

/** Where the request goes: a pool of connections, or one connection that is its own and closed after it. */
export type Http1Way = { readonly agent: Agent } | { readonly socket: Duplex };

export interface Http1Settle {
  readonly resolve: (response: IncomingResponse) => void;
  readonly reject: (failure: unknown) => void;
  /** 101 with Upgrade: the socket is the caller's from here. */
  readonly onUpgrade?: (response: IncomingMessage, socket: Duplex, head: Buffer) => void;
}

/** A kept connection was closed by the peer before the request arrived: nothing has come of it. */
export class StaleConnection extends Failure {}

const maxHeaderSize = 1024 * 1024;
const noBytes = Buffer.alloc(0);

/** One HTTP/1.1 request; as a Readable it is the answer's body. */
export class Http1Exchange extends Readable {
  readonly #request: ClientRequest | undefined;
  readonly #signal: AbortSignal;
  readonly #settle: Http1Settle;
  readonly #body: RequestBody | undefined;
  #response: IncomingMessage | undefined;
  #settled = false;
  #complete = false;

  constructor(outgoing: OutgoingRequest, way: Http1Way, settle: Http1Settle) {
    super();
    this.#signal = outgoing.signal;
    this.#settle = settle;
    let request: ClientRequest;
    try {
      request = startRequest(requestOptions(outgoing, way));
    } catch (error) {
      this.#settled = true;
      if ('socket' in way) way.socket.destroy();
      settle.reject(new Failure('refused', errorText(error), { cause: error }));
      return;
    }
    this.#request = request;
    request.on('response', (response) => this.#onResponse(response));
    const { onInformation } = outgoing;
    if (onInformation) {
      request.on('information', ({ statusCode, rawHeaders }) => {
        if (statusCode > 101) onInformation(statusCode, rawHeaders);
      });
    }
    request.on('error', (error) => this.#onError(error));
    request.on('close', () => this.#onClose());
    if (settle.onUpgrade) request.on('upgrade', (...answer) => this.#onUpgrade(...answer));
    outgoing.signal.addEventListener('abort', this);
    this.#body = this.#send(outgoing, request);
  }

  get trailers(): HeaderLines {
    return this.#response?.rawTrailers ?? [];
  }

  handleEvent(): void {
    this.destroy(abortFailure(this.#signal, true));
  }

  override _read(): void {
    this.#response?.resume();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#signal.removeEventListener('abort', this);
    this.#body?.stop();
    if (!this.#complete) this.#request?.destroy();
    if (this.#settled) {
      // A lost connection between the answer and its first reader must not end the process; a late reader is told too.
      if (error && this.listenerCount('error') === 0) this.on('error', ignore);
      done(error);
      return;
    }
    this.#settled = true;
    this.#settle.reject(error ?? new Failure('cancelled', 'the request was dropped', { sent: true }));
    done();
  }

  #send({ body, headers, onBodyProgress }: OutgoingRequest, request: ClientRequest): RequestBody | undefined {
    if (!body) {
      request.end();
      return undefined;
    }
    // Node would hold the header back until the first byte of the body, which a caller may be slow to send. Its
    // `flushHeaders` writes bytes above 0x7f as UTF-8: values must arrive as they are (RFC 9110 5.5).
    request.write(noBytes);
    const length = firstHeader(headers, 'content-length');
    const carried = new RequestBody(body, request, {
      ...(length !== undefined && { maxBytes: Number(length) }),
      onProgress: onBodyProgress,
      onFailure: (cause) => this.#onBodyFailure(cause),
    });
    request.on('drain', () => carried.drained());
    return carried;
  }

  #onResponse(response: IncomingMessage): void {
    if (this.#settled) {
      response.destroy();
      return;
    }
    this.#settled = true;
    this.#response = response;
    response.on('data', (chunk: Buffer) => {
      countRead(chunk.length);
      if (!this.push(chunk)) response.pause();
    });
    response.on('end', () => this.#onEnd(response));
    response.on('error', (error) => this.#fail(connectionFailure(error, true)));
    this.#settle.resolve({
      status: response.statusCode ?? 0,
      headers: response.rawHeaders,
      body: this,
      trailers: () => this.trailers,
    });
  }

  #onEnd(response: IncomingMessage): void {
    if (!response.complete) return;
    this.#complete = true;
    this.#signal.removeEventListener('abort', this);
    this.push(null);
    // The answer is whole before the request is: the connection cannot carry another, and the rest serves nobody.
    this.#body?.stop();
    if (this.#request?.writableEnded === false) this.#request.destroy();
  }

  #onUpgrade(response: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.#signal.removeEventListener('abort', this);
    this.#body?.stop();
    this.#complete = true;
    if (this.#settled) socket.destroy();
    this.#settled = true;
    this.#settle.onUpgrade?.(response, socket, head);
  }

  #onError(error: Error): void {
    const failure = connectionFailure(error, true);
    const stale = this.#request?.reusedSocket === true && failure.kind === 'reset' && !this.#settled;
    this.#fail(stale ? new StaleConnection('reset', failure.message, { cause: error, sent: true }) : failure);
  }

  #onClose(): void {
    if (this.#complete || this.destroyed) return;
    // Buffered data of an answer that is whole still flows to its 'end'.
    if (this.#response?.complete === true) return;
    this.#fail(new Failure('reset', 'unexpected EOF', { sent: true }));
  }

  #onBodyFailure(cause: unknown): void {
    const text = `the request body failed: ${errorText(cause)}`;
    this.#fail(cause instanceof Failure ? cause : new Failure('cancelled', text, { cause, sent: true }));
  }

  #fail(failure: Failure): void {
    if (!this.#complete) this.destroy(failure);
  }
}

function ignore(): void {}

function requestOptions(outgoing: OutgoingRequest, way: Http1Way) {
  // Node writes it in capitals, which is another method (RFC 9110 9.1) than was authorized.
  if (outgoing.method !== outgoing.method.toUpperCase())
    throw new Error('net/http: a method in lower case is not sent over HTTP/1.1');
  return {
    method: outgoing.method,
    path: outgoing.target,
    headers: headerLines(outgoing),
    setHost: false,
    maxHeaderSize,
    insecureHTTPParser: false,
    ...('agent' in way
      ? { agent: way.agent, dialSignal: outgoing.signal }
      : { createConnection: () => way.socket }),
  };
}

const withBodyByRight = new Set(['POST', 'PUT', 'PATCH']);

function headerLines({ authority, headers, body, method }: OutgoingRequest): string[] {
  const lines = ['Host', authority, ...headers];
  const length = firstHeader(headers, 'content-length');
  // Node frames no body of a GET or DELETE by itself; unframed it would be the next request on the connection.
  if (body && length === undefined) lines.push('Transfer-Encoding', 'chunked');
  if (!body && length === undefined && withBodyByRight.has(method)) lines.push('Content-Length', '0');
  if (firstHeader(headers, 'transfer-encoding') !== undefined)
    throw new Error('net/http: transfer-encoding is set by the transport');
  if (length !== undefined && (!/^\d+$/.test(length) || (!body && Number(length) !== 0)))
    throw new Error('net/http: content-length does not fit the body');
  return lines;
}
