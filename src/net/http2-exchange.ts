import { subscribe } from 'node:diagnostics_channel';
import { constants } from 'node:http2';
import type { ClientHttp2Stream, IncomingHttpHeaders, IncomingHttpStatusHeader } from 'node:http2';
import { Readable, addAbortSignal } from 'node:stream';
import { Failure, errorText } from '../base/failure.ts';
import type { HeaderLines } from '../base/header-lines.ts';
import type { Http2Session } from './http2-session.ts';
import { abortFailure, connectionFailure } from './node-errors.ts';
import { RequestBody } from './request-body.ts';
import type { IncomingResponse, OutgoingRequest } from './transport.ts';

const { NGHTTP2_CANCEL, NGHTTP2_REFUSED_STREAM, NGHTTP2_FLAG_END_STREAM } = constants;
const noHeaders: HeaderLines = [];
const safeMethods = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE']);

/**
 * The peer has not acted on the request, or nobody notices if it did (a safe method, RFC 9110 §9.2.1), and its body is
 * untouched: it may be sent again.
 */
export class Unprocessed extends Failure {}

/** The stream carries its exchange, so that its listeners are plain functions and a request makes no closures. */
interface CarryingStream extends ClientHttp2Stream {
  exchange: Http2Exchange;
}

/**
 * One request on an HTTP/2 stream; as a Readable it is the answer's body. A place in `session.open` is already taken
 * for it, and is given back when the stream is closed.
 */
export class Http2Exchange extends Readable {
  trailers: HeaderLines = noHeaders;
  readonly #session: Http2Session;
  readonly #signal: AbortSignal;
  readonly #resolve: (response: IncomingResponse) => void;
  readonly #reject: (failure: unknown) => void;
  readonly #stream: CarryingStream | undefined;
  readonly #body: RequestBody | undefined;
  #error: unknown;
  #answered = false;
  #complete = false;
  #flowing = true;
  /** Bytes of the answer that `content-length` promises and that have not come. */
  #missing = 0;
  #cutShort = false;
  readonly #head: boolean;
  readonly #repeatable: boolean;
  readonly #onInformation: OutgoingRequest['onInformation'];
  readonly #answersBefore: number;

  constructor(
    session: Http2Session,
    request: OutgoingRequest,
    settle: { resolve: (response: IncomingResponse) => void; reject: (failure: unknown) => void },
  ) {
    super();
    this.#session = session;
    this.#signal = request.signal;
    this.#head = request.method === 'HEAD';
    this.#onInformation = request.onInformation;
    this.#answersBefore = session.answers;
    this.#repeatable = !request.body && safeMethods.has(request.method);
    this.#resolve = settle.resolve;
    this.#reject = settle.reject;
    let stream: CarryingStream;
    try {
      stream = session.start(headerLines(request), !request.body) as CarryingStream;
    } catch (error) {
      session.release();
      this.#answered = true;
      const text = errorText(error);
      // The session began to end between the place that was taken on it and now: nothing was sent.
      settle.reject(
        session.usable
          ? new Failure('refused', text, { cause: error })
          : new Unprocessed('reset', text, { cause: error }),
      );
      return;
    }
    this.#stream = stream;
    stream.exchange = this;
    stream.on('response', onResponse);
    if (request.onInformation) stream.on('headers', onHeaders);
    stream.on('error', onError);
    stream.on('close', onClose);
    request.signal.addEventListener('abort', this);
    if (request.body)
      this.#body = new RequestBody(request.body, stream, {
        onProgress: request.onBodyProgress,
        onFailure: (cause) => this.#onBodyFailure(cause),
      });
  }

  handleEvent(): void {
    this.destroy(abortFailure(this.#signal, true));
  }

  override _read(): void {
    const stream = this.#stream;
    if (this.#flowing || this.#complete || !stream) return;
    this.#flowing = true;
    stream.resume();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#signal.removeEventListener('abort', this);
    this.#body?.stop();
    if (!this.#complete) cancel(this.#stream);
    if (this.#answered) {
      // A lost connection between the answer and its first reader must not end the process; a late reader is told too.
      if (error && this.listenerCount('error') === 0) this.on('error', ignore);
      done(error);
      return;
    }
    // Nobody holds this Readable yet: the promise tells, an 'error' event would be unheard.
    this.#answered = true;
    this.#reject(error ?? new Failure('cancelled', 'the request was dropped', { sent: true }));
    done();
  }

  onResponse(
    headers: IncomingHttpHeaders & IncomingHttpStatusHeader,
    flags: number,
    rawHeaders: string[],
  ): void {
    if (this.#answered) return;
    this.#answered = true;
    this.#session.answers += 1;
    const stream = this.#stream;
    if (!stream) return;
    if ((flags & NGHTTP2_FLAG_END_STREAM) !== 0) {
      // Nobody need read a body that cannot be: the place is free at once.
      this.#finish();
      stream.resume();
    } else {
      const length = headers['content-length'];
      // Trailers come without a length in all that sends them (RFC 9110 §6.5.1 lets us drop others): one listener saved.
      if (length === undefined) stream.on('trailers', onTrailers);
      else if (!this.#head && headers[':status'] !== 304) this.#missing = Number(length);
      stream.on('data', onData);
      stream.on('end', onEnd);
    }
    this.#resolve(new Http2Response(headers[':status'] ?? 0, rawHeaders, this));
  }

  onHeaders(status: number, rawHeaders: string[]): void {
    // A block of headers behind the answer is none of these.
    if (status > 101 && status < 200) this.#onInformation?.(status, withoutStatus(rawHeaders));
  }

  onData(chunk: Buffer): void {
    this.#missing -= chunk.length;
    if (this.push(chunk)) return;
    this.#flowing = false;
    this.#stream?.pause();
  }

  onEnd(): void {
    // Node also says 'end' when a reset or a lost connection cut the answer short; then 'close' tells.
    if (this.#stream?.rstCode === 0 && !this.#cutShort && this.#missing <= 0) this.#finish();
  }

  /** The stream is closed, and END_STREAM has not come. */
  onCutShort(): void {
    this.#cutShort = true;
  }

  onError(error: Error): void {
    this.#error = error;
  }

  onClose(): void {
    this.#session.release();
    if (this.#complete || this.destroyed) return;
    this.destroy(this.#failure());
  }

  #finish(): void {
    this.#complete = true;
    this.#signal.removeEventListener('abort', this);
    this.push(null);
    if (!this.#body) return;
    // RFC 9113 §8.1: the answer is whole before the request is; the rest of the request serves nobody.
    this.#body.stop();
    const stream = this.#stream;
    if (!stream?.writableEnded) cancel(stream);
    else if (!stream.writableFinished) setTimeout(() => cancel(stream), lingerMs).unref();
  }

  #failure(): Failure {
    const stream = this.#stream;
    const code = stream?.rstCode ?? 0;
    const refused =
      stream?.id === undefined || code === NGHTTP2_REFUSED_STREAM || this.#session.refused(stream.id);
    if (refused && !this.#answered) {
      const text = 'http2: the server refused the stream before processing the request';
      if (this.#body?.read === true) return new Failure('reset', text, { cause: this.#error });
      return new Unprocessed('reset', text, { cause: this.#error });
    }
    const { failure } = this.#session;
    // A kept connection was closed by the peer before the request arrived, most likely: Go, too, sends such a one again.
    if (this.#repeatable && !this.#answered && this.#session.lostSince(this.#answersBefore))
      return new Unprocessed('reset', failure?.message ?? 'unexpected EOF', {
        cause: this.#error,
        sent: true,
      });
    if (failure) return new Failure(failure.kind, failure.message, { cause: failure, sent: true });
    if (!this.#error && (code === NGHTTP2_CANCEL || code === 0))
      return new Failure('reset', 'unexpected EOF', { sent: true });
    if (code !== 0)
      return new Failure('reset', `stream error: ${errorName(code)}; received from peer`, {
        cause: this.#error,
        sent: true,
      });
    return connectionFailure(this.#error, true);
  }

  #onBodyFailure(cause: unknown): void {
    if (this.destroyed || this.#complete) return;
    const failure =
      cause instanceof Failure
        ? cause
        : new Failure('cancelled', `the request body failed: ${errorText(cause)}`, { cause, sent: true });
    this.destroy(failure);
  }
}

/** `destroy` resets with CANCEL for Node's own AbortError alone, which only this way makes. */
const cancelled = AbortSignal.abort();

/** What was written whole may still be on its way to a peer that has answered already. */
const lingerMs = 1000;

function cancel(stream: ClientHttp2Stream | undefined): void {
  // Closed by the peer with data that nobody will read: Node would wait for its reader for ever.
  if (stream?.closed) stream.destroy();
  // `close` would end the body first, and half an upload would look whole: END_STREAM, then RST_STREAM.
  else if (stream?.writableEnded === false) addAbortSignal(cancelled, stream);
  else stream?.close(NGHTTP2_CANCEL);
}

function ignore(): void {}

class Http2Response implements IncomingResponse {
  readonly status: number;
  readonly headers: HeaderLines;
  readonly body: Http2Exchange;

  constructor(status: number, rawHeaders: string[], body: Http2Exchange) {
    this.status = status;
    this.headers = withoutStatus(rawHeaders);
    this.body = body;
  }

  trailers(): HeaderLines {
    return this.body.trailers;
  }
}

/** RFC 9113 §8.3: pseudo headers come first, and an answer has only this one. */
function withoutStatus(rawHeaders: string[]): HeaderLines {
  return rawHeaders[0] === ':status' ? rawHeaders.slice(2) : rawHeaders;
}

function headerLines({ method, target, authority, headers }: OutgoingRequest): string[] {
  // All four, or Node makes them up from the session's URL.
  return [':method', method, ':scheme', 'https', ':authority', authority, ':path', target, ...headers];
}

/** RFC 9113 §7, in order of their codes. */
const errorNames =
  'NO_ERROR PROTOCOL_ERROR INTERNAL_ERROR FLOW_CONTROL_ERROR SETTINGS_TIMEOUT STREAM_CLOSED FRAME_SIZE_ERROR REFUSED_STREAM CANCEL COMPRESSION_ERROR CONNECT_ERROR ENHANCE_YOUR_CALM INADEQUATE_SECURITY HTTP_1_1_REQUIRED'.split(
    ' ',
  );

function errorName(code: number): string {
  return errorNames[code] ?? `code ${code}`;
}

/**
 * RST_STREAM with NO_ERROR in the middle of an answer, as Envoy sends it when its upstream is lost, ends the stream in
 * Node like END_STREAM does. At the moment of closing the difference shows.
 */
subscribe('http2.client.stream.close', (message) => {
  const { stream } = message as { readonly stream: Partial<CarryingStream> & Internals };
  if (stream.exchange && stream._readableState?.ended === false) stream.exchange.onCutShort();
});

interface Internals {
  /** Private to Node but for two decades unchanged: nothing public says that the end has come and is not yet read. */
  readonly _readableState?: { readonly ended: boolean };
}

// What follows are listeners: `this` is the stream.
type Answer = [headers: IncomingHttpHeaders & IncomingHttpStatusHeader, flags: number, raw: string[]];

function onResponse(this: CarryingStream, ...[headers, flags, raw]: Answer): void {
  this.exchange.onResponse(headers, flags, raw);
}
function onHeaders(this: CarryingStream, ...[headers, , raw]: Answer): void {
  this.exchange.onHeaders(headers[':status'] ?? 0, raw);
}
function onTrailers(this: CarryingStream, ...[, , raw]: Answer): void {
  this.exchange.trailers = raw;
}
function onData(this: CarryingStream, chunk: Buffer): void {
  this.exchange.onData(chunk);
}
function onEnd(this: CarryingStream): void {
  this.exchange.onEnd();
}
function onError(this: CarryingStream, error: Error): void {
  this.exchange.onError(error);
}
function onClose(this: CarryingStream): void {
  this.exchange.onClose();
}
