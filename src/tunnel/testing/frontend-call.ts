import { connect } from 'node:net';
import type { Socket } from 'node:net';
import type { Http2Connection } from '../../http2/connection.ts';
import type { Http2Stream } from '../../http2/stream.ts';
import type { GrpcStatus } from '../grpc-status.ts';
import type { DialRequest } from '../packet.ts';
import type { ControlPacket } from '../packet-reader.ts';
import { PacketStream } from '../packet-stream.ts';
import type { PacketStreamListener } from '../packet-stream.ts';

/** A frontend's stream as the test sees it, which is the server and the agent behind it. */
export class FrontendCall implements PacketStreamListener {
  /** All that came but bytes. */
  readonly packets: ControlPacket[] = [];
  readonly stream: PacketStream;
  readonly http2: Http2Stream;
  /** What it came on. */
  readonly connection: Http2Connection;
  readonly lines: readonly string[];
  readonly connectId: number;
  /** Set: takes the bytes, which are otherwise kept. */
  onBytes: ((piece: Buffer) => void) | undefined;
  onDrained: (() => void) | undefined;
  onClose: (() => void) | undefined;
  /** False: credit is not given back. */
  consumes = true;
  /** False: the stream is left open when the frontend has ended its side. */
  finishes = true;
  received: Buffer[] = [];
  receivedBytes = 0;
  /** Numbers that bytes came under. */
  readonly connectIds = new Set<number>();
  /** Sizes of the packets that came, so far as they are known by their first pieces. */
  firstPieces = 0;
  ended: GrpcStatus | undefined;
  readonly #onDial: (call: FrontendCall, dial: DialRequest) => void;

  constructor(
    parts: { stream: Http2Stream; connection: Http2Connection; lines: readonly string[]; connectId: number },
    onDial: (call: FrontendCall, dial: DialRequest) => void,
  ) {
    this.http2 = parts.stream;
    this.connection = parts.connection;
    this.lines = parts.lines;
    this.connectId = parts.connectId;
    this.#onDial = onDial;
    this.stream = new PacketStream(parts.stream, { isServer: true, holdsCredit: true, listener: this });
  }

  get dial(): DialRequest {
    const first = this.packets[0];
    if (first?.type !== 'DIAL_REQ') throw new Error('nothing was dialled');
    return first;
  }

  get types(): string[] {
    return this.packets.map(({ type }) => type);
  }

  accept(): void {
    const { dialId } = this.dial;
    this.stream.send({ type: 'DIAL_RSP', error: '', connectId: this.connectId, dialId });
  }

  refuse(error: string): void {
    this.stream.send({ type: 'DIAL_RSP', error, connectId: 0, dialId: this.dial.dialId });
  }

  send(bytes: Buffer | string): boolean {
    return this.stream.sendData(this.connectId, Buffer.from(bytes));
  }

  close(error = ''): void {
    this.stream.send({ type: 'CLOSE_RSP', connectId: this.connectId, error });
  }

  /** Answers the question for the end of the connection, as servers do. */
  confirmClose(): void {
    this.close();
    this.stream.finish();
  }

  packet(packet: ControlPacket): void {
    this.packets.push(packet);
    if (packet.type === 'DIAL_REQ') this.#onDial(this, packet);
    if (packet.type === 'CLOSE_REQ') this.onClose?.();
  }

  data(connectId: number, piece: Buffer, isFirst: boolean): void {
    this.connectIds.add(connectId);
    if (isFirst) this.firstPieces += 1;
    this.receivedBytes += piece.length;
    if (this.onBytes) this.onBytes(piece);
    else this.received.push(piece);
    if (this.consumes) this.stream.consumed(piece.length);
  }

  drained(): void {
    this.onDrained?.();
  }

  closed(status: GrpcStatus): void {
    this.ended = status;
    if (this.finishes) this.stream.finish();
    this.onClose?.();
  }
}

/** Accepts, sends back what comes, and confirms the end. */
export function echo(call: FrontendCall): void {
  call.onBytes = (piece) => call.send(piece);
  call.onClose = () => call.confirmClose();
  call.accept();
}

/** An agent: connects to 127.0.0.1 at the port that belongs to the address, and carries both ways with back-pressure. */
export function agentTo(portOf: (address: string) => number): (call: FrontendCall) => void {
  return (call) => {
    const socket: Socket = connect(portOf(call.dial.address), '127.0.0.1');
    let held = 0;
    call.consumes = false;
    socket.setNoDelay(true);
    socket.once('connect', () => call.accept());
    socket.on('data', (chunk: Buffer) => {
      if (!call.stream.sendData(call.connectId, chunk)) socket.pause();
    });
    socket.on('error', (error) => call.close(error.message));
    socket.on('end', () => call.confirmClose());
    socket.on('drain', () => {
      call.stream.consumed(held);
      held = 0;
    });
    call.onDrained = () => socket.resume();
    call.onBytes = (piece) => {
      if (socket.write(piece)) call.stream.consumed(piece.length);
      else held += piece.length;
    };
    call.onClose = () => {
      socket.end();
      call.confirmClose();
    };
  };
}
