import { lookup } from 'node:dns';
import { Registry } from 'prom-client';
import type { Log } from '../../base/log.ts';
import type { Address } from '../../net/dial.ts';
import { testPki } from '../../net/testing/certificates.ts';
import { createClientTls } from '../../net/tls.ts';
import { createAgentMetrics } from '../agent/agent-metrics.ts';
import { createAgent } from '../agent/agent.ts';
import type { Agent, AgentOptions } from '../agent/agent.ts';
import { createDestinationAllowList } from '../agent/destination-allow-list.ts';
import type { AgentIdentity } from '../agent/server-connection.ts';
import { onTestEnd, startAgentServer, until } from './agent-server.ts';
import type { AgentCall, AgentServerOptions } from './agent-server.ts';

/** A destination to which nobody answers: its name is never resolved. */
export const hangingName = 'hangs.test';

export interface LogEntry {
  readonly level: keyof Log;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly message: string;
}

export interface AgentUnderTest {
  readonly agent: Agent;
  readonly log: readonly LogEntry[];
  /** The value of a metric, `name{label="value"}`; undefined where there is none. */
  readonly metric: (name: string) => Promise<number | undefined>;
}

export interface AgentChanges extends Partial<Omit<AgentOptions, 'identity' | 'allowList'>> {
  readonly identity?: Partial<AgentIdentity>;
  /** Everything unless said. */
  readonly allow?: readonly string[];
}

/** An agent with short pauses; it is destroyed after the test. */
export async function startTestAgent(
  servers: readonly Address[],
  { identity, allow = ['*'], ...changes }: AgentChanges = {},
): Promise<AgentUnderTest> {
  const { ca, client } = await testPki();
  const registry = new Registry();
  const log: LogEntry[] = [];
  const note = (level: keyof Log) => (fields: object, message: string) =>
    void log.push({ level, fields: fields as LogEntry['fields'], message });
  const tls = createClientTls({ ca: ca.certificatePem, ...client });
  const agent = createAgent({
    identity: {
      ...{ agentId: 'agent-1', identifiers: '', tls: () => tls, alpnProtocols: [], readToken: undefined },
      ...identity,
    },
    servers,
    syncIntervalMs: 20,
    syncIntervalCapMs: 200,
    syncForever: false,
    keepaliveMs: 0,
    allowList: createDestinationAllowList(allow),
    aliases: new Map(),
    dialTimeoutMs: 2_000,
    drainMinMs: 100,
    drainGraceMs: 5_000,
    metrics: createAgentMetrics(registry),
    lookupDestination: (host, options, done) => {
      if (host !== hangingName) lookup(host, options, done);
    },
    log: { debug: note('debug'), info: note('info'), warn: note('warn'), error: note('error') },
    ...changes,
  });
  onTestEnd(() => agent.destroy());
  const metric = async (name: string) => {
    const line = (await registry.metrics())
      .split('\n')
      .find((each) => each.startsWith(`konnectivity_network_proxy_agent_${name} `));
    return line === undefined ? undefined : Number(line.split(' ').at(-1));
  };
  return { agent, log, metric };
}

/** An agent with one server, connected. */
export async function connectedAgent(
  changes: AgentChanges = {},
  server: AgentServerOptions = {},
): Promise<AgentUnderTest & { readonly call: AgentCall }> {
  const agentServer = await startAgentServer(server);
  const under = await startTestAgent([agentServer.address], changes);
  const call = await agentServer.nextCall(1);
  await until(() => under.agent.isReady);
  return { ...under, call };
}
