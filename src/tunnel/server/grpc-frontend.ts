import { firstHeader } from '../../base/header-lines.ts';
import type { Budget, Charged } from '../budget.ts';
import type { Lane, LaneSink } from '../lane.ts';
import { drainHeader } from '../packet.ts';
import type { Packet } from '../packet.ts';
import type { ControlPacket } from '../packet-reader.ts';
import { PacketStream } from '../packet-stream.ts';
import type { PacketStreamListener } from '../packet-stream.ts';
import type { GrpcStatus } from '../grpc-status.ts';
import type { AgentTable } from './agent-table.ts';
import type { DialFailure } from './dial-failure.ts';
import type { GrpcCall } from './grpc-server-connection.ts';
import { dialThroughAgents } from './dialer.ts';
import type { TunnelServerMetrics } from './server-metrics.ts';

export interface GrpcFrontendOptions {
  readonly agents: AgentTable;
  readonly budget: Budget;
  readonly metrics: TunnelServerMetrics;
  /** Told once, at the end of the stream. */
  readonly onClosed: (frontend: GrpcFrontend) => void;
}

type State =
  | { readonly type: 'idle' }
  | { readonly type: 'dialing'; readonly dialId: bigint; readonly cancel: () => void }
  | {
      readonly type: 'open';
      readonly dialId: bigint;
      readonly connectId: number;
      readonly lane: Lane;
      readonly openedAt: number;
    }
  | { readonly type: 'over' };

/**
 * A frontend's stream (`ProxyService/Proxy`): one dial and the connection that comes of it. It can name no connection
 * but its own, whatever numbers it sends.
 */
export class GrpcFrontend implements PacketStreamListener, Charged {
  readonly #options: GrpcFrontendOptions;
  readonly #stream: PacketStream;
  readonly #heedsDrain: boolean;
  #state: State = { type: 'idle' };
  /** Bytes that the frontend sent and that its agent's stream had no room for. */
  #heldCredit = 0;

  constructor({ lines, stream, countReset }: GrpcCall, options: GrpcFrontendOptions) {
    this.#options = options;
    const { metrics } = options;
    this.#heedsDrain = firstHeader(lines, drainHeader) !== undefined;
    this.#stream = new PacketStream(stream, {
      ...{ isServer: true, holdsCredit: true, listener: this, onReset: countReset },
      onPacket: (type, direction) => metrics.packet(direction === 'in' ? 'from_client' : 'to_client', type),
    });
  }

  /** What waits for its agent, in bytes. */
  get heldBytes(): number {
    return this.#heldCredit;
  }

  /** Too many bytes wait in the server, and most of them here: the destination does not read. */
  overBudget(): void {
    if (this.#state.type === 'open') this.#state.lane.overBudget();
  }

  /** Ends it: the server stops. */
  finish(status: GrpcStatus): void {
    this.#release();
    this.#stream.finish(status);
  }

  // What follows is for the stream.

  packet(packet: ControlPacket): void {
    switch (packet.type) {
      case 'DIAL_REQ':
        this.#dial(packet);
        return;
      case 'DIAL_CLS':
        this.#cancel(packet.dialId);
        return;
      case 'CLOSE_REQ':
        this.#onCloseRequest(packet.connectId);
        return;
      case 'CLOSE_RSP':
        // Frontends ask; one that answers means the same.
        this.#onCloseRequest(packet.connectId);
        return;
      default:
    }
  }

  data(connectId: number, piece: Buffer): void {
    const state = this.#state;
    if (state.type === 'open' && state.connectId === connectId) {
      if (state.lane.send(piece)) this.#stream.consumed(piece.length);
      else this.#hold(piece.length);
      return;
    }
    this.#stream.consumed(piece.length);
    if (state.type === 'over') return;
    if (state.type === 'open') this.#onMismatch(connectId);
    else this.#answerClosed(connectId, 'backend not initialized');
  }

  /** The frontend's window has room again. */
  drained(): void {
    if (this.#state.type === 'open') this.#state.lane.sinkDrained();
  }

  closed(status: GrpcStatus): void {
    if (!status.isOk) this.#options.metrics.streamError('from_client', String(status.code));
    if (this.#state.type === 'dialing') this.#options.metrics.dialFailed('frontend_close');
    this.#release();
    this.#stream.finish();
    this.#options.onClosed(this);
  }

  /** Where the connection's bytes go. */
  readonly #sink: LaneSink = {
    write: (bytes) =>
      this.#state.type === 'open' ? this.#stream.sendData(this.#state.connectId, bytes) : true,
    ended: (error) => this.#answerEnd(error),
    cut: (reason) => this.#answerEnd(reason),
    drained: () => this.#giveCredit(),
    wayEnds: () => {
      if (this.#heedsDrain) this.#stream.send({ type: 'DRAIN' });
    },
  };

  #dial({ protocol, address, dialId }: Extract<Packet, { type: 'DIAL_REQ' }>): void {
    if (this.#state.type !== 'idle') {
      // Go's server takes it and later confuses the two connections.
      const error = 'a stream carries one connection';
      this.#stream.send({ type: 'DIAL_RSP', error, connectId: 0, dialId });
      return;
    }
    const dialing = { type: 'dialing' as const, dialId, cancel: () => {} };
    this.#state = dialing;
    const { agents, metrics } = this.#options;
    const cancel = dialThroughAgents(
      { agents, metrics },
      { protocol, address },
      {
        opened: (connectId, open) => this.#onOpened(dialId, connectId, open),
        failed: (failure) => this.#onFailed(dialId, failure),
      },
    );
    if (this.#state === dialing) this.#state = { ...dialing, cancel };
  }

  #onOpened(dialId: bigint, connectId: number, open: (sink: LaneSink) => Lane): void {
    const lane = open(this.#sink);
    this.#state = { type: 'open', dialId, connectId, lane, openedAt: performance.now() };
    this.#stream.send({ type: 'DIAL_RSP', error: '', connectId, dialId });
  }

  #onFailed(dialId: bigint, { message }: DialFailure): void {
    if (this.#state.type !== 'dialing') return;
    // Another dial may follow on this stream.
    this.#state = { type: 'idle' };
    this.#stream.send({ type: 'DIAL_RSP', error: message, connectId: 0, dialId });
  }

  #cancel(dialId: bigint): void {
    const state = this.#state;
    if ((state.type !== 'dialing' && state.type !== 'open') || state.dialId !== dialId) return;
    if (state.type === 'dialing') this.#options.metrics.dialFailed('frontend_close');
    this.#release();
    this.#state = { type: 'idle' };
  }

  #onCloseRequest(connectId: number): void {
    const state = this.#state;
    if (state.type === 'over') return;
    if (state.type !== 'open') {
      this.#answerClosed(connectId, 'backend uninitialized');
      return;
    }
    if (state.connectId !== connectId) {
      this.#onMismatch(connectId);
      return;
    }
    this.#release();
    this.#answerClosed(connectId, '');
    this.#stream.finish();
  }

  /** A number that is not its own: nobody else's connection is touched, and it is not to be trusted with this one. */
  #onMismatch(connectId: number): void {
    const error = 'mismatched connection IDs';
    if (this.#state.type === 'open') this.#answerClosed(this.#state.connectId, error);
    this.#release();
    this.#answerClosed(connectId, error);
    this.#stream.finish();
  }

  #answerClosed(connectId: number, error: string): void {
    this.#stream.send({ type: 'CLOSE_RSP', connectId, error });
  }

  /** The other side has ended it. */
  #answerEnd(error: string): void {
    const state = this.#state;
    if (state.type !== 'open') return;
    this.#release();
    this.#answerClosed(state.connectId, error);
    this.#stream.finish();
  }

  /** Lets go of the dial or the connection. */
  #release(): void {
    const state = this.#state;
    this.#state = { type: 'over' };
    this.#giveCredit();
    if (state.type === 'dialing') state.cancel();
    if (state.type !== 'open') return;
    this.#options.metrics.connectionEnded((performance.now() - state.openedAt) / 1000);
    state.lane.close({ type: 'CLOSE_REQ', connectId: state.connectId });
  }

  #hold(bytes: number): void {
    this.#heldCredit += bytes;
    this.#options.budget.charge(this, bytes);
  }

  #giveCredit(): void {
    const bytes = this.#heldCredit;
    this.#heldCredit = 0;
    this.#options.budget.release(this, bytes);
    if (bytes > 0) this.#stream.consumed(bytes);
  }
}
