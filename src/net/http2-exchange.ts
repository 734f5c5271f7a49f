import type { Readable } from 'node:stream';
import { Failure, errorText } from '../base/failure.ts';
import type { HeaderLines } from '../base/header-lines.ts';
import { errorCode, errorName } from '../http2/frame.ts';
import { IncomingBody } from '../http2/incoming-body.ts';
import type { Http2Stream, StreamListener } from '../http2/stream.ts';
import type { Http2Session } from './http2-session.ts';
import { abortFailure } from './node-errors.ts';
import { RequestBody } from './request-body.ts';
import type { IncomingResponse, OutgoingRequest } from './transport.ts';

const noHeaders: HeaderLines = [];
const noBytes = Buffer.alloc(0);
const safeMethods = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE']);

/** What was written whole may still be on its way to a peer that has answered already. */
const lingerMs = 1000;

/**
 * The peer has not acted on the request, or nobody notices if it did (a safe method, RFC 9110 §9.2.1), and its body is
 * untouched: it may be sent again.
 */
export class Unprocessed extends Failure {}

/**
 * One request on an HTTP/2 stream. A place in `session.open` is already taken for it, and is given back when the stream
 * is closed. Most answers are whole by the time that anybody looks: a Readable is made for those that are not.
 */
export class Http2Exchange implements StreamListener {
  trailers: HeaderLines = noHeaders;
  readonly #session: Http2Session;
  readonly #signal: AbortSignal;
  readonly #resolve: (response: IncomingResponse) => void;
  readonly #reject: (failure: unknown) => void;
  readonly #stream: Http2Stream | undefined;
  readonly #requestBody: RequestBody | undefined;
  /** What has come before anybody asked for it; no more than the stream's window. */
  #arrived: Buffer[] = [];
  #body: ResponseBody | undefined;
  #answered = false;
  #complete = false;
  /** Nothing more is done for it: it was cut, or its body was taken. */
  #over = false;
  #cutBy: Error | undefined;
  readonly #repeatable: boolean;
  readonly #onInformation: OutgoingRequest['onInformation'];
  readonly #answersBefore: number;

  constructor(
    session: Http2Session,
    request: OutgoingRequest,
    settle: { resolve: (response: IncomingResponse) => void; reject: (failure: unknown) => void },
  ) {
    this.#session = session;
    this.#signal = request.signal;
    this.#onInformation = request.onInformation;
    this.#answersBefore = session.answers;
    this.#repeatable = !request.body && safeMethods.has(request.method);
    this.#resolve = settle.resolve;
    this.#reject = settle.reject;
    const stream = session.start({
      lines: headerLines(request),
      endStream: !request.body,
      isHead: request.method === 'HEAD',
      listener: this,
    });
    if (!stream) {
      session.release();
      this.#answered = true;
      // The session began to end between the place that was taken on it and now: nothing was sent.
      settle.reject(new Unprocessed('reset', 'http2: the connection takes no more requests'));
      return;
    }
    this.#stream = stream;
    request.signal.addEventListener('abort', this);
    if (request.body)
      this.#requestBody = new RequestBody(request.body, stream, {
        onProgress: request.onBodyProgress,
        onFailure: (cause) => this.#onBodyFailure(cause),
      });
  }

  /** The answer's body, for whoever reads it piece by piece. */
  get body(): Readable {
    const known = this.#body;
    if (known) return known;
    const body = new ResponseBody(this.#stream, (error) => this.cut(error));
    this.#body = body;
    for (const chunk of this.#arrived) body.receive(chunk);
    this.#arrived = [];
    if (this.#complete) body.complete();
    else if (this.#over) body.destroy(this.#cutBy);
    return body;
  }

  /** The answer's body, if all of it is here and nobody has begun to read it; it can be taken once. */
  takeWhole(): Buffer | undefined {
    if (!this.#complete || this.#over || this.#body || this.trailers.length > 0) return undefined;
    this.#over = true;
    const [first = noBytes, ...more] = this.#arrived;
    this.#arrived = [];
    return more.length === 0 ? first : Buffer.concat([first, ...more]);
  }

  /** Ends it: the peer is told, and so is whoever waits or reads. */
  cut(error: Error | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#cutBy = error;
    this.#signal.removeEventListener('abort', this);
    this.#requestBody?.stop();
    this.#arrived = [];
    this.#stream?.discardUnread();
    if (!this.#complete) this.#stream?.reset(errorCode.cancel);
    if (this.#answered) this.#body?.destroy(error);
    else {
      this.#answered = true;
      this.#reject(error ?? new Failure('cancelled', 'the request was dropped', { sent: true }));
    }
  }

  handleEvent(): void {
    this.cut(abortFailure(this.#signal, true));
  }

  // What follows is for the stream.

  headReceived(status: number, lines: string[], endStream: boolean): void {
    if (status < 200) {
      if (status > 101) this.#onInformation?.(status, lines);
      return;
    }
    if (this.#answered) return;
    this.#answered = true;
    this.#session.answers += 1;
    if (endStream) this.#finish();
    this.#resolve(new Http2Response(status, lines, this));
  }

  dataReceived(chunk: Buffer): void {
    if (this.#body) this.#body.receive(chunk);
    else this.#arrived.push(chunk);
  }

  endReceived(trailers: readonly string[]): void {
    this.trailers = trailers;
    this.#finish();
  }

  drained(): void {
    this.#requestBody?.drained();
  }

  streamClosed(code: number | undefined, byPeer: boolean): void {
    if (code === undefined || byPeer) this.#session.release();
    else this.#session.releaseAfterReset();
    if (!this.#complete && !this.#over) this.cut(this.#failure(code ?? errorCode.noError, byPeer));
  }

  #finish(): void {
    this.#complete = true;
    this.#signal.removeEventListener('abort', this);
    // What nobody has read yet is here, and nothing more will come.
    this.#stream?.discardUnread();
    this.#body?.complete();
    if (!this.#requestBody) return;
    // RFC 9113 §8.1: the answer is whole before the request is; the rest of the request serves nobody.
    this.#requestBody.stop();
    const stream = this.#stream;
    if (!stream?.localEnded) stream?.reset(errorCode.cancel);
    else if (!stream.localSent) setTimeout(() => stream.reset(errorCode.cancel), lingerMs).unref();
  }

  #failure(code: number, byPeer: boolean): Failure {
    const stream = this.#stream;
    const refused =
      (byPeer && code === errorCode.refusedStream) || (stream && this.#session.refused(stream.id));
    if (refused === true && !this.#answered) {
      const text = 'http2: the server refused the stream before processing the request';
      if (this.#requestBody?.read === true) return new Failure('reset', text);
      return new Unprocessed('reset', text);
    }
    const { failure } = this.#session;
    // A kept connection was closed by the peer before the request arrived, most likely: Go, too, sends such a one again.
    if (this.#repeatable && !this.#answered && this.#session.lostSince(this.#answersBefore))
      return new Unprocessed('reset', failure?.message ?? 'unexpected EOF', { sent: true });
    if (failure) return new Failure(failure.kind, failure.message, { cause: failure, sent: true });
    if (code === errorCode.cancel || code === errorCode.noError)
      return new Failure('reset', 'unexpected EOF', { sent: true });
    const text = byPeer ? `${errorName(code)}; received from peer` : errorName(code);
    return new Failure('reset', `stream error: ${text}`, { sent: true });
  }

  #onBodyFailure(cause: unknown): void {
    if (this.#over || this.#complete) return;
    const failure =
      cause instanceof Failure
        ? cause
        : new Failure('cancelled', `the request body failed: ${errorText(cause)}`, { cause, sent: true });
    this.cut(failure);
  }
}

/** The body of an answer that somebody reads. */
class ResponseBody extends IncomingBody {
  readonly #onDestroy: (error: Error | undefined) => void;

  constructor(stream: Http2Stream | undefined, onDestroy: (error: Error | undefined) => void) {
    super();
    this.#onDestroy = onDestroy;
    if (stream) this.receiveFrom(stream);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#onDestroy(error ?? undefined);
    // A lost connection between the answer and its first reader must not end the process; a late reader is told too.
    if (error && this.listenerCount('error') === 0) this.on('error', ignore);
    super._destroy(error, done);
  }
}

function ignore(): void {}

class Http2Response implements IncomingResponse {
  readonly status: number;
  readonly headers: HeaderLines;
  readonly #exchange: Http2Exchange;

  constructor(status: number, headers: HeaderLines, exchange: Http2Exchange) {
    this.status = status;
    this.headers = headers;
    this.#exchange = exchange;
  }

  get body(): Readable {
    return this.#exchange.body;
  }

  takeWhole(): Buffer | undefined {
    return this.#exchange.takeWhole();
  }

  trailers(): HeaderLines {
    return this.#exchange.trailers;
  }
}

function headerLines({ method, target, authority, headers }: OutgoingRequest): string[] {
  return [':method', method, ':scheme', 'https', ':authority', authority, ':path', target, ...headers];
}
