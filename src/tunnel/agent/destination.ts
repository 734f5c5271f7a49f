import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { countRead } from '../../base/read-buffers.ts';
import { connectionFailure } from '../../net/node-errors.ts';
import { readBehindWriteErrors } from '../../net/read-behind-write-errors.ts';
import type { Lane, LaneSink } from '../lane.ts';
import type { Packet } from '../packet.ts';

export interface DestinationOptions {
  readonly connectId: number;
  readonly dialId: bigint;
  /** How long it may take what a server sent before it closed the connection. */
  readonly closeTimeoutMs: number;
  readonly answer: (packet: Packet) => void;
  /** It is no connection of the server's any more. */
  readonly onOver: (destination: Destination) => void;
  /** Its socket is closed, too. */
  readonly onClosed: (destination: Destination) => void;
}

/**
 * A TCP connection to a destination, behind its lane. The protocol has no half-closed connections: an end of either side
 * is the end of both, behind everything that was sent before it.
 */
export class Destination implements LaneSink {
  readonly connectId: number;
  readonly dialId: bigint;
  readonly #socket: Duplex;
  readonly #options: DestinationOptions;
  #lane: Lane | undefined;
  /** `flushing`: the server closed it, and what it sent before is on its way. */
  #state: 'open' | 'flushing' | 'over' = 'open';
  #closeTimer: NodeJS.Timeout | undefined;

  constructor(socket: Duplex, options: DestinationOptions) {
    this.connectId = options.connectId;
    this.dialId = options.dialId;
    this.#socket = socket;
    this.#options = options;
  }

  /** The server has closed it, and all that came before is being written. */
  get isClosing(): boolean {
    return this.#closeTimer !== undefined && this.#state !== 'over';
  }

  /** Begins to read; to be called once. */
  start(lane: Lane): void {
    this.#lane = lane;
    const socket = this.#socket;
    readBehindWriteErrors(socket);
    socket.on('data', (chunk: Buffer) => this.#onData(chunk));
    socket.on('drain', () => lane.sinkDrained());
    socket.on('end', () => this.#onEnd(''));
    socket.on('error', (error: Error) => this.#onEnd(connectionFailure(error, true).message));
    socket.on('close', () => this.#onClose());
  }

  /** The server asks for the end: what it sent before must be written soon. */
  closeAsked(): void {
    this.#closeTimer ??= setTimeout(() => this.#onCloseTimeout(), this.#options.closeTimeoutMs);
  }

  /** Nobody waits for it: whoever dialled has gone. */
  cancel(): void {
    this.#lane?.cut('the dial was cancelled', { tellPeer: true });
  }

  /** Ends the socket, too, at once. */
  destroy(): void {
    // What is over has been written; the kernel goes on with what is on its way.
    if (this.#state === 'over') this.#socket.destroy();
    else this.#reset();
  }

  // What follows is for the lane.

  write(bytes: Buffer): boolean {
    if (this.#state !== 'open') return true;
    // What waits in the socket must not keep the much larger piece that it came in.
    const isPart = bytes.length * 4 < bytes.buffer.byteLength && this.#socket.writableLength > 0;
    return this.#socket.write(isPart ? copyOf(bytes) : bytes);
  }

  ended(): void {
    if (this.#state !== 'open') return;
    this.#state = 'flushing';
    this.closeAsked();
    // Read and dropped: closing a socket with bytes that nobody has read resets it, and loses what is on its way.
    this.#socket.resume();
    this.#socket.once('finish', () => this.#finishFlush(''));
    this.#socket.end();
  }

  cut(): void {
    this.#over();
    this.#reset();
  }

  drained(): void {
    if (this.#state === 'open') this.#socket.resume();
  }

  #onData(chunk: Buffer): void {
    countRead(chunk.length);
    if (this.#state === 'open' && this.#lane?.send(chunk) === false) this.#socket.pause();
  }

  /** The destination ended it, in good order or not; everything that was read goes out before the answer. */
  #onEnd(error: string): void {
    if (this.#state === 'flushing') {
      // Of a destination that sends FIN while we still write, the writing goes on.
      if (error !== '') this.#finishFlush(error);
      return;
    }
    if (this.#state !== 'open') return;
    this.#over();
    this.#lane?.close({ type: 'CLOSE_RSP', connectId: this.connectId, error });
    this.#socket.destroy();
  }

  #onClose(): void {
    if (this.#state === 'flushing') this.#finishFlush('');
    else this.#onEnd('');
    clearTimeout(this.#closeTimer);
    this.#options.onClosed(this);
  }

  #finishFlush(error: string): void {
    if (this.#state !== 'flushing') return;
    this.#over();
    this.#options.answer({ type: 'CLOSE_RSP', connectId: this.connectId, error });
  }

  #onCloseTimeout(): void {
    const reason = 'the destination did not take what was sent before the close';
    if (this.#state === 'over') {
      // It has all of it, and goes on sending; or the kernel has, and goes on.
      this.#socket.destroy();
      return;
    }
    if (this.#state === 'open') this.#lane?.cut(reason, { tellPeer: true });
    else this.#finishFlush(reason);
    this.#reset();
  }

  #over(): void {
    if (this.#state === 'over') return;
    this.#state = 'over';
    this.#options.onOver(this);
  }

  /** A FIN would look as if all of it had come. */
  #reset(): void {
    if (this.#socket instanceof Socket) this.#socket.resetAndDestroy();
    else this.#socket.destroy();
  }
}

/** Not out of Node's pool, of which a few bytes keep eight thousand. */
function copyOf(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(copy);
  return copy;
}
