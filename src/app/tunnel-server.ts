import { setTimeout as sleep } from 'node:timers/promises';
import type { Registry } from 'prom-client';
import type { Log } from '../base/log.ts';
import { Scope } from '../base/scope.ts';
import { createHubClient } from '../hub/client.ts';
import type { HubClient } from '../hub/client.ts';
import type { Dial } from '../net/dial.ts';
import { createTokenReviewer } from '../hub/token-review.ts';
import { startAdminServer, startHealthServer } from '../tunnel/health-server.ts';
import type { Readiness } from '../tunnel/health-server.ts';
import { createTunnelServerMetrics } from '../tunnel/server/server-metrics.ts';
import { createTunnelServer } from '../tunnel/server/tunnel-server.ts';
import type { TunnelServer } from '../tunnel/server/tunnel-server.ts';
import { createAgentTokenAuthentication } from './agent-token-authentication.ts';
import type { AuthenticateAgent } from './agent-token-authentication.ts';
import { createPortCertificateMetric } from './port-certificate-metric.ts';
import { createPortCertificates } from './port-certificates.ts';
import type { PortCertificates } from './port-certificates.ts';
import { createProcessRegistry } from './process-registry.ts';
import { createDiscoveredServerCount } from './server-count.ts';
import type { ResolveHost } from './server-count.ts';
import type { PortCertificateFiles, TunnelServerRoleOptions } from './tunnel-server-options.ts';

/** What another role of the same process may share with it. */
export interface TunnelServerParts {
  readonly log: Log;
  /** Where its metrics are added; its own when absent. */
  readonly registry?: Registry;
  /** For the TokenReviews, and closed by whoever gave it; made from the kubeconfig when absent. */
  readonly hubClient?: HubClient;
  /** The machine's unless given. */
  readonly resolveHost?: ResolveHost;
}

export interface RunningTunnelServer {
  /** Opens a connection through an agent, for whoever is in this process. */
  readonly dial: Dial;
  /** 0 where it is a Unix socket. */
  readonly frontendPort: number;
  readonly agentPort: number;
  /** Undefined where there is none. */
  readonly healthPort: number | undefined;
  readonly adminPort: number | undefined;
  readiness(): Readiness;
  /** Not ready; agents and frontends are sent elsewhere, what is open may end within the grace, then the rest is cut. */
  stop(): Promise<void>;
  destroy(): void;
}

/**
 * The composition root of the tunnel server: what is made here, in this order, ends in the reverse one. Nothing of it
 * belongs to the process, so that a gateway can have one inside.
 *
 * @throws Error when a file cannot be read or a port cannot be listened on.
 */
export async function startTunnelServer(
  options: TunnelServerRoleOptions,
  parts: TunnelServerParts,
): Promise<RunningTunnelServer> {
  const scope = new Scope();
  try {
    return await compose({ options, parts, scope, log: parts.log, state: { stopping: false } });
  } catch (error) {
    scope.destroy(error);
    throw error;
  }
}

/** What the parts are made with. */
interface Base {
  readonly options: TunnelServerRoleOptions;
  readonly parts: TunnelServerParts;
  readonly scope: Scope;
  readonly log: Log;
  readonly state: { stopping: boolean };
}

async function compose(base: Base): Promise<RunningTunnelServer> {
  const { options, scope, log, state } = base;
  const registry = base.parts.registry ?? createProcessRegistry();
  const tunnel = await composeTunnel(base, registry);
  const readiness = (): Readiness => {
    if (state.stopping) return { ok: false, text: 'process is shutting down' };
    return tunnel.readyAgents() > 0
      ? { ok: true, text: 'ok' }
      : { ok: false, text: 'no connection to any proxy agent' };
  };
  const health =
    options.health &&
    scope.own(await startHealthServer({ ...options.health, readiness, notReadyStatus: 500, registry, log }));
  const admin =
    options.admin &&
    scope.own(await startAdminServer({ ...options.admin, healthUrlPort: health?.port ?? 0, log, registry }));
  const ports = {
    frontendPort: tunnel.frontendPort,
    agentPort: tunnel.agentPort,
    healthPort: health?.port,
    adminPort: admin?.port,
  };
  log.info({ serverId: options.serverId, mode: options.frontend?.mode, ...ports }, 'listening');
  return {
    dial: tunnel.dial,
    ...ports,
    readiness,
    stop: () => stop(base, tunnel),
    destroy: () => scope.destroy(new Error('the tunnel server was destroyed')),
  };
}

async function composeTunnel(base: Base, registry: Registry): Promise<TunnelServer> {
  const { options, scope, log } = base;
  const { frontend, agents } = options;
  const frontendCertificates =
    frontend?.certificates && (await composeCertificates(base, 'frontend', frontend.certificates));
  const agentCertificates = await composeCertificates(base, 'agent', agents.certificates);
  createPortCertificateMetric(registry, () => ({
    frontend: frontendCertificates?.current(),
    agent: agentCertificates.current(),
  }));
  const authenticateAgent = await composeAuthentication(base);
  warnOfOpenDoors(base, {
    frontendCa: frontendCertificates?.current().clientCaPem,
    agentCa: agentCertificates.current().clientCaPem,
    withTokens: authenticateAgent !== undefined,
    namesAreChecked: (frontend?.allowedNames.length ?? 0) > 0,
  });
  const serverCount = await composeServerCount(base);
  const tunnel = await createTunnelServer({
    serverId: options.serverId,
    serverCount,
    strategies: options.strategies,
    frontend: frontend && { ...frontend, tls: frontendCertificates?.current() },
    agents: { address: agents.address, tls: agentCertificates.current() },
    ...(authenticateAgent && { authenticateAgent }),
    identifierRule: options.identifierRule,
    dialTimeoutMs: options.dialTimeoutMs,
    keepaliveMs: options.keepaliveMs,
    frontendKeepaliveMs: options.frontendKeepaliveMs,
    maxPendingDials: options.maxPendingDials,
    maxHeldBytes: options.maxHeldBytes,
    metrics: createTunnelServerMetrics(registry),
    log,
  });
  scope.own({ destroy: (reason) => tunnel.destroy(reason) });
  const follow = (
    certificates: PortCertificates | undefined,
    use: Parameters<PortCertificates['onChange']>[0],
  ) => {
    if (!certificates) return;
    scope.onEnd(certificates.onChange(use));
    // A file may have changed since the ports were opened.
    use(certificates.current());
  };
  follow(frontendCertificates, (tls) => tunnel.setFrontendTls(tls));
  follow(agentCertificates, (tls) => tunnel.setAgentTls(tls));
  return tunnel;
}

async function composeCertificates(
  { options, scope, log }: Base,
  name: string,
  files: PortCertificateFiles,
): Promise<PortCertificates> {
  const { tlsMinVersion: minVersion, tlsCipherSuites: cipherSuites } = options;
  return scope.own(await createPortCertificates({ ...files, name, minVersion, cipherSuites, log }));
}

function warnOfOpenDoors(
  { log }: Base,
  trust: {
    readonly frontendCa: string | undefined;
    readonly agentCa: string | undefined;
    readonly withTokens: boolean;
    readonly namesAreChecked: boolean;
  },
): void {
  const { frontendCa, agentCa, withTokens, namesAreChecked } = trust;
  if (agentCa === undefined && !withTokens)
    log.warn({}, 'anyone may be an agent: neither certificate nor token is asked for');
  if (agentCa !== undefined && agentCa === frontendCa && !namesAreChecked)
    log.warn(
      {},
      'frontends and agents have one CA: the certificate of an agent is good for a frontend, too (--frontend-allowed-names)',
    );
}

async function composeAuthentication(base: Base): Promise<AuthenticateAgent | undefined> {
  const { agentTokens } = base.options;
  if (!agentTokens) return undefined;
  const client = base.parts.hubClient ?? (await connectToHub(base));
  const reviewer = createTokenReviewer({ client, audiences: [agentTokens.audience] });
  return createAgentTokenAuthentication({ ...agentTokens, reviewer });
}

/** Reading kubeconfigs needs a large library, which a server without tokens does not load. */
async function connectToHub({ options, scope, log }: Base): Promise<HubClient> {
  const { loadHubConfig } = await import('../hub/kubeconfig.ts');
  const { kubeconfig } = options;
  const config = loadHubConfig(kubeconfig === undefined ? {} : { kubeconfig });
  return scope.own(createHubClient({ config, userAgent: 'cluster-gateway-tunnel-server', log }));
}

async function composeServerCount({ options, parts, scope, log }: Base): Promise<() => number> {
  const { serverCount } = options;
  if (serverCount.type === 'fixed') return () => serverCount.count;
  const { resolveHost } = parts;
  const discovered = scope.own(
    await createDiscoveredServerCount({
      host: serverCount.host,
      log,
      ...(resolveHost && { resolve: resolveHost }),
    }),
  );
  return () => discovered.current();
}

async function stop({ options, scope, log, state }: Base, tunnel: TunnelServer): Promise<void> {
  state.stopping = true;
  const { shutdownGraceMs: graceMs } = options;
  log.info({ graceMs }, 'stopping: agents and frontends are sent elsewhere; what is open may end');
  const ended = await Promise.race([
    tunnel.close().then(() => 'drained' as const),
    sleep(graceMs, 'cut' as const, { ref: false }),
  ]);
  tunnel.destroy();
  // Nothing may hold the process up for long.
  await Promise.race([scope.close(), sleep(lastWordsMs, undefined, { ref: false })]);
  log.info({ ended }, 'stopped');
  scope.destroy(new Error('the tunnel server has stopped'));
}

const lastWordsMs = 2_000;
