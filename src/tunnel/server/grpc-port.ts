import { GrpcStatus, grpcCode } from '../grpc-status.ts';
import type { AcceptedConnection } from '../stream-listener.ts';
import { GrpcServerConnection } from './grpc-server-connection.ts';
import type { GrpcCall, GrpcServerConnectionOptions } from './grpc-server-connection.ts';
import { UnansweredCall } from './unanswered-call.ts';

export interface GrpcPortOptions extends Omit<GrpcServerConnectionOptions, 'onCall' | 'onClosed'> {
  /** Who takes the calls of each path. */
  readonly methods: Readonly<Record<string, (call: GrpcCall) => void>>;
}

/** A gRPC server on connections that somebody else accepts. */
export class GrpcPort {
  readonly #options: GrpcPortOptions;
  readonly #connections = new Set<GrpcServerConnection>();
  #finishing = false;

  constructor(options: GrpcPortOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#connections.size;
  }

  accept(peer: AcceptedConnection): void {
    // A client that agreed on something else over TLS would not understand a word.
    if (peer.alpn !== undefined && peer.alpn !== 'h2') {
      peer.socket.destroy();
      return;
    }
    const connection = new GrpcServerConnection(peer, {
      ...this.#options,
      onCall: (call) => this.#onCall(call),
      onClosed: (closed) => this.#connections.delete(closed),
    });
    this.#connections.add(connection);
    if (this.#finishing) connection.finish();
  }

  /** GOAWAY on all connections: no new calls; each ends with its last one. `idleOnly`: those that have a call go on. */
  finish({ idleOnly = false } = {}): void {
    this.#finishing = true;
    for (const connection of this.#connections)
      if (!idleOnly || connection.openStreams === 0) connection.finish();
  }

  #onCall(call: GrpcCall): void {
    const { methods } = this.#options;
    const take = Object.hasOwn(methods, call.path) ? methods[call.path] : undefined;
    if (take) take(call);
    else
      new UnansweredCall(call.stream).finish(
        new GrpcStatus(grpcCode.unimplemented, `unknown method ${call.path}`),
      );
  }
}
