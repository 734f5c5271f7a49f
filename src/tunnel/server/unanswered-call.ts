import type { Http2Stream } from '../../http2/stream.ts';
import { PacketStream } from '../packet-stream.ts';
import type { GrpcStatus } from '../grpc-status.ts';

/** A call that gets no answer but its end; what comes on it meanwhile is dropped. */
export class UnansweredCall {
  readonly #stream: PacketStream;

  constructor(stream: Http2Stream) {
    this.#stream = new PacketStream(stream, {
      isServer: true,
      holdsCredit: false,
      listener: { packet: () => {}, data: () => {}, drained: () => {}, closed: () => {} },
    });
  }

  finish(status: GrpcStatus): void {
    this.#stream.finish(status);
  }
}
