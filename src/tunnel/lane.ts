import type { Budget, Charged } from './budget.ts';
import type { Packet } from './packet.ts';
import { PieceQueue } from './piece-queue.ts';

/** Where the bytes of one connection go: the socket of an agent, the stream or socket of a frontend. */
export interface LaneSink {
  /** Takes the bytes in any case. False: no more until `Lane.sinkDrained`. */
  write(bytes: Buffer): boolean;
  /** The peer closed the connection; everything before has been written. `error` may be empty. */
  ended(error: string): void;
  /** It is lost, and whatever waited with it. */
  cut(reason: string): void;
  /** `Lane.send` may be called again after it gave false. */
  drained(): void;
  /** The agent stops before long; bytes go on until then. */
  wayEnds?(): void;
}

/** What a lane needs of the stream that it shares with others. */
export interface SharedSender {
  readonly congested: boolean;
  sendData(connectId: number, bytes: Buffer): void;
  send(packet: Packet): void;
  /** Something waits: the lane gets its turn by `sendMore`. */
  waitForTurn(lane: Lane): void;
  /** So many bytes of a connection went on, or will not any more. */
  consumed(bytes: number): void;
  /** The peer understands PAUSE and RESUME. */
  readonly canPause: boolean;
  /** What tells the peer of an end that is ours: servers ask their agents, all others tell. */
  closePacket(connectId: number, reason: string): Packet;
  /** The lane's last packet is out, or it was cut; `peerClosed`: by the peer's own close. */
  onOver(lane: Lane, peerClosed: boolean): void;
}

/** What a piece costs beside its bytes: many small ones must not hold many times what they count for. */
export const pieceBytes = 128;

export interface LaneLimits {
  /** Unread bytes, and what holds them, at which the peer is asked to pause, and at which it may go on. */
  readonly pauseBytes: number;
  readonly resumeBytes: number;
  /**
   * Unread bytes at which the connection is cut: its reader has stopped, and the peer sends on. More than the window of a
   * stream: what is in it when the peer is asked to pause still comes.
   */
  readonly maxBytes: number;
}

export const defaultLaneLimits: LaneLimits = {
  pauseBytes: 256 * 1024,
  resumeBytes: 64 * 1024,
  maxBytes: 16 * 1024 * 1024,
};

export const TOO_SLOW = 'the reader of the connection is too slow: too many bytes wait for it';

/**
 * One connection on a stream that many share. What its sink does not take waits here, and never in the stream: a reader
 * that stopped costs its own connection, and nobody else's (apiserver-network-proxy#180).
 */
export class Lane implements Charged {
  readonly connectId: number;
  readonly #sender: SharedSender;
  readonly #sink: LaneSink;
  readonly #limits: LaneLimits;
  readonly #budget: Budget;
  /** Came, and waits for the sink. */
  readonly #unread = new PieceQueue();
  #unreadBytes = 0;
  /** Of these, the bytes of the connection. */
  #heldData = 0;
  #takenData = 0;
  #sinkIsFull = false;
  #askedToPause = false;
  /** The peer's close, behind what waits. */
  #endError: string | undefined;
  /** Waits for the stream. */
  #unsent: Buffer[] = [];
  #closing: Packet | undefined;
  #sinkWaits = false;
  #pausedByPeer = false;
  #over = false;

  constructor(
    connectId: number,
    parts: {
      readonly sender: SharedSender;
      readonly sink: LaneSink;
      readonly budget: Budget;
      readonly limits: LaneLimits;
    },
  ) {
    this.connectId = connectId;
    this.#sender = parts.sender;
    this.#sink = parts.sink;
    this.#budget = parts.budget;
    this.#limits = parts.limits;
  }

  get isOver(): boolean {
    return this.#over;
  }

  /** What waits for the sink, in bytes. */
  get heldBytes(): number {
    return this.#unreadBytes;
  }

  /** Bytes that the sink has taken so far. */
  get takenBytes(): number {
    return this.#takenData;
  }

  wayEnds(): void {
    if (!this.#over) this.#sink.wayEnds?.();
  }

  /** Sends to the peer, unless it has closed. False: wait for `drained` of the sink before the next. */
  send(bytes: Buffer): boolean {
    if (this.#over || this.#closing || this.#endError !== undefined) return true;
    if (!this.#mustWait) {
      this.#sender.sendData(this.connectId, bytes);
      if (!this.#sender.congested) return true;
    } else this.#unsent.push(bytes);
    this.#sinkWaits = true;
    if (!this.#pausedByPeer) this.#sender.waitForTurn(this);
    return false;
  }

  /** Closes the connection behind what waits to be sent; what the peer still sends is dropped. */
  close(packet: Packet): void {
    if (this.#over || this.#closing) return;
    this.#closing = packet;
    this.#dropUnread();
    // A peer that paused it does not read it any more, and must hear of its end.
    this.#pausedByPeer = false;
    if (this.#unsent.length > 0) this.#sender.waitForTurn(this);
    else this.#sendClosing();
  }

  /** The sink takes more. */
  sinkDrained(): void {
    this.#sinkIsFull = false;
    for (let hasRoom = true; hasRoom && !this.#over;) {
      const bytes = this.#unread.take();
      if (!bytes) break;
      this.#heldData -= bytes.length;
      this.#release(bytes.length + pieceBytes);
      hasRoom = this.#give(bytes);
    }
    if (this.#over || !this.#unread.isEmpty) return;
    if (this.#endError !== undefined) this.#end(this.#endError);
  }

  // What follows is for the stream.

  /** Bytes came. */
  receive(bytes: Buffer): void {
    if (bytes.length === 0) return;
    if (this.#over || this.#closing || this.#endError !== undefined) {
      this.#sender.consumed(bytes.length);
      return;
    }
    if (this.#unread.isEmpty && !this.#sinkIsFull) {
      this.#give(bytes);
      return;
    }
    // What waits must not keep the much larger piece that it came in, with the bytes of others.
    const kept = bytes.length * 4 < bytes.buffer.byteLength ? Buffer.from(bytes) : bytes;
    this.#unread.push(kept);
    this.#heldData += kept.length;
    this.#unreadBytes += kept.length + pieceBytes;
    this.#budget.charge(this, kept.length + pieceBytes);
    if (this.#unreadBytes > this.#limits.maxBytes) {
      this.overBudget();
      return;
    }
    if (this.#sender.canPause && !this.#askedToPause && this.#unreadBytes > this.#pauseBytes) {
      this.#askedToPause = true;
      this.#sender.send({ type: 'PAUSE', connectId: this.connectId });
    }
  }

  /** The peer closed it: what waits is still written. */
  receiveEnd(error: string): void {
    if (this.#over || this.#endError !== undefined) return;
    this.#endError = error;
    this.#unsent = [];
    // Who asked for the end waits for an answer, even where the two have crossed.
    if (this.#closing?.type === 'CLOSE_RSP') this.#sendClosing();
    else if (this.#closing) this.#finish();
    else if (this.#unread.isEmpty) this.#end(error);
  }

  pause(): void {
    if (!this.#closing) this.#pausedByPeer = true;
  }

  resume(): void {
    this.#pausedByPeer = false;
    if (this.#unsent.length > 0 || this.#sinkWaits) this.#sender.waitForTurn(this);
  }

  /** Sends one piece of what waits, and asks for more of it; called in turns while the stream is not congested. */
  sendMore(): void {
    if (this.#over || this.#pausedByPeer) return;
    const bytes = this.#unsent.shift();
    if (bytes) this.#sender.sendData(this.connectId, bytes);
    if (this.#unsent.length > 0) {
      this.#sender.waitForTurn(this);
      return;
    }
    if (this.#closing) {
      this.#sendClosing();
      return;
    }
    if (!this.#sinkWaits) return;
    if (this.#sender.congested) {
      this.#sender.waitForTurn(this);
      return;
    }
    this.#sinkWaits = false;
    this.#sink.drained();
  }

  /** Ends it at once on both sides. */
  cut(reason: string, { tellPeer }: { readonly tellPeer: boolean }): void {
    if (this.#over) return;
    if (tellPeer) this.#sender.send(this.#sender.closePacket(this.connectId, reason));
    this.#finish();
    // Who closed it has been told nothing since.
    if (!this.#closing) this.#sink.cut(reason);
  }

  /** Of bytes that the whole process may hold there are too many, and most of them are here. */
  overBudget(): void {
    this.cut(TOO_SLOW, { tellPeer: true });
  }

  get #mustWait(): boolean {
    return this.#pausedByPeer || this.#sender.congested || this.#unsent.length > 0;
  }

  /** While much waits in the whole process, each connection gets less. */
  get #pauseBytes(): number {
    return this.#budget.isTight ? this.#limits.resumeBytes : this.#limits.pauseBytes;
  }

  /** False: the sink takes no more. */
  #give(bytes: Buffer): boolean {
    this.#takenData += bytes.length;
    this.#sender.consumed(bytes.length);
    const hasRoom = this.#sink.write(bytes);
    this.#sinkIsFull = !hasRoom;
    return hasRoom;
  }

  #sendClosing(): void {
    if (this.#closing) this.#sender.send(this.#closing);
    this.#finish();
  }

  #end(error: string): void {
    this.#finish();
    this.#sink.ended(error);
  }

  #finish(): void {
    this.#over = true;
    this.#unsent = [];
    this.#dropUnread();
    this.#sender.onOver(this, this.#endError !== undefined);
  }

  #dropUnread(): void {
    this.#unread.clear();
    const held = this.#heldData;
    this.#heldData = 0;
    if (held > 0) this.#sender.consumed(held);
    this.#release(this.#unreadBytes);
  }

  #release(bytes: number): void {
    this.#unreadBytes -= bytes;
    this.#budget.release(this, bytes);
    if (!this.#askedToPause || this.#over || this.#unreadBytes > this.#limits.resumeBytes) return;
    this.#askedToPause = false;
    if (!this.#closing) this.#sender.send({ type: 'RESUME', connectId: this.connectId });
  }
}
