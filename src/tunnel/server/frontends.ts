import type { Log } from '../../base/log.ts';
import type { Budget } from '../budget.ts';
import type { AcceptedConnection, ListenAddress, ServerTls } from '../stream-listener.ts';
import type { AgentTable } from './agent-table.ts';
import { createConnectFrontends } from './connect-frontend.ts';
import type { ConnectFrontends } from './connect-frontend.ts';
import { GrpcFrontend } from './grpc-frontend.ts';
import { GrpcPort } from './grpc-port.ts';
import { commonNameOf } from './identifier-rule.ts';
import type { TunnelServerMetrics } from './server-metrics.ts';

export interface FrontendPort {
  readonly mode: 'grpc' | 'http-connect';
  readonly address: ListenAddress;
  readonly tls: ServerTls | undefined;
  /** Common names that a client's certificate may have; empty: any that the CA has signed. */
  readonly allowedNames?: readonly string[];
}

export interface FrontendsOptions {
  readonly agents: AgentTable;
  readonly budget: Budget;
  readonly metrics: TunnelServerMetrics;
  readonly keepaliveMs: number;
  readonly keepaliveTimeoutMs: number;
  readonly headersTimeoutMs: number;
  readonly log: Log;
}

/** All that ask for connections from outside of this process. */
export class Frontends {
  readonly #log: Log;
  readonly #streams = new Set<GrpcFrontend>();
  readonly #tunnels: ConnectFrontends;
  readonly #grpc: GrpcPort;

  constructor(options: FrontendsOptions) {
    const { agents, budget, metrics } = options;
    const onClosed = (frontend: GrpcFrontend) => void this.#streams.delete(frontend);
    this.#log = options.log;
    this.#tunnels = createConnectFrontends(options);
    this.#grpc = new GrpcPort({
      ...options,
      maxConcurrentStreams: 100_000,
      // How much of one connection waits here when its agent does not take it.
      streamWindowBytes: 512 * 1024,
      // The budget bounds them: a limit of the connection would stop all streams of a gateway for a few that are stuck.
      maxUnreadBytes: Infinity,
      methods: {
        '/ProxyService/Proxy': (call) =>
          void this.#streams.add(new GrpcFrontend(call, { agents, budget, metrics, onClosed })),
      },
    });
  }

  /** Streams of gRPC frontends. */
  get streams(): number {
    return this.#streams.size;
  }

  /** Connections of CONNECT frontends. */
  get tunnels(): number {
    return this.#tunnels.size;
  }

  accept(connection: AcceptedConnection, { mode, allowedNames = [] }: FrontendPort): void {
    const name = commonNameOf(connection.certificate);
    if (allowedNames.length > 0 && !allowedNames.includes(name ?? '')) {
      const peer = connection.remoteAddress;
      this.#log.warn({ name, peer }, 'a frontend was refused: its name is not allowed');
      connection.socket.destroy();
    } else if (mode === 'grpc') this.#grpc.accept(connection);
    else this.#tunnels.accept(connection.socket);
  }

  /** No new connections; resolves when those that are open have ended. */
  async finish(): Promise<void> {
    this.#grpc.finish();
    // Looked at now and then: there is no one moment at which two kinds of them are gone.
    while (this.streams > 0 || this.tunnels > 0)
      await new Promise((resolve) => {
        setTimeout(resolve, 50);
      });
  }

  destroy(): void {
    this.#tunnels.destroy();
  }
}
