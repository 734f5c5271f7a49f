import type { Http2ConnectionOwner } from '../connection-options.ts';
import type { Http2Stream, StreamListener } from '../stream.ts';

/** What listeners were told against the rules that `StreamListener` states; a test of streams expects none. */
export const violations: string[] = [];

/** Notes what a stream tells, and whether it may. */
export class Recorder implements StreamListener {
  stream: Http2Stream | undefined;
  readonly informed: [number, string[]][] = [];
  status: number | undefined;
  lines: string[] = [];
  readonly chunks: Buffer[] = [];
  trailers: readonly string[] | undefined;
  drains = 0;
  closed: { readonly code: number | undefined; readonly byPeer: boolean } | undefined;
  /** Bytes that came and were not read. */
  held = 0;
  /** False: nobody reads. */
  reads = true;
  onDrained: () => void = () => {};
  onClosed: () => void = () => {};
  onData: () => void = () => {};
  onHead: () => void = () => {};
  readonly #isAnswer: boolean;
  #hasHead: boolean;
  #hasEnd = false;

  /** `isAnswer`: a head is to come first. */
  constructor({ isAnswer }: { readonly isAnswer: boolean }) {
    this.#isAnswer = isAnswer;
    this.#hasHead = !isAnswer;
  }

  get body(): Buffer {
    return Buffer.concat(this.chunks);
  }

  get ended(): boolean {
    return this.#hasEnd;
  }

  headReceived(status: number, lines: string[], endStream: boolean): void {
    this.#check('head', this.#isAnswer && !this.#hasHead && !this.#hasEnd);
    if (status < 200) {
      this.#check('an end with 1xx', !endStream);
      this.informed.push([status, lines]);
    } else {
      this.#hasHead = true;
      this.#hasEnd = endStream;
      this.status = status;
      this.lines = lines;
    }
    this.onHead();
  }

  dataReceived(chunk: Buffer): void {
    this.#check('data', this.#hasHead && !this.#hasEnd && chunk.length > 0);
    this.chunks.push(chunk);
    this.held += chunk.length;
    if (this.reads) this.readAll();
    this.onData();
  }

  readAll(): void {
    const { held } = this;
    this.held = 0;
    if (held > 0) this.stream?.consumed(held);
  }

  endReceived(trailers: readonly string[]): void {
    this.#check('end', this.#hasHead && !this.#hasEnd);
    this.#hasEnd = true;
    this.trailers = trailers;
  }

  drained(): void {
    this.#check('drained', true);
    this.drains += 1;
    this.onDrained();
  }

  streamClosed(code: number | undefined, byPeer: boolean): void {
    this.#check('closed', true);
    if (code === undefined) this.#check('closed without an end', this.#hasEnd);
    this.closed = { code, byPeer };
    this.onClosed();
  }

  #check(what: string, isAllowed: boolean): void {
    if (!isAllowed) violations.push(`${what} out of turn`);
    if (this.closed) violations.push(`${what} after the end`);
  }
}

/** Notes what a connection tells. */
export class OwnerRecorder implements Http2ConnectionOwner {
  settings = 0;
  pongs = 0;
  readonly goaways: number[] = [];
  readonly closes: (Error | undefined)[] = [];
  readonly #onClosed: () => void;

  constructor(onClosed: () => void) {
    this.#onClosed = onClosed;
  }

  onSettings(): void {
    this.settings += 1;
  }

  onGoaway(lastStreamId: number): void {
    this.goaways.push(lastStreamId);
  }

  onPong(): void {
    this.pongs += 1;
  }

  onClose(error: Error | undefined): void {
    this.closes.push(error);
    this.#onClosed();
  }
}
