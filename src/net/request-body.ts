import type { Readable } from 'node:stream';

export interface RequestBodyOptions {
  /** What `content-length` promises: sending more would start a second request on a shared HTTP/1.1 connection. */
  readonly maxBytes?: number;
  /** A piece of the body was sent on. */
  readonly onProgress?: (() => void) | undefined;
  /** The body failed, ended early or is longer than promised. */
  readonly onFailure: (cause: unknown) => void;
}

/** Where a body goes: a Writable, or an HTTP/2 stream. Whoever owns it tells by `RequestBody.drained` that it has room again. */
export interface BodySink {
  /** False: wait before the next piece. */
  write(chunk: Buffer): boolean;
  end(): unknown;
}

/** Sends a caller's body into a request with back-pressure. Unlike `pipe`, it never ends or destroys the caller's stream. */
export class RequestBody {
  /** Bytes were taken from the caller: the request cannot be repeated. */
  read = false;
  readonly #from: Readable;
  readonly #into: BodySink;
  readonly #options: RequestBodyOptions;
  #bytes = 0;
  #stopped = false;

  constructor(from: Readable, into: BodySink, options: RequestBodyOptions) {
    this.#from = from;
    this.#into = into;
    this.#options = options;
    from.on('data', this.#onData);
    from.on('end', this.#onEnd);
    from.on('error', this.#onError);
    from.on('close', this.#onClose);
    if (from.readableEnded) this.#onEnd();
    else if (from.destroyed) this.#onClose();
  }

  /** Lets go of the caller's body. It stays paused where it is. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    const from = this.#from;
    from.off('data', this.#onData);
    from.off('end', this.#onEnd);
    from.off('close', this.#onClose);
    from.off('error', this.#onError);
    // Nobody else may listen: an error after the answer must not end the process.
    if (from.listenerCount('error') === 0) from.on('error', ignore);
    if (!from.readableEnded) from.pause();
  }

  #onData = (chunk: Buffer): void => {
    this.read = true;
    this.#bytes += chunk.length;
    if (this.#bytes > (this.#options.maxBytes ?? Infinity)) {
      this.#fail(new Error('http: ContentLength limits the body to fewer bytes than it has'));
      return;
    }
    this.#options.onProgress?.();
    if (!this.#into.write(chunk)) this.#from.pause();
  };

  /** There is room for more. */
  drained(): void {
    if (!this.#stopped) this.#from.resume();
  }

  #onEnd = (): void => {
    this.read = true;
    const promised = this.#options.maxBytes;
    if (promised !== undefined && this.#bytes < promised) {
      this.#fail(new Error('http: ContentLength promises more bytes than the body has'));
      return;
    }
    this.stop();
    this.#into.end();
  };

  #onError = (error: Error): void => this.#fail(error);

  #onClose = (): void => this.#fail(new Error('the request body ended early'));

  #fail(cause: unknown): void {
    this.stop();
    this.#options.onFailure(cause);
  }
}

function ignore(): void {}
