import type { Log } from '../../base/log.ts';
import type { AgentIdentifiers } from '../agent-identifiers.ts';
import type { Budget } from '../budget.ts';
import type { GrpcStatus } from '../grpc-status.ts';
import { TOO_SLOW, defaultLaneLimits } from '../lane.ts';
import type { Lane, LaneLimits, LaneSink } from '../lane.ts';
import type { Packet } from '../packet.ts';
import type { ControlPacket } from '../packet-reader.ts';
import type { PacketStream } from '../packet-stream.ts';
import { SharedStream } from '../shared-stream.ts';
import type { SharedStreamOwner } from '../shared-stream.ts';
import { DialFailure, agentLost, dialTimedOut, tooManyDials } from './dial-failure.ts';
import type { TunnelServerMetrics } from './server-metrics.ts';

export interface AgentLinkOptions {
  readonly agentId: string;
  readonly identifiers: AgentIdentifiers;
  readonly canPause: boolean;
  readonly budget: Budget;
  readonly limits?: LaneLimits;
  /** Dials that wait for this agent's answer; the next one fails at once. */
  readonly maxPendingDials: number;
  /** Milliseconds; 0: no limit. */
  readonly dialTimeoutMs: number;
  readonly metrics: TunnelServerMetrics;
  readonly log: Log;
  /** GOAWAY on the connection that it came by. */
  readonly finishConnection: () => void;
  /** It asks for no more dials. */
  readonly onDrain: (link: AgentLink) => void;
  readonly onClosed: (link: AgentLink, status: GrpcStatus) => void;
}

/** Who asked for a connection, and gets its bytes. */
export interface Dialer {
  /** The connection is open; `open` begins it, at once: its bytes may be right behind. */
  opened(connectId: number, open: (sink: LaneSink) => Lane): void;
  failed(failure: DialFailure): void;
}

export interface DialTarget {
  readonly protocol: string;
  /** `host:port`. */
  readonly address: string;
}

interface PendingDial {
  readonly dialer: Dialer;
  readonly timer: NodeJS.Timeout | undefined;
  readonly startedAt: number;
}

/**
 * One agent's stream. Connections and dials belong to the stream, not to the agent's name: two streams of one name may
 * use the same numbers (apiserver-network-proxy#888).
 */
export class AgentLink implements SharedStreamOwner {
  readonly agentId: string;
  readonly identifiers: AgentIdentifiers;
  isDraining = false;
  readonly #options: AgentLinkOptions;
  readonly #shared: SharedStream;
  #stream: PacketStream | undefined;
  readonly #dials = new Map<bigint, PendingDial>();
  /** Numbers of our own: what frontends choose may be the same twice, and is nobody else's affair. */
  #lastDialId = 0n;
  /** The greatest number that the agent gave a connection. */
  #lastConnectId = 0;
  #closed = false;
  #serverStops = false;

  constructor(options: AgentLinkOptions) {
    this.agentId = options.agentId;
    this.identifiers = options.identifiers;
    this.#options = options;
    const { budget, limits = defaultLaneLimits } = options;
    this.#shared = new SharedStream({ owner: this, budget, limits });
    this.#shared.canPause = options.canPause;
  }

  /** What hears the stream. */
  get listener(): SharedStream {
    return this.#shared;
  }

  attach(stream: PacketStream): void {
    this.#stream = stream;
    this.#shared.attach(stream);
  }

  get pendingDials(): number {
    return this.#dials.size;
  }

  get connections(): number {
    return this.#shared.size;
  }

  /** What it has to do: agents with less are asked first. */
  get load(): number {
    return this.#dials.size + this.#shared.size;
  }

  /** Asks for a connection; the result cancels it as long as it is not answered. */
  dial({ protocol, address }: DialTarget, dialer: Dialer): () => void {
    const { maxPendingDials, dialTimeoutMs } = this.#options;
    if (this.#closed || this.#dials.size >= maxPendingDials) {
      dialer.failed(this.#closed ? agentLost() : tooManyDials());
      return () => undefined;
    }
    this.#lastDialId += 1n;
    const dialId = this.#lastDialId;
    const onTimeout = () => this.#settle(dialId)?.dialer.failed(dialTimedOut());
    const timer =
      dialTimeoutMs > 0
        ? setTimeout(() => {
            onTimeout();
            this.#shared.send({ type: 'DIAL_CLS', dialId });
          }, dialTimeoutMs)
        : undefined;
    this.#dials.set(dialId, { dialer, timer, startedAt: performance.now() });
    this.#shared.send({ type: 'DIAL_REQ', protocol, address, dialId });
    return () => {
      // The agent may have answered meanwhile: its connection is closed when the answer comes.
      if (this.#settle(dialId)) this.#shared.send({ type: 'DIAL_CLS', dialId });
    };
  }

  /**
   * The server stops: the agent is told so. Go's agents drop a connection that is told, with all that runs on it, so that
   * they hear of it when nothing does.
   */
  serverStops(): void {
    this.#serverStops = true;
    if (this.#options.canPause || this.load === 0) this.#options.finishConnection();
  }

  /** Ends it; connections through it are cut. */
  finish(status: GrpcStatus): void {
    this.#stream?.finish(status);
    this.#stream?.cancel();
  }

  // What follows is for the stream.

  packet(packet: ControlPacket): void {
    switch (packet.type) {
      case 'DIAL_RSP':
        this.#onAnswer(packet);
        return;
      case 'DRAIN':
        if (this.isDraining) return;
        this.isDraining = true;
        this.#options.onDrain(this);
        this.#shared.wayEnds();
        return;
      case 'DIAL_CLS':
        this.#settle(packet.dialId)?.dialer.failed(agentLost());
        return;
      default:
        // The close of a connection that is gone already; what only servers send; what is not known.
        this.#options.log.debug(
          { agent: this.agentId, type: packet.type },
          'a packet of an agent was ignored',
        );
    }
  }

  unknownData(connectId: number): void {
    // What was closed is known to be closed; the agent may not know what was never open.
    if (connectId > this.#lastConnectId) this.#shared.send({ type: 'CLOSE_REQ', connectId });
  }

  /** Agents answer it with what they have read so far, and a CLOSE_RSP. */
  closePacket(connectId: number, reason: string): Packet {
    if (reason === TOO_SLOW) this.#options.metrics.slowReaderCut();
    return { type: 'CLOSE_REQ', connectId };
  }

  idle(): void {
    if (this.#serverStops) this.#options.finishConnection();
  }

  closed(status: GrpcStatus): void {
    this.#closed = true;
    this.#options.onClosed(this, status);
    for (const dialId of [...this.#dials.keys()]) this.#settle(dialId)?.dialer.failed(agentLost());
  }

  #onAnswer({ dialId, error, connectId }: Extract<Packet, { type: 'DIAL_RSP' }>): void {
    const dial = this.#settle(dialId);
    if (error !== '') {
      dial?.dialer.failed(new DialFailure('error_response', error));
      return;
    }
    this.#lastConnectId = Math.max(this.#lastConnectId, connectId);
    if (!dial) {
      // Nobody waits for it any more (apiserver-network-proxy#404).
      this.#options.metrics.dialFailed('unrecognized_response');
      this.#shared.send({ type: 'CLOSE_REQ', connectId });
      return;
    }
    this.#options.metrics.dialed((performance.now() - dial.startedAt) / 1000);
    dial.dialer.opened(connectId, (sink) => this.#shared.open(connectId, sink));
  }

  #settle(dialId: bigint): PendingDial | undefined {
    const dial = this.#dials.get(dialId);
    if (!dial) return undefined;
    this.#dials.delete(dialId);
    clearTimeout(dial.timer);
    return dial;
  }
}
