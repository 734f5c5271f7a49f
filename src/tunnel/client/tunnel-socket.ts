import { Duplex } from 'node:stream';
import { Failure } from '../../base/failure.ts';
import type { PacketStream } from '../packet-stream.ts';
import { peerText } from '../peer-text.ts';

/** Who owns the stream of packets that a socket lives on. */
export interface TunnelSocketOwner {
  /** The peer was asked to close the connection. */
  onClosing(): void;
  /** The connection is over. `inGoodOrder`: both sides know it; otherwise the stream has to be cut. */
  onOver(inGoodOrder: boolean): void;
}

export interface TunnelSocketOptions {
  readonly stream: PacketStream;
  readonly connectId: number;
  readonly owner: TunnelSocketOwner;
  /** How long the peer may take to confirm the end of a connection. */
  readonly closeTimeoutMs: number;
}

type Done = (error?: Error | null) => void;

/** Go's programs take messages of 4 MiB at most, and their agents hold whole ones: small pieces go on sooner. */
const maxPieceBytes = 32 * 1024;
/** Small writes that came together go out as one packet. */
const joinedBytes = 4096;
/** What is kept for a reader that is busy, beside the stream's window. */
const bufferBytes = 64 * 1024;
const nothing: readonly Buffer[] = [];

/**
 * A TCP connection through a tunnel. Its reader's pace is the peer's: credit goes back as bytes are read. Writes go out at
 * once (there is no Nagle), and wait while the stream takes no more. The protocol knows no half-closed connections: the end
 * of one side is the end, behind everything that was written. It closes when its owner destroys it; once both sides are
 * over it holds nothing but what was not read.
 */
export class TunnelSocket extends Duplex {
  readonly connectId: number;
  readonly #stream: PacketStream;
  readonly #owner: TunnelSocketOwner;
  readonly #closeTimeoutMs: number;
  /** The reader takes what comes. */
  #flowing = true;
  /** Bytes that came while it does not, and whose credit was not given back. */
  #held = 0;
  /** What is being written, and how far. */
  #unsent = nothing;
  #at = 0;
  #offset = 0;
  #onWritten: Done | undefined;
  #blocked = false;
  #onFinal: Done | undefined;
  #closeTimer: NodeJS.Timeout | undefined;
  #closing = false;
  #over = false;

  constructor({ stream, connectId, owner, closeTimeoutMs }: TunnelSocketOptions) {
    super({
      // TLS over it still writes its last words when the peer has gone; they are dropped.
      allowHalfOpen: true,
      // What TLS has not given to its reader is lost when the stream below closes (JSStreamSocket): its owner ends it.
      autoDestroy: false,
      readableHighWaterMark: bufferBytes,
      writableHighWaterMark: bufferBytes,
    });
    this.connectId = connectId;
    this.#stream = stream;
    this.#owner = owner;
    this.#closeTimeoutMs = closeTimeoutMs;
  }

  override _read(): void {
    if (this.#flowing) return;
    this.#flowing = true;
    const held = this.#held;
    this.#held = 0;
    if (held > 0) this.#stream.consumed(held);
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#send([chunk], done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: Done): void {
    let bytes = 0;
    for (const { chunk } of chunks) bytes += chunk.length;
    const buffers = chunks.map(({ chunk }) => chunk);
    this.#send(bytes <= joinedBytes ? [Buffer.concat(buffers, bytes)] : buffers, done);
  }

  override _final(done: Done): void {
    if (this.#over) {
      done();
      return;
    }
    this.#onFinal = done;
    this.#closing = true;
    this.#stream.send({ type: 'CLOSE_REQ', connectId: this.connectId });
    this.#owner.onClosing();
    this.#closeTimer = setTimeout(() => this.#onCloseTimeout(), this.#closeTimeoutMs).unref();
  }

  override _destroy(error: Error | null, done: Done): void {
    if (!this.#over) {
      this.#over = true;
      clearTimeout(this.#closeTimer);
      if (!this.#closing) this.#stream.send({ type: 'CLOSE_REQ', connectId: this.connectId });
      this.#owner.onOver(false);
    }
    this.#unsent = nothing;
    const written = this.#onWritten;
    this.#onWritten = undefined;
    written?.(error ?? new Failure('cancelled', 'the connection was closed'));
    done(error);
  }

  // What follows is for whoever hears the stream.

  /** Bytes came. */
  receive(piece: Buffer): void {
    if (this.#over) {
      this.#stream.consumed(piece.length);
      return;
    }
    if (this.push(piece) && this.#flowing) this.#stream.consumed(piece.length);
    else {
      this.#flowing = false;
      this.#held += piece.length;
    }
  }

  /** The stream takes more. */
  resumeWriting(): void {
    this.#blocked = false;
    this.#sendMore();
  }

  /** The peer has closed the connection; may be told more than once. `error` may be empty. */
  closedByPeer(error: string): void {
    if (this.#over) return;
    // Whoever asked for the end does not mind how it came about.
    const failure =
      error === '' || this.#closing ? undefined : `the agent closed the connection: ${peerText(error)}`;
    this.#end(!this.#blocked);
    this.#endReading(failure === undefined ? undefined : new Failure('reset', failure, { sent: true }));
  }

  /** The stream is over, in good order unless there is a failure. */
  streamEnded(failure: Failure | undefined): void {
    if (this.#over) return;
    this.#end(true);
    this.#endReading(failure);
  }

  #send(buffers: readonly Buffer[], done: Done): void {
    this.#unsent = buffers;
    this.#at = this.#offset = 0;
    this.#onWritten = done;
    this.#sendMore();
  }

  #sendMore(): void {
    while (!this.#blocked) {
      const chunk = this.#unsent[this.#at];
      if (!chunk) break;
      const end = Math.min(chunk.length, this.#offset + maxPieceBytes);
      const isWhole = this.#offset === 0 && end === chunk.length;
      const piece = isWhole ? chunk : chunk.subarray(this.#offset, end);
      this.#offset = end;
      if (end === chunk.length) {
        this.#at += 1;
        this.#offset = 0;
      }
      // Behind the peer's end it would be for nobody, as on a connection whose other side is gone.
      if (piece.length > 0 && !this.#over) this.#blocked = !this.#stream.sendData(this.connectId, piece);
    }
    if (this.#blocked) return;
    this.#unsent = nothing;
    const written = this.#onWritten;
    this.#onWritten = undefined;
    written?.();
  }

  #onCloseTimeout(): void {
    this.#end(false);
    this.#endReading(undefined);
  }

  #end(inGoodOrder: boolean): void {
    this.#over = true;
    clearTimeout(this.#closeTimer);
    this.#owner.onOver(inGoodOrder);
    this.#blocked = false;
    this.#sendMore();
    const final = this.#onFinal;
    this.#onFinal = undefined;
    final?.();
  }

  #endReading(failure: Failure | undefined): void {
    if (failure) this.destroy(failure);
    else if (!this.destroyed) this.push(null);
  }
}
