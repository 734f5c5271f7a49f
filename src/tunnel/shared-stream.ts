import { Lane } from './lane.ts';
import type { LaneLimits, LaneSink, SharedSender } from './lane.ts';
import type { Budget } from './budget.ts';
import type { GrpcStatus } from './grpc-status.ts';
import type { Packet } from './packet.ts';
import type { ControlPacket } from './packet-reader.ts';
import type { PacketStream, PacketStreamListener } from './packet-stream.ts';

/**
 * A line of metadata by which an agent and a server tell each other that they understand PAUSE and RESUME. Go's programs
 * neither send nor read it.
 */
export const pauseHeader = 'x-tunnel-pause';

/** Closed connections whose last packets may still be on their way; the oldest are forgotten beyond it. */
const mostClosing = 10_000;

/** What both sides of an agent's stream do differently. */
export interface SharedStreamOwner {
  /** Dials, drains, and the close of a connection that is not known (any more). */
  packet(packet: ControlPacket): void;
  /** Bytes of a connection that is not known. */
  unknownData(connectId: number): void;
  closePacket(connectId: number, reason: string): Packet;
  /** The last connection on it is over. */
  idle?(): void;
  /** The stream is over; every connection on it was cut before. */
  closed(status: GrpcStatus): void;
}

/** When connections hold up a stream whose peer cannot pause one of them. */
export interface StallLimits {
  /** Bytes that wait for readers: from here on it is looked at who they are. Half of the stream's window. */
  readonly heldBytes: number;
  /** Who holds most of it and has taken less than so many bytes in so many milliseconds is cut. */
  readonly ms: number;
  readonly progressBytes: number;
}

const defaultStallLimits: StallLimits = {
  heldBytes: 4 * 1024 * 1024,
  ms: 3_000,
  progressBytes: 1024 * 1024,
};

export interface SharedStreamOptions {
  readonly owner: SharedStreamOwner;
  readonly budget: Budget;
  readonly limits: LaneLimits;
  readonly stall?: StallLimits;
}

/**
 * The stream between an agent and a server, which all connections through that agent share; who sends has the turn after
 * all others that wait. From a peer that can pause a connection whatever comes is taken at once, so that none holds up
 * another. Go's programs cannot: they get no more credit than readers have taken, or every large transfer would have to be
 * cut, and a reader that stopped is cut before long.
 */
export class SharedStream implements PacketStreamListener, SharedSender {
  /** The peer said that it understands PAUSE and RESUME. */
  canPause = false;
  readonly #options: SharedStreamOptions;
  readonly #lanes = new Map<number, Lane>();
  readonly #closing = new Set<number>();
  /** In the order in which they have their turn. */
  readonly #waiting = new Set<Lane>();
  #stream: PacketStream | undefined;
  #congested = false;
  #inTurns = false;
  /** Bytes that wait for readers, whose credit was not given back. */
  #held = 0;
  #stallTimer: NodeJS.Timeout | undefined;

  constructor(options: SharedStreamOptions) {
    this.#options = options;
  }

  /** The stream whose listener this is. */
  attach(stream: PacketStream): void {
    this.#stream = stream;
  }

  get size(): number {
    return this.#lanes.size;
  }

  get congested(): boolean {
    return this.#congested;
  }

  /** Begins a connection. */
  open(connectId: number, sink: LaneSink): Lane {
    const { budget, limits } = this.#options;
    // An agent that gives a number twice means the new connection by it.
    this.#lanes.get(connectId)?.cut('its number was used again', { tellPeer: false });
    this.#closing.delete(connectId);
    const lane = new Lane(connectId, { sender: this, sink, budget, limits });
    this.#lanes.set(connectId, lane);
    // Whoever opens it behind the end hears of the end, too.
    if (this.#stream?.isClosed === true)
      queueMicrotask(() => lane.cut('the tunnel is closed', { tellPeer: false }));
    return lane;
  }

  /** The peer stops before long: whoever can takes another way. */
  wayEnds(): void {
    for (const lane of [...this.#lanes.values()]) lane.wayEnds();
  }

  send(packet: Packet): void {
    if (this.#stream?.isClosed === false) this.#note(this.#stream.send(packet));
  }

  sendData(connectId: number, bytes: Buffer): void {
    if (this.#stream?.isClosed === false) this.#note(this.#stream.sendData(connectId, bytes));
  }

  consumed(bytes: number): void {
    if (this.canPause) return;
    this.#held -= bytes;
    this.#stream?.consumed(bytes);
  }

  waitForTurn(lane: Lane): void {
    this.#waiting.add(lane);
    if (!this.#congested) this.#takeTurns();
  }

  closePacket(connectId: number, reason: string): Packet {
    return this.#options.owner.closePacket(connectId, reason);
  }

  onOver(lane: Lane, peerClosed: boolean): void {
    this.#waiting.delete(lane);
    if (this.#lanes.get(lane.connectId) !== lane) return;
    this.#lanes.delete(lane.connectId);
    if (this.#lanes.size === 0) this.#options.owner.idle?.();
    if (peerClosed) return;
    this.#closing.add(lane.connectId);
    if (this.#closing.size <= mostClosing) return;
    for (const oldest of this.#closing) {
      this.#closing.delete(oldest);
      break;
    }
  }

  // What follows is for the stream.

  packet(packet: ControlPacket): void {
    switch (packet.type) {
      case 'PAUSE':
        this.#lanes.get(packet.connectId)?.pause();
        return;
      case 'RESUME':
        this.#lanes.get(packet.connectId)?.resume();
        return;
      case 'CLOSE_REQ':
      case 'CLOSE_RSP': {
        const lane = this.#lanes.get(packet.connectId);
        this.#closing.delete(packet.connectId);
        if (lane) lane.receiveEnd(packet.type === 'CLOSE_RSP' ? packet.error : '');
        else this.#options.owner.packet(packet);
        return;
      }
      default:
        this.#options.owner.packet(packet);
    }
  }

  data(connectId: number, piece: Buffer, isFirst: boolean): void {
    const lane = this.#lanes.get(connectId);
    if (this.canPause || !lane) this.#stream?.consumed(piece.length);
    else this.#held += piece.length;
    if (lane) {
      lane.receive(piece);
      if (!this.canPause && this.#held > this.#stall.heldBytes) this.#watchStall();
    } else if (isFirst && !this.#closing.has(connectId)) this.#options.owner.unknownData(connectId);
  }

  drained(): void {
    this.#congested = false;
    this.#takeTurns();
  }

  closed(status: GrpcStatus): void {
    const reason = status.message || 'the tunnel is closed';
    for (const lane of [...this.#lanes.values()]) lane.cut(reason, { tellPeer: false });
    clearTimeout(this.#stallTimer);
    this.#waiting.clear();
    this.#closing.clear();
    this.#options.owner.closed(status);
  }

  get #stall(): StallLimits {
    return this.#options.stall ?? defaultStallLimits;
  }

  /** Cuts who holds up the others, one after the other, until enough of the window is free. */
  #watchStall(): void {
    if (this.#stallTimer) return;
    const { heldBytes, ms, progressBytes } = this.#stall;
    const lane = this.#largest();
    const taken = lane?.takenBytes ?? 0;
    this.#stallTimer = setTimeout(() => {
      this.#stallTimer = undefined;
      if (this.#held <= heldBytes) return;
      if (lane && lane.takenBytes - taken < progressBytes) lane.overBudget();
      if (this.#held > heldBytes) this.#watchStall();
    }, ms).unref();
  }

  #largest(): Lane | undefined {
    let largest: Lane | undefined;
    for (const lane of this.#lanes.values())
      if (!largest || lane.heldBytes > largest.heldBytes) largest = lane;
    return largest;
  }

  #note(hasRoom: boolean): void {
    if (!hasRoom) this.#congested = true;
  }

  #takeTurns(): void {
    if (this.#inTurns) return;
    this.#inTurns = true;
    // A lane that waits again stands behind all others.
    for (const lane of this.#waiting) {
      if (this.#congested) break;
      this.#waiting.delete(lane);
      lane.sendMore();
    }
    this.#inTurns = false;
  }
}
