import { randomBytes } from 'node:crypto';
import { Failure } from '../../base/failure.ts';
import { wayEnds } from '../../net/dial.ts';
import { abortFailure } from '../../net/node-errors.ts';
import { grpcCode } from '../grpc-status.ts';
import type { GrpcStatus } from '../grpc-status.ts';
import type { DialResponse } from '../packet.ts';
import type { ControlPacket } from '../packet-reader.ts';
import type { PacketStream, PacketStreamListener } from '../packet-stream.ts';
import { outcomeOfError } from './dial-outcome.ts';
import type { DialOutcome, DialRequest } from './dial-outcome.ts';
import { peerText } from '../peer-text.ts';
import type { ServerConnection } from './server-connection.ts';
import { TunnelSocket } from './tunnel-socket.ts';
import type { TunnelSocketOwner } from './tunnel-socket.ts';

export interface CallLimits {
  /** Without a sign of life of the server for so long, it is asked whether it is there. */
  readonly silenceMs: number;
  readonly closeTimeoutMs: number;
}

/** Asks a server for a connection, on a stream of its own. Never rejects. */
export function callServer(
  connection: ServerConnection,
  request: DialRequest,
  limits: CallLimits,
): Promise<DialOutcome> {
  return new Promise((resolve) => {
    new TunnelCall(connection, { ...limits, ...request, resolve }).begin();
  });
}

type CallOptions = CallLimits & DialRequest & { readonly resolve: (outcome: DialOutcome) => void };

/** 63 random bits: the Go server finds a dial by them alone, among those of all its frontends. */
const newDialId = () => randomBytes(8).readBigUInt64BE() >> 1n;

/** Codes of a stream that broke; any other means that the server will have none of it. */
const brokenCodes = new Set<number>([
  grpcCode.ok,
  grpcCode.cancelled,
  grpcCode.internal,
  grpcCode.resourceExhausted,
  grpcCode.unavailable,
]);

/** A stream of a tunnel server (`ProxyService/Proxy`): one dial, and the connection that comes of it. */
class TunnelCall implements PacketStreamListener, TunnelSocketOwner {
  readonly #connection: ServerConnection;
  readonly #options: CallOptions;
  readonly #dialId = newDialId();
  #stream: PacketStream | undefined;
  #socket: TunnelSocket | undefined;
  #settled = false;
  #silenceTimer: NodeJS.Timeout | undefined;
  #lastTimer: NodeJS.Timeout | undefined;
  #forgetEnding: (() => void) | undefined;

  constructor(connection: ServerConnection, options: CallOptions) {
    this.#connection = connection;
    this.#options = options;
  }

  begin(): void {
    const { signal, target, counted, silenceMs } = this.#options;
    if (signal.aborted) {
      this.#settle({ type: 'failed', failure: abortFailure(signal), reason: 'context' });
      return;
    }
    const stream = this.#connection.call(this);
    if (!stream) {
      this.#settle(this.#lost('the connection takes no more streams'));
      return;
    }
    this.#stream = stream;
    counted.become('dialing');
    signal.addEventListener('abort', this);
    // The answer's head comes with the first packet, so that there is nothing to wait for before this.
    stream.send({ type: 'DIAL_REQ', protocol: 'tcp', address: target, dialId: this.#dialId });
    this.#connection.askWhenSilent();
    // Looked at more often than it is asked: something may be heard right behind the beginning.
    this.#silenceTimer = setInterval(() => this.#connection.askWhenSilent(), silenceMs / 2).unref();
  }

  /** Nobody waits any more. */
  handleEvent(): void {
    this.#stream?.send({ type: 'DIAL_CLS', dialId: this.#dialId });
    const { signal } = this.#options;
    const failure = abortFailure(signal);
    this.#settle({ type: 'failed', failure, reason: failure.kind === 'timeout' ? 'timeout' : 'context' });
    this.#stream?.cancel();
  }

  // What follows is for the stream.

  packet(packet: ControlPacket): void {
    this.#connection.heard();
    switch (packet.type) {
      case 'DIAL_RSP':
        if (packet.dialId === this.#dialId && !this.#settled) this.#onAnswer(packet);
        return;
      case 'CLOSE_RSP':
        if (!this.#settled) this.#giveUp(this.#lost(packet.error));
        else if (packet.connectId === this.#socket?.connectId) this.#socket.closedByPeer(packet.error);
        return;
      case 'DRAIN':
        this.#socket?.emit(wayEnds);
        return;
      case 'DIAL_CLS':
        if (!this.#settled) this.#giveUp({ ...this.#lost('the dial was closed'), reason: 'dialclosed' });
        return;
      default:
      // Of no meaning for those who dial, or of a later version of the protocol.
    }
  }

  data(connectId: number, piece: Buffer): void {
    this.#connection.heard();
    if (connectId === this.#socket?.connectId) this.#socket.receive(piece);
    else this.#stream?.consumed(piece.length);
  }

  drained(): void {
    this.#socket?.resumeWriting();
  }

  closed(status: GrpcStatus): void {
    clearTimeout(this.#lastTimer);
    this.#forgetEnding?.();
    if (!this.#settled) this.#settle(this.#outcomeOf(status));
    this.#socket?.streamEnded(status.isOk ? undefined : this.#lostFailure(status.message));
    // The server has said its last word; ours lets both forget the stream.
    this.#stream?.finish();
    if (this.#socket) this.#options.counted.end();
  }

  // What follows is for the socket.

  onClosing(): void {
    this.#options.counted.become('closing');
  }

  onOver(inGoodOrder: boolean): void {
    if (inGoodOrder) this.#finish();
    else this.#stream?.cancel();
  }

  #onAnswer({ error, connectId }: DialResponse): void {
    const stream = this.#stream;
    if (!stream) return;
    if (error !== '') {
      this.#giveUp(outcomeOfError(error, this.#options.target));
      return;
    }
    // At once, and not when somebody has waited for it: bytes may stand right behind the answer.
    const socket = new TunnelSocket({
      ...{ stream, connectId, owner: this },
      closeTimeoutMs: this.#options.closeTimeoutMs,
    });
    // Until its owner listens an error must not end the process: the end may stand right behind the answer, too.
    socket.on('error', () => undefined);
    this.#socket = socket;
    this.#forgetEnding = this.#connection.onEnding(() => socket.emit(wayEnds));
    this.#options.counted.become('ok');
    this.#settle({ type: 'open', socket });
  }

  /** Ends the stream in good order, or cuts it when the server does not follow. */
  #finish(): void {
    const stream = this.#stream;
    if (!stream || stream.isClosed) return;
    stream.finish();
    this.#lastTimer ??= setTimeout(() => stream.cancel(), this.#options.closeTimeoutMs).unref();
  }

  #giveUp(outcome: DialOutcome): void {
    this.#settle(outcome);
    this.#finish();
  }

  #settle(outcome: DialOutcome): void {
    this.#settled = true;
    this.#options.signal.removeEventListener('abort', this);
    clearInterval(this.#silenceTimer);
    this.#options.resolve(outcome);
  }

  #outcomeOf(status: GrpcStatus): DialOutcome {
    if (brokenCodes.has(status.code)) return this.#lost(status.message);
    const text = `tunnel server ${this.#connection.name}: ${peerText(status.message)}`;
    return { type: 'unusable', failure: new Failure('refused', text), reason: 'streamsetup' };
  }

  #lost(words: string) {
    const text = `tunnel server ${this.#connection.name}: lost before the dial was answered: ${this.#why(words)}`;
    return { type: 'lost', failure: new Failure('unreachable', text), reason: 'tunnelclosed' } as const;
  }

  /** Of a connection that was open. */
  #lostFailure(words: string): Failure {
    return new Failure('reset', `tunnel server ${this.#connection.name}: ${this.#why(words)}`, {
      sent: true,
    });
  }

  /** What is known of the connection says more than how its streams ended. */
  #why(words: string): string {
    const { failure, usable } = this.#connection;
    if (failure) return failure.message;
    return usable ? peerText(words) || 'the stream ended' : 'the server ended the connection';
  }
}
