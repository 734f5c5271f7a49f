import type { LookupFunction } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from '../../base/failure.ts';
import type { Log } from '../../base/log.ts';
import { Scope } from '../../base/scope.ts';
import type { Closable } from '../../base/scope.ts';
import { createTcpDial } from '../../net/dial-tcp.ts';
import type { Address } from '../../net/dial.ts';
import { Budget } from '../budget.ts';
import { defaultLaneLimits } from '../lane.ts';
import type { AgentMetrics } from './agent-metrics.ts';
import type { DestinationAllowList } from './destination-allow-list.ts';
import type { Destination } from './destination.ts';
import type { DestinationLimits } from './destinations.ts';
import { createEndpointDial } from './endpoint-dial.ts';
import { ServerResolver } from './server-addresses.ts';
import type { LookupAll } from './server-addresses.ts';
import { connectServer } from './server-connection.ts';
import type { AgentIdentity } from './server-connection.ts';
import { ServerSet } from './server-set.ts';
import { createSharedLookup } from './shared-lookup.ts';

export interface AgentOptions {
  readonly identity: AgentIdentity;
  /** Names or addresses; every address of each name is connected to. */
  readonly servers: readonly Address[];
  readonly syncIntervalMs: number;
  readonly syncIntervalCapMs: number;
  readonly syncForever: boolean;
  readonly keepaliveMs: number;
  readonly allowList: DestinationAllowList;
  /** By `aliasKey`. */
  readonly aliases: ReadonlyMap<string, Address>;
  readonly dialTimeoutMs: number;
  /** How long a drained agent takes dials that were on their way, and how long it waits for connections to end. */
  readonly drainMinMs: number;
  readonly drainGraceMs: number;
  readonly metrics: AgentMetrics;
  readonly log: Log;
  readonly limits?: Partial<AgentLimits>;
  /** Resolves the names of servers: the system's unless said. */
  readonly lookup?: LookupAll;
  /** Resolves the names of destinations: the system's unless said. */
  readonly lookupDestination?: LookupFunction;
}

export interface AgentLimits extends DestinationLimits {
  /** Bytes that wait for destinations, of all connections together. */
  readonly maxHeldBytes: number;
  readonly keepaliveTimeoutMs: number;
  /** How long connecting to a server may take, and how long until it has said who it is. */
  readonly serverTimeoutMs: number;
}

const mebibyte = 1024 * 1024;

export const defaultAgentLimits: AgentLimits = {
  maxPendingDials: 2_500,
  maxConnections: 20_000,
  closeTimeoutMs: 10_000,
  lane: defaultLaneLimits,
  maxHeldBytes: 64 * mebibyte,
  keepaliveTimeoutMs: 15_000,
  serverTimeoutMs: 20_000,
};

/** The agent of a tunnel, in the cluster that it leads to. */
export interface Agent extends Closable {
  /** At least one server is connected. */
  readonly isReady: boolean;
  readonly openConnections: number;
  /**
   * Asks the servers for no more dials and connects to no further ones, while everything is served; resolves when nothing
   * is open any more, or the grace is over, or there is no server left that could ask for anything.
   */
  drain(): Promise<'idle' | 'cut'>;
}

const drainCheckMs = 50;

/** Connects to every server, and dials on their behalf; `close` drains it first. */
export function createAgent(options: AgentOptions): Agent {
  const { identity, metrics, log } = options;
  const limits = { ...defaultAgentLimits, ...options.limits };
  const budget = new Budget(limits.maxHeldBytes);
  const sockets = new Set<Destination>();
  const resolver = new ServerResolver(options.servers, options.lookup);
  const serverDial = createTcpDial({ timeoutMs: limits.serverTimeoutMs });
  const dial = createEndpointDial({
    allowList: options.allowList,
    aliases: options.aliases,
    dial: createTcpDial({
      timeoutMs: options.dialTimeoutMs,
      lookup: createSharedLookup(options.lookupDestination),
    }),
  });
  const scope = new Scope();
  scope.own({ destroy: () => sockets.forEach((destination) => destination.destroy()) });
  const servers = scope.own(
    new ServerSet({
      ...options,
      resolve: (signal) => resolver.resolve(signal),
      connect: (attempt, signal) =>
        connectServer(
          {
            ...attempt,
            ...{ identity, metrics, dial: serverDial },
            keepaliveTimeoutMs: limits.keepaliveTimeoutMs,
            answerTimeoutMs: limits.serverTimeoutMs,
            destinations: { dial, budget, limits, sockets, log },
          },
          signal,
        ),
    }),
  );
  const openConnections = () =>
    servers.connections.reduce((sum, connection) => sum + connection.openConnections, 0);
  metrics.watch({
    openServers: () => servers.size,
    knownServers: () => servers.serverCount,
    openEndpoints: openConnections,
    heldBytes: () => budget.heldBytes,
  });
  servers.start();
  const state = { draining: undefined as Promise<'idle' | 'cut'> | undefined };
  const drain = () => (state.draining ??= drainServers(servers, options, scope.signal));
  return {
    get isReady() {
      return servers.size > 0;
    },
    get openConnections() {
      return openConnections();
    },
    drain,
    close: async () => {
      await drain();
      await scope.close();
    },
    destroy: (reason = new Failure('cancelled', 'the agent has ended')) => scope.destroy(reason),
  };
}

async function drainServers(
  servers: ServerSet,
  { drainMinMs, drainGraceMs, log }: AgentOptions,
  signal: AbortSignal,
): Promise<'idle' | 'cut'> {
  servers.drain();
  const begun = performance.now();
  log.info({ servers: servers.connections.length }, 'draining: the servers are asked for no more dials');
  for (;;) {
    const { connections } = servers;
    const passed = performance.now() - begun;
    const isIdle = connections.every((connection) => connection.isIdle);
    if (connections.length === 0 || (isIdle && passed >= drainMinMs)) return 'idle';
    if (passed >= Math.max(drainMinMs, drainGraceMs)) return 'cut';
    await sleep(drainCheckMs, undefined, { signal }).catch(() => undefined);
  }
}
