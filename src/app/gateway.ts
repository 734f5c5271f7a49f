import { Registry } from 'prom-client';
import { createApiServer } from '../apiserver/api-server.ts';
import { createAuditLog } from '../apiserver/audit.ts';
import { createAuthenticator } from '../apiserver/authenticator.ts';
import { createAuthorizer } from '../apiserver/authorizer.ts';
import { createInFlight } from '../apiserver/in-flight.ts';
import { listen } from '../apiserver/listener.ts';
import type { Listener } from '../apiserver/listener.ts';
import { createProbes } from '../apiserver/probes.ts';
import { createResourceApi } from '../apiserver/resource-api.ts';
import type { Log } from '../base/log.ts';
import { Scope } from '../base/scope.ts';
import { createCredentialResolver } from '../clusters/credential.ts';
import { createSecretRegistry } from '../clusters/registry.ts';
import type { ClusterRegistry } from '../clusters/registry.ts';
import { CLUSTER_GATEWAYS, CLUSTER_GATEWAYS_PATH, GROUP, VERSION } from '../gateway/api-group.ts';
import { createClusterGatewayResource } from '../gateway/cluster-gateway-resource.ts';
import { createGatewayMetrics } from '../gateway/gateway-metrics.ts';
import { createHubClient } from '../hub/client.ts';
import type { HubClient } from '../hub/client.ts';
import { loadHubConfig } from '../hub/kubeconfig.ts';
import { createAccessReviewer } from '../hub/subject-access-review.ts';
import { createClusterProxy } from '../proxy/cluster-proxy.ts';
import { createClusterTransports } from '../proxy/cluster-transports.ts';
import type { ClusterTransports } from '../proxy/cluster-transports.ts';
import { createGatewayAuthentication } from './authentication.ts';
import { createDirectTransports } from './direct-transports.ts';
import type { GatewayOptions } from './gateway-options.ts';
import { createServingCertificate } from './serving-certificate.ts';
import { buildVersion } from './version.ts';

export interface Gateway {
  readonly port: number;
  /** Resolves when the first lists are there and requests are answered. */
  readonly ready: Promise<void>;
  /** Not ready, a delay in which everything is still served, then requests end within the grace, then the rest is cut. */
  stop(): Promise<void>;
  destroy(): void;
}

/** The composition root of the gateway: what is made here, in this order, ends in the reverse one. */
export async function createGateway(options: GatewayOptions, log: Log): Promise<Gateway> {
  const scope = new Scope();
  try {
    return await compose(options, log, scope);
  } catch (error) {
    scope.destroy(error);
    throw error;
  }
}

async function compose(options: GatewayOptions, log: Log, scope: Scope): Promise<Gateway> {
  const state = { synced: false, stopping: false };
  const stopping = new AbortController();
  const metricsRegistry = new Registry();
  const auditLog =
    options.auditLogPath === undefined
      ? undefined
      : scope.own(createAuditLog({ path: options.auditLogPath, log }));
  const certificate = scope.own(await createServingCertificate(options, log));
  const clients = hubClients(options, scope, log);
  const authentication = await createGatewayAuthentication({
    options,
    client: clients.authentication,
    scope,
    log,
  });
  const registry = scope.own(
    createSecretRegistry({
      client: clients.core,
      namespace: options.secretNamespace,
      requireCa: options.requireClusterCa,
      log,
    }),
  );
  const transports = scope.own(createClusterTransports(createDirectTransports()));
  scope.onEnd(
    registry.subscribe((change) => {
      if (change.type !== 'changed') return;
      transports.changed(change.name, change.record?.type === 'accepted' ? change.record : undefined);
    }),
  );
  const gatewayMetrics = createGatewayMetrics(metricsRegistry, registry, transports);
  const showHealth = options.featureGates.get('HealthinessCheck') ?? false;
  const resources = scope.own(
    await createResourceApi({
      resources: [scope.own(createClusterGatewayResource(registry, { showHealth }))],
      shutdown: stopping.signal,
      log,
    }),
  );
  const inFlight = createInFlight(options.inFlight);
  const proxy = createClusterProxy({
    prefix: CLUSTER_GATEWAYS_PATH,
    resource: { group: GROUP, resource: CLUSTER_GATEWAYS },
    registry,
    credentials: createCredentialResolver({ allowedCommands: options.execPluginAllowlist }),
    transports,
    identityHeaders: authentication.identityHeaders,
    observe: gatewayMetrics.observe,
  });
  const handle = createApiServer({
    authenticate: createAuthenticator({
      methods: authentication.methods,
      allowAnonymous: true,
      onRejected: (reasons) => log.debug({ reasons }, 'a request was not authenticated'),
    }),
    authorizer: createAuthorizer({
      reviewer: createAccessReviewer({
        client: clients.authorization,
        allowTtlMs: options.allowCacheTtlMs,
        denyTtlMs: options.denyCacheTtlMs,
      }),
      alwaysAllowPaths: options.alwaysAllowPaths,
    }),
    auditLog,
    resources,
    engines: new Map([[`${GROUP}/${VERSION}/${CLUSTER_GATEWAYS}/proxy`, proxy]]),
    probes: createProbes({
      live: [],
      ready: [
        {
          name: 'cluster-secrets',
          check: () => (registry.hasSynced ? undefined : 'Secrets have not been listed'),
        },
        { name: 'authentication', check: authentication.missing },
        { name: 'shutdown', check: () => (state.stopping ? 'process is shutting down' : undefined) },
      ],
    }),
    inFlight,
    registry: metricsRegistry,
    served: new Set([`${GROUP}/${CLUSTER_GATEWAYS}`, `${GROUP}/${CLUSTER_GATEWAYS}/proxy`]),
    version: buildVersion(),
    isReady: () => state.synced,
    log,
  });
  const listener = await listen({
    host: options.bindAddress,
    port: options.securePort,
    certificate: certificate.current(),
    minTlsVersion: options.tlsMinVersion,
    ...(options.tlsCipherSuites.length > 0 ? { cipherSuites: options.tlsCipherSuites } : {}),
    disableHttp2: options.disableHttp2,
    limits: { maxStreamsPerConnection: options.maxStreamsPerConnection },
    handle,
    log,
  });
  scope.own({ destroy: (reason) => listener.destroy(reason) });
  certificate.onChange((next) => listener.setCertificate(next));
  log.info({ address: options.bindAddress, port: listener.port }, 'listening');
  const ready = whenSynced(registry, authentication.synced, scope.signal).then(() => {
    state.synced = true;
    log.info({ clusters: registry.list().length }, 'ready');
  });
  ready.catch(() => undefined);
  return {
    port: listener.port,
    ready,
    stop: () =>
      stopGateway({
        options,
        scope,
        listener,
        transports,
        beginStop: () => {
          state.stopping = true;
        },
        endWatches: () => stopping.abort(),
        log,
      }),
    destroy: () => scope.destroy(new Error('the gateway was destroyed')),
  };
}

/** One client for each kubeconfig that is named; most often there is one. */
function hubClients(options: GatewayOptions, scope: Scope, log: Log) {
  const byPath = new Map<string | undefined, HubClient>();
  const clientFor = (kubeconfig: string | undefined) => {
    let client = byPath.get(kubeconfig);
    if (!client) {
      client = scope.own(
        createHubClient({
          config: loadHubConfig(kubeconfig === undefined ? {} : { kubeconfig }),
          userAgent: options.userAgent,
          log,
        }),
      );
      byPath.set(kubeconfig, client);
    }
    return client;
  };
  return {
    core: clientFor(options.kubeconfig),
    authentication: clientFor(options.authenticationKubeconfig ?? options.kubeconfig),
    authorization: clientFor(options.authorizationKubeconfig ?? options.kubeconfig),
  };
}

async function whenSynced(
  registry: ClusterRegistry,
  authenticationSynced: (signal: AbortSignal) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  await Promise.all([registry.synced(signal), authenticationSynced(signal)]);
}

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

async function stopGateway(parts: {
  options: GatewayOptions;
  scope: Scope;
  listener: Listener;
  transports: ClusterTransports;
  beginStop: () => void;
  endWatches: () => void;
  log: Log;
}): Promise<void> {
  const { options, scope, listener, log } = parts;
  parts.beginStop();
  log.info({ delayMs: options.shutdownDelayMs }, 'stopping: not ready from now on');
  if (options.shutdownDelayMs > 0) await sleep(options.shutdownDelayMs);
  parts.endWatches();
  const cut = new Promise<'cut'>((resolve) =>
    setTimeout(() => resolve('cut'), options.shutdownGraceMs).unref(),
  );
  const ended = await Promise.race([listener.close().then(() => 'drained' as const), cut]);
  log.info({ ended }, 'stopped');
  listener.destroy();
  scope.destroy(new Error('the gateway has stopped'));
}
