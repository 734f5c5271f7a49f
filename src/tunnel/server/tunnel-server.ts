import type { Log } from '../../base/log.ts';
import type { Closable } from '../../base/scope.ts';
import { Budget } from '../budget.ts';
import { GrpcStatus, grpcCode } from '../grpc-status.ts';
import { listenForStreams } from '../stream-listener.ts';
import type { ListenAddress, ServerTls, StreamListenerHandle } from '../stream-listener.ts';
import { AgentCalls } from './agent-calls.ts';
import type { AgentLink } from './agent-link.ts';
import { AgentTable } from './agent-table.ts';
import type { Strategy } from './agent-table.ts';
import { createConnectFrontends } from './connect-frontend.ts';
import { GrpcFrontend } from './grpc-frontend.ts';
import { GrpcPort } from './grpc-port.ts';
import type { GrpcCall } from './grpc-server-connection.ts';
import type { IdentifierRule } from './identifier-rule.ts';
import type { TunnelServerMetrics } from './server-metrics.ts';

/** Durations are milliseconds. */
export interface TunnelServerOptions {
  /** Tells this server from the others of its name. */
  readonly serverId: string;
  /** How many there are; agents connect to so many. */
  readonly serverCount: () => number;
  /** In order. */
  readonly strategies: readonly Strategy[];
  readonly frontend: {
    readonly mode: 'grpc' | 'http-connect';
    readonly address: ListenAddress;
    readonly tls: ServerTls | undefined;
  };
  readonly agents: { readonly address: ListenAddress; readonly tls: ServerTls | undefined };
  /** See `AgentCallsOptions`. */
  readonly authenticateAgent?: (authorization: string | undefined, signal: AbortSignal) => Promise<void>;
  readonly identifierRule: IdentifierRule;
  /** Until an agent has answered a dial; 0: no limit. */
  readonly dialTimeoutMs: number;
  /** Between PINGs to agents, and to frontends; 0: none. */
  readonly keepaliveMs: number;
  readonly frontendKeepaliveMs: number;
  /** Dials that wait for one agent. */
  readonly maxPendingDials: number;
  /** Bytes that wait for slow readers, of all connections together: the one with most is cut beyond it. */
  readonly maxHeldBytes: number;
  readonly metrics: TunnelServerMetrics;
  readonly log: Log;
}

export interface TunnelServer extends Closable {
  /** 0 where it is a Unix socket. */
  readonly frontendPort: number;
  readonly agentPort: number;
  /** Agents that are connected. */
  readyAgents(): number;
  /** For new connections; those that are open keep theirs. */
  setFrontendTls(tls: ServerTls): void;
  setAgentTls(tls: ServerTls): void;
}

const handshakeTimeoutMs = 10_000;
const keepaliveTimeoutMs = 20_000;
/** Agents and frontends have few connections each; this is what a process can hold. */
const maxConnections = 50_000;

/** Between frontends, which ask for connections, and agents, which make them: routes and carries, and looks into nothing. */
export async function createTunnelServer(options: TunnelServerOptions): Promise<TunnelServer> {
  const agents = new AgentTable(options.strategies);
  const budget = new Budget(options.maxHeldBytes);
  const { metrics, log } = options;
  const calls = new AgentCalls({ ...options, agents, budget });
  const frontends = new Set<GrpcFrontend>();
  const tunnels = createConnectFrontends({ agents, metrics, headersTimeoutMs: handshakeTimeoutMs });
  const agentPort = new GrpcPort({
    ...{ keepaliveMs: options.keepaliveMs, keepaliveTimeoutMs, maxConcurrentStreams: 100 },
    // One stream carries all connections of an agent, also over long ways; each has a limit of its own behind it.
    streamWindowBytes: 8 * 1024 * 1024,
    methods: { '/AgentService/Connect': (call) => calls.take(call) },
  });
  const frontendPort = new GrpcPort({
    ...{ keepaliveMs: options.frontendKeepaliveMs, keepaliveTimeoutMs, maxConcurrentStreams: 100_000 },
    // How much of one connection waits here when its agent does not take it.
    streamWindowBytes: 512 * 1024,
    methods: { '/ProxyService/Proxy': (call) => takeFrontend(call, { agents, metrics, frontends }) },
  });
  metrics.watch({
    grpcConnections: () => ({ proxy: frontends.size, connect: calls.size }),
    httpConnections: () => tunnels.size,
    pendingDials: () => sum(agents, ({ pendingDials }) => pendingDials),
    establishedConnections: () => sum(agents, ({ connections }) => connections),
    readyAgents: () => agents.counts(),
    heldBytes: () => budget.heldBytes,
  });
  const { mode } = options.frontend;
  const shared = { handshakeTimeoutMs, maxConnections, log };
  const agentListener = await listenForStreams({
    ...{ ...shared, ...options.agents, alpn: ['h2'] },
    onConnection: (connection) => agentPort.accept(connection),
  });
  let frontendListener: StreamListenerHandle;
  try {
    frontendListener = await listenForStreams({
      ...{ ...shared, ...options.frontend, alpn: mode === 'grpc' ? ['h2'] : ['http/1.1'] },
      onConnection: (connection) =>
        mode === 'grpc' ? frontendPort.accept(connection) : tunnels.accept(connection.socket),
    });
  } catch (error) {
    agentListener.destroy();
    throw error;
  }
  const destroy = () => {
    for (const listener of [agentListener, frontendListener]) listener.destroy();
    tunnels.destroy();
  };
  return {
    frontendPort: frontendListener.port,
    agentPort: agentListener.port,
    readyAgents: () => agents.size,
    setFrontendTls: (tls) => frontendListener.setTls(tls),
    setAgentTls: (tls) => agentListener.setTls(tls),
    close: async () => {
      const closed = Promise.all([agentListener.close(), frontendListener.close()]);
      // Agents connect to another server at once, and serve what is open here until it ends.
      agentPort.finish();
      frontendPort.finish();
      await Promise.race([closed, frontendsEnd(frontends, () => tunnels.size)]);
      for (const link of calls.links()) link.finish(new GrpcStatus(grpcCode.unavailable, 'the server stops'));
      destroy();
      await closed;
    },
    destroy,
  };
}

function takeFrontend(
  call: GrpcCall,
  parts: {
    readonly agents: AgentTable;
    readonly metrics: TunnelServerMetrics;
    readonly frontends: Set<GrpcFrontend>;
  },
): void {
  const { agents, metrics, frontends } = parts;
  frontends.add(
    new GrpcFrontend(call, { agents, metrics, onClosed: (frontend) => frontends.delete(frontend) }),
  );
}

/** Looked at now and then: there is no one moment at which two kinds of frontends are gone. */
async function frontendsEnd(frontends: ReadonlySet<GrpcFrontend>, tunnels: () => number): Promise<void> {
  while (frontends.size > 0 || tunnels() > 0)
    await new Promise((resolve) => {
      setTimeout(resolve, 50);
    });
}

function sum(agents: AgentTable, of: (link: AgentLink) => number): number {
  let total = 0;
  for (const link of agents.links()) total += of(link);
  return total;
}
