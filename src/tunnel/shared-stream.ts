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

export interface SharedStreamOptions {
  readonly owner: SharedStreamOwner;
  readonly budget: Budget;
  readonly limits: LaneLimits;
}

/**
 * The stream between an agent and a server, which all connections through that agent share. Whatever comes is taken at
 * once, so that no connection holds up another; who sends has the turn after all others that wait.
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

  send(packet: Packet): void {
    if (this.#stream?.isClosed === false) this.#note(this.#stream.send(packet));
  }

  sendData(connectId: number, bytes: Buffer): void {
    if (this.#stream?.isClosed === false) this.#note(this.#stream.sendData(connectId, bytes));
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
    if (lane) lane.receive(piece);
    else if (isFirst && !this.#closing.has(connectId)) this.#options.owner.unknownData(connectId);
  }

  drained(): void {
    this.#congested = false;
    this.#takeTurns();
  }

  closed(status: GrpcStatus): void {
    const reason = status.message || 'the tunnel is closed';
    for (const lane of [...this.#lanes.values()]) lane.cut(reason, { tellPeer: false });
    this.#waiting.clear();
    this.#closing.clear();
    this.#options.owner.closed(status);
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
