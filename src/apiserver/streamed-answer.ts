import type { Readable } from 'node:stream';
import type { Http2Stream } from '../http2/stream.ts';
import type { StreamedBody } from './exchange.ts';

export interface StreamedAnswerListeners {
  /** All of it was handed to the stream. */
  readonly onComplete: () => void;
  /** It ended before it was whole. */
  readonly onBroken: () => void;
}

/** Sends a body on a stream as fast as its reader reads. A pipe would need a Writable for each stream. */
export class StreamedAnswer {
  readonly body: Readable;
  readonly #stream: Http2Stream;
  readonly #trailers: StreamedBody['trailers'];
  readonly #listeners: StreamedAnswerListeners;
  #over = false;

  constructor(stream: Http2Stream, { body, trailers }: StreamedBody, listeners: StreamedAnswerListeners) {
    this.body = body;
    this.#stream = stream;
    this.#trailers = trailers;
    this.#listeners = listeners;
    body.on('data', this.#onData);
    body.on('end', this.#onEnd);
    body.on('error', this.#onBroken);
    body.on('close', this.#onBroken);
    if (body.destroyed) this.#onBroken();
  }

  /** There is room for more. */
  drained(): void {
    if (!this.#over) this.body.resume();
  }

  /** The stream is over: nobody reads what still comes. */
  closed(): void {
    this.#over = true;
    this.body.destroy();
  }

  /** Sends no more of the body. */
  letGo(): void {
    this.#over = true;
    this.body.off('data', this.#onData);
  }

  readonly #onData = (chunk: Buffer): void => {
    if (!this.#stream.write(chunk)) this.body.pause();
  };

  readonly #onEnd = (): void => {
    if (this.#over) return;
    this.#over = true;
    this.#stream.end(undefined, this.#trailers?.());
    this.#listeners.onComplete();
  };

  readonly #onBroken = (): void => {
    if (this.#over) return;
    this.#over = true;
    this.#listeners.onBroken();
  };
}
