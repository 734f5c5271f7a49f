import { errorCode, maxWindowBytes } from './frame.ts';
import type { FrameSender, WaitingStream } from './frame-sender.ts';
import { checkResponseHead, checkTrailers } from './message-check.ts';

/** Who is told what the peer does with a stream. No call comes after `streamClosed`. */
export interface StreamListener {
  /** The head of an answer (clients), without `:status`; 1xx ones too, before the one that counts. */
  headReceived(status: number, lines: string[], endStream: boolean): void;
  /** A piece of the body; who has read it says so by `Http2Stream.consumed`. */
  dataReceived(chunk: Buffer): void;
  /** The peer's side is complete; `trailers` are the lines behind its body. */
  endReceived(trailers: readonly string[]): void;
  /** There is room again after `write` gave false. */
  drained(): void;
  /** The stream is over. `code` is undefined when both sides came to their end, else why it was cut, and by whom. */
  streamClosed(code: number | undefined, byPeer: boolean): void;
}

/** Of a stream that nobody has taken. */
export const silentListener: StreamListener = {
  headReceived() {},
  dataReceived() {},
  endReceived() {},
  drained() {},
  streamClosed() {},
};

/** What a stream needs of its connection, beside the sender. */
export interface StreamOwner {
  /** How far the peer may send ahead on each stream. */
  readonly streamWindowBytes: number;
  consumed(bytes: number): void;
  onStreamClosed(stream: Http2Stream): void;
}

const noLines: readonly string[] = [];

/**
 * One stream (RFC 9113 5): its two windows and its two ends. It sends as much as the windows allow and keeps the rest,
 * which is no more than its producer had in hand when it was told to wait.
 */
export class Http2Stream implements WaitingStream {
  readonly id: number;
  listener: StreamListener;
  readonly #owner: StreamOwner;
  readonly #sender: FrameSender;
  #sendWindow: number;
  /** What does not fit the windows yet. */
  #unsent: Buffer[] = [];
  #endIsQueued = false;
  #trailers: readonly string[] | undefined;
  #localEnded = false;
  #remoteEnded: boolean;
  #closed = false;
  #sentBytes = 0;
  #waitsForDrain = false;
  /** Bytes that the peer may still send. */
  #receiveWindow: number;
  /** Bytes that were read and whose credit the peer has not been given. */
  #credit = 0;
  /** Bytes that came and were not read. */
  #unread = 0;
  /** Bytes of the body that the head promised and that have not come; -1: nothing was promised. */
  #promised: number;
  #headIsIn: boolean;
  readonly #hasNoBody: boolean;

  constructor(options: {
    owner: StreamOwner;
    sender: FrameSender;
    id: number;
    listener: StreamListener;
    /** Of the peer's side: a server's streams begin with it. */
    remote: { readonly headIsIn: boolean; readonly ended: boolean; readonly contentLength: number };
    /** The answer to HEAD promises bytes that never come. */
    hasNoBody: boolean;
    windows: { readonly send: number; readonly receive: number };
  }) {
    const { id, listener, remote, windows } = options;
    this.#owner = options.owner;
    this.#sender = options.sender;
    this.id = id;
    this.listener = listener;
    this.#sendWindow = windows.send;
    this.#receiveWindow = windows.receive;
    this.#headIsIn = remote.headIsIn;
    this.#remoteEnded = remote.ended;
    this.#promised = remote.contentLength;
    this.#hasNoBody = options.hasNoBody;
  }

  /** Both sides have ended, or one has cut it. */
  get closed(): boolean {
    return this.#closed;
  }

  /** END_STREAM was sent, or is queued behind what is. */
  get localEnded(): boolean {
    return this.#localEnded || this.#endIsQueued;
  }

  /** END_STREAM is on its way to the peer, with everything before it. */
  get localSent(): boolean {
    return this.#localEnded;
  }

  /** Of bodies, as far as the windows allowed. */
  get sentBytes(): number {
    return this.#sentBytes;
  }

  get remoteEnded(): boolean {
    return this.#remoteEnded;
  }

  get isBlocked(): boolean {
    return this.#unsent.length > 0;
  }

  /** Sends header lines: a head, or 1xx lines before it. */
  sendHead(lines: readonly string[], endStream: boolean): void {
    if (this.#closed || this.localEnded) return;
    // Throws at what no line can be, and has then sent nothing.
    this.#sender.headers(this.id, lines, endStream);
    if (!endStream) return;
    this.#localEnded = true;
    this.#closeIfDone();
  }

  /** Sends a piece of the body. False: wait for `drained` before the next. */
  write(chunk: Buffer): boolean {
    if (this.#closed || this.localEnded) return true;
    if (this.#unsent.length === 0) this.#send(chunk, false);
    // One of no bytes would wait for a window for ever.
    else if (chunk.length > 0) this.#unsent.push(chunk);
    if (this.#unsent.length === 0 && !this.#sender.congested) return true;
    this.#waitsForDrain = true;
    if (this.#unsent.length === 0) this.#sender.waitForDrain(this);
    return false;
  }

  /** The body is complete; `last` is its last piece. */
  end(last?: Buffer, trailers?: readonly string[]): void {
    if (this.#closed || this.localEnded) return;
    this.#trailers = trailers && trailers.length > 0 ? trailers : undefined;
    const isBlocked = this.#unsent.length > 0;
    if (!isBlocked && (last === undefined || last.length === 0)) {
      this.#sendEnd();
      return;
    }
    this.#endIsQueued = true;
    if (last === undefined || last.length === 0) return;
    if (isBlocked) this.#unsent.push(last);
    else this.#send(last, true);
  }

  /** Cuts the stream: the peer learns that it is not complete. */
  reset(code: number): void {
    if (this.#closed) return;
    this.#sender.reset(this.id, code);
    this.#close(code, false);
  }

  /** So many bytes of the body were read: the peer may send as many more. */
  consumed(bytes: number): void {
    // With the end all of it was given back.
    if (this.#closed) return;
    this.#unread -= bytes;
    this.#owner.consumed(bytes);
    if (this.#remoteEnded) return;
    this.#credit += bytes;
    if (this.#credit * 2 < this.#owner.streamWindowBytes) return;
    this.#receiveWindow += this.#credit;
    this.#sender.windowUpdate(this.id, this.#credit);
    this.#credit = 0;
  }

  /** What came and was not read will not be. */
  discardUnread(): void {
    if (this.#unread > 0) this.consumed(this.#unread);
  }

  // What follows is for the connection.

  /** The peer's SETTINGS or WINDOW_UPDATE changed what may be sent; false: beyond what a window can be. */
  grow(bytes: number): boolean {
    this.#sendWindow += bytes;
    if (this.#sendWindow > maxWindowBytes) return false;
    if (bytes > 0 && !this.sendMore()) this.#sender.waitForWindow(this);
    return true;
  }

  /** Sends of what waits as much as fits one turn; false: the connection's window is used up, and more waits. */
  sendMore(most = Infinity): boolean {
    let left = most;
    while (this.#unsent.length > 0 && this.#sendWindow > 0 && left > 0) {
      const chunk = this.#unsent[0] ?? Buffer.alloc(0);
      const sent = this.#sendPart(chunk, this.#endIsQueued && this.#unsent.length === 1);
      if (sent === 0) break;
      left -= sent;
      if (sent === chunk.length) this.#unsent.shift();
      else this.#unsent[0] = chunk.subarray(sent);
    }
    if (this.#unsent.length === 0) this.#onSent();
    else if (this.#sendWindow > 0) return false;
    return true;
  }

  tellDrain(): void {
    if (!this.#waitsForDrain || this.#closed) return;
    this.#waitsForDrain = false;
    this.listener.drained();
  }

  receiveHeaders(lines: string[], endStream: boolean): void {
    if (this.#remoteEnded) {
      this.reset(errorCode.streamClosed);
      return;
    }
    if (this.#headIsIn) {
      // Behind the head there can only be trailers, which end the stream (RFC 9113 8.1).
      if (endStream && checkTrailers(lines)) this.#receiveEnd(lines);
      else this.reset(errorCode.protocolError);
      return;
    }
    const head = checkResponseHead(lines);
    const isInformation = head !== undefined && head.status < 200;
    if (!head || (isInformation && (endStream || head.status === 101))) {
      this.reset(errorCode.protocolError);
      return;
    }
    if (!isInformation) {
      this.#headIsIn = true;
      // Whatever it says of its length: as nghttp2, because what comes all the same could be taken for the next answer.
      const hasNoBody = this.#hasNoBody || head.status === 304 || head.status === 204;
      this.#promised = hasNoBody ? 0 : head.contentLength;
    }
    if (endStream && this.#promised > 0) {
      this.reset(errorCode.protocolError);
      return;
    }
    if (endStream) this.#remoteEnded = true;
    this.listener.headReceived(head.status, lines.slice(2), endStream);
    if (endStream) this.#closeIfDone();
  }

  /** `bytes` is what counts against the windows: padding too. False: the peer sent more than it may. */
  receiveData(payload: Buffer, bytes: number, endStream: boolean): boolean {
    this.#receiveWindow -= bytes;
    this.#unread += bytes;
    if (this.#receiveWindow < 0) return false;
    if (this.#remoteEnded || !this.#headIsIn) {
      this.reset(this.#remoteEnded ? errorCode.streamClosed : errorCode.protocolError);
      return true;
    }
    const padding = bytes - payload.length;
    if (padding > 0) this.consumed(padding);
    if (this.#promised >= 0 && !this.#keepsPromise(payload.length, endStream)) {
      this.reset(errorCode.protocolError);
      return true;
    }
    if (payload.length > 0) this.listener.dataReceived(payload);
    if (endStream) this.#receiveEnd(noLines);
    return true;
  }

  receiveReset(code: number): void {
    this.#close(code, true);
  }

  /** The connection is over. */
  lose(code: number): void {
    this.#close(code, true);
  }

  #keepsPromise(bytes: number, endStream: boolean): boolean {
    this.#promised -= bytes;
    return endStream ? this.#promised === 0 : this.#promised >= 0;
  }

  #receiveEnd(trailers: readonly string[]): void {
    if (this.#closed) return;
    if (this.#promised > 0) {
      this.reset(errorCode.protocolError);
      return;
    }
    this.#remoteEnded = true;
    this.listener.endReceived(trailers);
    this.#closeIfDone();
  }

  #send(chunk: Buffer, isLast: boolean): void {
    let at = 0;
    while (at < chunk.length) {
      const sent = this.#sendPart(at === 0 ? chunk : chunk.subarray(at), isLast);
      if (sent === 0) break;
      at += sent;
    }
    if (at < chunk.length) {
      this.#unsent.push(at === 0 ? chunk : chunk.subarray(at));
      if (this.#sendWindow > 0) this.#sender.waitForWindow(this);
    } else if (isLast) this.#onSent();
  }

  /** One DATA frame of what the windows allow; gives how many bytes. */
  #sendPart(chunk: Buffer, isLast: boolean): number {
    const bytes = this.#sender.takeWindow(Math.min(chunk.length, this.#sendWindow));
    if (bytes <= 0) return 0;
    this.#sendWindow -= bytes;
    this.#sentBytes += bytes;
    const endsStream = isLast && bytes === chunk.length && !this.#trailers;
    if (endsStream) this.#localEnded = true;
    this.#sender.data(this.id, bytes === chunk.length ? chunk : chunk.subarray(0, bytes), endsStream);
    return bytes;
  }

  /** Nothing waits any more. */
  #onSent(): void {
    if (this.#endIsQueued) {
      if (!this.#localEnded) this.#sendEnd();
      else this.#closeIfDone();
    } else if (this.#waitsForDrain) {
      if (this.#sender.congested) this.#sender.waitForDrain(this);
      else this.tellDrain();
    }
  }

  #sendEnd(): void {
    if (this.#trailers) this.#sender.headers(this.id, this.#trailers, true);
    else this.#sender.data(this.id, Buffer.alloc(0), true);
    this.#localEnded = true;
    this.#closeIfDone();
  }

  #closeIfDone(): void {
    if (this.#localEnded && this.#remoteEnded && !this.#closed) this.#close(undefined, false);
  }

  #close(code: number | undefined, byPeer: boolean): void {
    if (this.#closed) return;
    this.#closed = true;
    // Nothing comes behind it that would have to wait until it is read, which may be never.
    const unread = this.#unread;
    this.#unread = 0;
    if (unread > 0) this.#owner.consumed(unread);
    this.#unsent = [];
    this.#sender.forget(this);
    this.#owner.onStreamClosed(this);
    this.listener.streamClosed(code, byPeer);
  }
}
