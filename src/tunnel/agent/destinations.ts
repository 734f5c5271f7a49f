import type { Duplex } from 'node:stream';
import { Failure, errorText } from '../../base/failure.ts';
import type { Log } from '../../base/log.ts';
import type { Budget } from '../budget.ts';
import type { GrpcStatus } from '../grpc-status.ts';
import { TOO_SLOW } from '../lane.ts';
import type { LaneLimits } from '../lane.ts';
import type { Packet } from '../packet.ts';
import type { ControlPacket } from '../packet-reader.ts';
import type { PacketStream, PacketStreamListener } from '../packet-stream.ts';
import { SharedStream } from '../shared-stream.ts';
import type { AgentMetrics } from './agent-metrics.ts';
import { Destination } from './destination.ts';
import type { EndpointDial } from './endpoint-dial.ts';

export interface DestinationLimits {
  /** Dials of one server that are under way; the next one fails at once. */
  readonly maxPendingDials: number;
  /** Open connections of one server; the next dial fails. */
  readonly maxConnections: number;
  /** How long a destination may take what was sent before the close. */
  readonly closeTimeoutMs: number;
  readonly lane: LaneLimits;
}

export interface DestinationsOptions {
  readonly dial: EndpointDial;
  readonly budget: Budget;
  readonly limits: DestinationLimits;
  /** Takes what has a socket, for as long as it has it: some are still written to when the stream is over. */
  readonly sockets: Set<Destination>;
  readonly metrics: AgentMetrics;
  readonly log: Log;
}

type DialRequest = Extract<Packet, { type: 'DIAL_REQ' }>;

/** What one server does on its stream: dials and connections, which end with it. */
export class Destinations implements PacketStreamListener {
  readonly #options: DestinationsOptions;
  readonly #shared: SharedStream;
  readonly #pending = new Map<bigint, AbortController>();
  readonly #open = new Map<number, Destination>();
  readonly #byDialId = new Map<bigint, Destination>();
  #lastConnectId = 0;
  #closed = false;

  constructor(options: DestinationsOptions) {
    this.#options = options;
    this.#shared = new SharedStream({
      owner: {
        packet: (packet) => this.#onUnclaimed(packet),
        unknownData: (connectId) => this.#onUnknownData(connectId),
        closePacket: (connectId, reason) => this.#closePacket(connectId, reason),
        closed: () => this.#onClosed(),
      },
      budget: options.budget,
      limits: options.limits.lane,
    });
  }

  attach(stream: PacketStream): void {
    this.#shared.attach(stream);
  }

  /** The server understands PAUSE and RESUME. */
  allowPause(): void {
    this.#shared.canPause = true;
  }

  get openConnections(): number {
    return this.#open.size;
  }

  /** Nothing is under way, and nothing waits to be sent. */
  get isIdle(): boolean {
    return this.#pending.size === 0 && this.#open.size === 0 && this.#shared.size === 0;
  }

  sendDrain(): void {
    this.#shared.send({ type: 'DRAIN' });
  }

  // What follows is for the stream.

  packet(packet: ControlPacket): void {
    if (this.#closed) return;
    if (packet.type === 'CLOSE_REQ') {
      const destination = this.#open.get(packet.connectId);
      // Asked a second time while the first is under way: one answer is enough.
      if (destination?.isClosing === true) return;
      destination?.closeAsked();
    }
    this.#shared.packet(packet);
  }

  data(connectId: number, piece: Buffer, isFirst: boolean): void {
    if (!this.#closed) this.#shared.data(connectId, piece, isFirst);
  }

  drained(): void {
    this.#shared.drained();
  }

  closed(status: GrpcStatus): void {
    this.#shared.closed(status);
  }

  /** What belongs to no open connection. */
  #onUnclaimed(packet: ControlPacket): void {
    switch (packet.type) {
      case 'DIAL_REQ':
        this.#onDialRequest(packet);
        return;
      case 'DIAL_CLS':
        this.#onDialClosed(packet.dialId);
        return;
      case 'CLOSE_REQ':
        this.#answer({ type: 'CLOSE_RSP', connectId: packet.connectId, error: 'Unknown connectID' });
        return;
      default:
        this.#options.log.debug({ type: packet.type }, 'a packet of the server was ignored');
    }
  }

  #onUnknownData(connectId: number): void {
    // What was open once is known to be closed, or hears of it by what is on its way.
    if (connectId > this.#lastConnectId)
      this.#answer({ type: 'CLOSE_RSP', connectId, error: 'unrecognized connectID' });
  }

  #onDialRequest(request: DialRequest): void {
    const refusal = this.#refusalOf(request);
    if (refusal !== undefined) {
      this.#options.metrics.dialFailed('refused');
      this.#answer({ type: 'DIAL_RSP', dialId: request.dialId, connectId: 0, error: refusal });
      return;
    }
    const controller = new AbortController();
    this.#pending.set(request.dialId, controller);
    void this.#dial(request, controller);
  }

  #refusalOf({ dialId }: DialRequest): string | undefined {
    const { maxPendingDials, maxConnections } = this.#options.limits;
    if (this.#pending.size >= maxPendingDials)
      return `too many dials are pending at the agent: ${maxPendingDials}`;
    if (this.#open.size >= maxConnections)
      return `too many connections are open at the agent: ${maxConnections}`;
    if (this.#pending.has(dialId)) return 'a dial with this ID is pending at the agent';
    return undefined;
  }

  /** Does not reject. */
  async #dial(request: DialRequest, controller: AbortController): Promise<void> {
    const { metrics, log } = this.#options;
    const { dialId, address } = request;
    const startedAt = performance.now();
    try {
      const socket = await this.#options.dial(request, controller.signal);
      if (this.#settle(dialId, controller)) {
        metrics.dialed((performance.now() - startedAt) / 1000);
        this.#begin(socket, dialId);
      } else socket.on('error', () => undefined).destroy();
    } catch (error) {
      if (!this.#settle(dialId, controller)) return;
      metrics.dialFailed(failureReason(error));
      log.debug({ err: error, address }, 'a destination could not be connected to');
      this.#answer({ type: 'DIAL_RSP', dialId, connectId: 0, error: errorText(error) });
    }
  }

  /** False: nobody waits for this dial any more. */
  #settle(dialId: bigint, controller: AbortController): boolean {
    return this.#pending.get(dialId) === controller && this.#pending.delete(dialId);
  }

  #begin(socket: Duplex, dialId: bigint): void {
    this.#lastConnectId += 1;
    const connectId = this.#lastConnectId;
    const destination = new Destination(socket, {
      connectId,
      dialId,
      closeTimeoutMs: this.#options.limits.closeTimeoutMs,
      answer: (packet) => this.#answer(packet),
      onOver: (over) => this.#forget(over),
      onClosed: (closed) => this.#options.sockets.delete(closed),
    });
    this.#open.set(connectId, destination);
    this.#byDialId.set(dialId, destination);
    this.#options.sockets.add(destination);
    const lane = this.#shared.open(connectId, destination);
    this.#answer({ type: 'DIAL_RSP', dialId, connectId, error: '' });
    destination.start(lane);
  }

  #forget(destination: Destination): void {
    this.#open.delete(destination.connectId);
    if (this.#byDialId.get(destination.dialId) === destination) this.#byDialId.delete(destination.dialId);
  }

  /** Whoever dialled has gone; the connection may be open already (apiserver-network-proxy#404). */
  #onDialClosed(dialId: bigint): void {
    const controller = this.#pending.get(dialId);
    this.#pending.delete(dialId);
    if (controller) controller.abort(new Failure('cancelled', 'context canceled'));
    else this.#byDialId.get(dialId)?.cancel();
  }

  #closePacket(connectId: number, reason: string): Packet {
    if (reason === TOO_SLOW) this.#options.metrics.slowDestinationCut();
    return { type: 'CLOSE_RSP', connectId, error: reason };
  }

  #answer(packet: Packet): void {
    if (!this.#closed) this.#shared.send(packet);
  }

  /** Connections were cut before; those that the server had closed may still take what was sent. */
  #onClosed(): void {
    this.#closed = true;
    for (const controller of this.#pending.values())
      controller.abort(new Failure('cancelled', 'context canceled'));
    this.#pending.clear();
  }
}

function failureReason(error: unknown): 'timeout' | 'refused' | 'unknown' {
  if (!(error instanceof Failure)) return 'unknown';
  return error.kind === 'timeout' || error.kind === 'refused' ? error.kind : 'unknown';
}
