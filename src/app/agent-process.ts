import { readFile } from 'node:fs/promises';
import { Failure } from '../base/failure.ts';
import type { Log } from '../base/log.ts';
import { Redacted } from '../base/redacted.ts';
import { Scope } from '../base/scope.ts';
import { createClientTls } from '../net/tls.ts';
import { createReloadingFile } from '../pki/reloading-file.ts';
import { createReloadingKeyPair } from '../pki/reloading-key-pair.ts';
import { createAgentMetrics } from '../tunnel/agent/agent-metrics.ts';
import { createAgent } from '../tunnel/agent/agent.ts';
import type { AgentLimits } from '../tunnel/agent/agent.ts';
import { createDestinationAllowList } from '../tunnel/agent/destination-allow-list.ts';
import type { LookupAll } from '../tunnel/agent/server-addresses.ts';
import type { AgentIdentity } from '../tunnel/agent/server-connection.ts';
import { startAdminServer, startHealthServer } from '../tunnel/health-server.ts';
import type { AgentProcessOptions } from './agent-options.ts';
import { createProcessRegistry } from './process-registry.ts';
import type { Stoppable } from './run-until-signal.ts';

export interface AgentProcess extends Stoppable {
  readonly healthPort: number;
  readonly adminPort: number;
}

/** What the process may be given by whoever runs it. */
export interface AgentParts {
  readonly log: Log;
  /** The system's unless given. */
  readonly lookup?: LookupAll;
  readonly limits?: Partial<AgentLimits>;
}

/**
 * The composition root of the agent: what is made here, in this order, ends in the reverse one.
 *
 * @throws Error when a file cannot be read or a port cannot be listened on.
 */
export async function startAgent(options: AgentProcessOptions, parts: AgentParts): Promise<AgentProcess> {
  const scope = new Scope();
  try {
    return await compose(options, parts, scope);
  } catch (error) {
    scope.destroy(error);
    throw error;
  }
}

async function compose(options: AgentProcessOptions, parts: AgentParts, scope: Scope): Promise<AgentProcess> {
  const { log } = parts;
  const registry = createProcessRegistry();
  const { tokenFile } = options;
  const agent = createAgent({
    ...options,
    identity: {
      agentId: options.agentId,
      identifiers: options.identifiers,
      ...(await createTlsSource(options, log, scope)),
      alpnProtocols: options.alpnProtocols,
      readToken: tokenFile === undefined ? undefined : () => readToken(tokenFile),
    },
    allowList: createDestinationAllowList(options.allowedDestinations),
    metrics: createAgentMetrics(registry),
    log,
    ...(parts.lookup && { lookup: parts.lookup }),
    ...(parts.limits && { limits: parts.limits }),
  });
  scope.own({ destroy: (reason) => agent.destroy(reason) });
  const readiness = () =>
    agent.isReady
      ? { ok: true, text: 'ok' }
      : { ok: false, text: '[+]ping ok\n[-]server-connected failed: no servers connected\n' };
  const { healthHost, healthPort, adminHost, adminPort } = options;
  const health = scope.own(
    await startHealthServer({
      ...{ host: healthHost, port: healthPort, readiness, notReadyStatus: 503 as const, registry, log },
    }),
  );
  const admin = scope.own(
    await startAdminServer({ host: adminHost, port: adminPort, healthUrlPort: health.port, log }),
  );
  const { agentId, allowedDestinations } = options;
  if (allowedDestinations.length === 0) log.warn({}, 'no destination is allowed: see --allow-destinations');
  log.info({ agentId, allowedDestinations, healthPort: health.port, adminPort: admin.port }, 'agent started');
  return {
    healthPort: health.port,
    adminPort: admin.port,
    stop: async () => {
      const ended = await agent.drain();
      log.info({ ended, openConnections: agent.openConnections }, 'drained');
      await agent.close();
      await scope.close();
      log.info({}, 'stopped');
    },
    destroy: () => scope.destroy(new Error('the agent was destroyed')),
  };
}

/** TLS material as the files have it now; what cannot be read leaves the last good one in place. */
async function createTlsSource(
  { caFile, certificateFile, keyFile }: AgentProcessOptions,
  log: Log,
  scope: Scope,
): Promise<Pick<AgentIdentity, 'tls' | 'certificatePem'>> {
  const onError = (error: Error) =>
    log.error({ err: error }, 'a certificate cannot be read; the last one is kept');
  const check = (ca: string) => void createClientTls({ ca });
  const ca =
    caFile === undefined ? undefined : scope.own(await createReloadingFile(caFile, { check, onError }));
  const pair =
    certificateFile === undefined || keyFile === undefined
      ? undefined
      : scope.own(await createReloadingKeyPair({ certificateFile, keyFile, onError }));
  const make = () => createClientTls({ ...(ca && { ca: ca.current() }), ...pair?.current() });
  let current = make();
  const renew = () => {
    current = make();
    log.info({}, 'new certificates are used for new connections');
  };
  const ends = [ca?.onChange(renew), pair?.onChange(renew)];
  scope.onEnd(() => ends.forEach((end) => end?.()));
  return { tls: () => current, certificatePem: () => pair?.current().certificatePem };
}

/** Rejects with a `Failure` that names the file. */
async function readToken(path: string): Promise<Redacted<string>> {
  try {
    return new Redacted(await readFile(path, 'utf8'));
  } catch (error) {
    throw new Failure('refused', `the token in ${path} cannot be read`, { cause: error });
  }
}
