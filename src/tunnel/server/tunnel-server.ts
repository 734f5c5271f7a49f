import type { Log } from '../../base/log.ts';
import type { Closable } from '../../base/scope.ts';
import type { Dial } from '../../net/dial.ts';
import { Budget } from '../budget.ts';
import { GrpcStatus, grpcCode } from '../grpc-status.ts';
import { listenForStreams } from '../stream-listener.ts';
import type { ListenAddress, ServerTls, StreamListenerHandle } from '../stream-listener.ts';
import { AgentCalls } from './agent-calls.ts';
import type { AgentLink } from './agent-link.ts';
import { AgentTable } from './agent-table.ts';
import type { Strategy } from './agent-table.ts';
import { Frontends } from './frontends.ts';
import type { FrontendPort } from './frontends.ts';
import { GrpcPort } from './grpc-port.ts';
import type { IdentifierRule } from './identifier-rule.ts';
import { createLocalDial } from './local-dial.ts';
import type { TunnelServerMetrics } from './server-metrics.ts';

/** Durations are milliseconds. */
export interface TunnelServerOptions {
  /** Tells this server from the others of its name. */
  readonly serverId: string;
  /** How many there are; agents connect to so many. */
  readonly serverCount: () => number;
  /** In order. */
  readonly strategies: readonly Strategy[];
  /** Undefined: connections are asked for in this process alone, by `dial`. */
  readonly frontend: FrontendPort | undefined;
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
  /** Opens a connection through an agent, for whoever is in this process. */
  readonly dial: Dial;
  /** 0 where it is a Unix socket, or none. */
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
  const frontends = new Frontends({
    ...{ agents, budget, metrics, log, keepaliveMs: options.frontendKeepaliveMs, keepaliveTimeoutMs },
    headersTimeoutMs: handshakeTimeoutMs,
  });
  const agentPort = new GrpcPort({
    ...{ keepaliveMs: options.keepaliveMs, keepaliveTimeoutMs, maxConcurrentStreams: 100 },
    // One stream carries all connections of an agent, also over long ways; each has a limit of its own behind it.
    streamWindowBytes: 8 * 1024 * 1024,
    maxUnreadBytes: 64 * 1024 * 1024,
    methods: { '/AgentService/Connect': (call) => calls.take(call) },
  });
  metrics.watch({
    grpcConnections: () => ({ proxy: frontends.streams, connect: calls.size }),
    httpConnections: () => frontends.tunnels,
    pendingDials: () => sum(agents, ({ pendingDials }) => pendingDials),
    establishedConnections: () => sum(agents, ({ connections }) => connections),
    readyAgents: () => agents.counts(),
    heldBytes: () => budget.heldBytes,
  });
  const shared = { handshakeTimeoutMs, maxConnections, log };
  const agentListener = await listenForStreams({
    ...{ ...shared, ...options.agents, alpn: ['h2'] },
    onConnection: (connection) => agentPort.accept(connection),
  });
  const { frontend } = options;
  let frontendListener: StreamListenerHandle | undefined;
  try {
    frontendListener =
      frontend &&
      (await listenForStreams({
        ...{ ...shared, ...frontend, alpn: frontend.mode === 'grpc' ? ['h2'] : ['http/1.1'] },
        onConnection: (connection) => frontends.accept(connection, frontend),
      }));
  } catch (error) {
    agentListener.destroy();
    throw error;
  }
  const destroy = () => {
    for (const listener of [agentListener, frontendListener]) listener?.destroy();
    frontends.destroy();
  };
  return {
    dial: createLocalDial(agents, metrics),
    frontendPort: frontendListener?.port ?? 0,
    agentPort: agentListener.port,
    readyAgents: () => agents.size,
    setFrontendTls: (tls) => frontendListener?.setTls(tls),
    setAgentTls: (tls) => agentListener.setTls(tls),
    close: async () => {
      const closed = Promise.all([agentListener.close(), frontendListener?.close()]);
      agentPort.finish({ idleOnly: true });
      calls.serverStops();
      await Promise.race([closed, frontends.finish()]);
      for (const link of calls.links()) link.finish(new GrpcStatus(grpcCode.unavailable, 'the server stops'));
      destroy();
      await closed;
    },
    destroy,
  };
}

function sum(agents: AgentTable, of: (link: AgentLink) => number): number {
  let total = 0;
  for (const link of agents.links()) total += of(link);
  return total;
}
