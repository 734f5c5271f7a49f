import { setTimeout as sleep } from 'node:timers/promises';
import { Registry } from 'prom-client';
import { createApiServer } from '../apiserver/api-server.ts';
import type { ConnectEngine } from '../apiserver/api-server.ts';
import { createAuthenticator } from '../apiserver/authenticator.ts';
import { createAuthorizer } from '../apiserver/authorizer.ts';
import type { Authorizer } from '../apiserver/authorizer.ts';
import type { Exchange } from '../apiserver/exchange.ts';
import { createInFlight } from '../apiserver/in-flight.ts';
import type { InFlight } from '../apiserver/in-flight.ts';
import { listen } from '../apiserver/listener.ts';
import type { Listener } from '../apiserver/listener.ts';
import { countReviewCache, createDelegationMetrics } from '../apiserver/delegation-metrics.ts';
import type { DelegationMetrics } from '../apiserver/delegation-metrics.ts';
import { createServingCertificateMetric } from '../apiserver/certificate-metrics.ts';
import { createHandshakeErrorMetric } from '../apiserver/listener-metrics.ts';
import { createProbes } from '../apiserver/probes.ts';
import type { Check } from '../apiserver/probes.ts';
import { createResourceApi } from '../apiserver/resource-api.ts';
import { createWatchMetrics } from '../apiserver/watch-metrics.ts';
import type { Log } from '../base/log.ts';
import { Scope } from '../base/scope.ts';
import { SpreadEnds } from '../base/spread-ends.ts';
import { createClusterSecrets } from '../clusters/cluster-secrets.ts';
import type { ClusterSecrets } from '../clusters/cluster-secrets.ts';
import { createCredentialResolver } from '../clusters/credential.ts';
import type { CredentialResolver } from '../clusters/credential.ts';
import { createSecretRegistry } from '../clusters/registry.ts';
import type { ClusterRegistry } from '../clusters/registry.ts';
import { CLUSTER_GATEWAYS, CLUSTER_GATEWAYS_PATH, GROUP, VERSION } from '../gateway/api-group.ts';
import { createCredentialMetrics, createExecPluginMetric } from '../gateway/credential-metrics.ts';
import { createGatewayMetrics } from '../gateway/gateway-metrics.ts';
import { createHubClient } from '../hub/client.ts';
import type { HubClient } from '../hub/client.ts';
import { loadHubConfig } from '../hub/kubeconfig.ts';
import { createAccessReviewer } from '../hub/subject-access-review.ts';
import type { CallerIdentity } from '../proxy/caller-identity.ts';
import { createClusterProxy } from '../proxy/cluster-proxy.ts';
import { createInnerAuthorization } from '../proxy/inner-authorization.ts';
import { createClusterTransports } from '../proxy/cluster-transports.ts';
import type { ClusterTransports } from '../proxy/cluster-transports.ts';
import { createGatewayAuthentication } from './authentication.ts';
import type { GatewayAuthentication } from './authentication.ts';
import { createGatewayAudit } from './gateway-audit.ts';
import type { GatewayAudit } from './gateway-audit.ts';
import type { GatewayOptions } from './gateway-options.ts';
import { createGatewayIdentity } from './identity-configuration.ts';
import { createGatewayResources, namesOf } from './gateway-resources.ts';
import { createServingCertificates } from './serving-certificate.ts';
import { createEndpointTransports, createGatewayTunnel } from './tunnel-transports.ts';
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

/** What most parts are made with. */
interface Base {
  readonly options: GatewayOptions;
  readonly log: Log;
  readonly scope: Scope;
  readonly metrics: Registry;
  readonly audit: GatewayAudit | undefined;
  readonly state: { synced: boolean; stopping: boolean; draining: boolean };
  /** Watches and followed logs: what has no end of its own. */
  readonly streams: SpreadEnds;
  readonly inFlight: InFlight;
}

async function compose(options: GatewayOptions, log: Log, scope: Scope): Promise<Gateway> {
  const state = { synced: false, stopping: false, draining: false };
  const audit = await createGatewayAudit(options, log);
  if (audit) scope.own(audit.log);
  const base: Base = {
    options,
    log,
    scope,
    metrics: new Registry(),
    audit,
    state,
    streams: scope.own(new SpreadEnds()),
    inFlight: createInFlight(options.inFlight, options.inFlightShare),
  };
  const certificates = scope.own(await createServingCertificates(options, log));
  createServingCertificateMetric(base.metrics, () => {
    const { certificate, sniCertificates } = certificates.current();
    const named = sniCertificates.map((each, i) => ({ ...each, name: `sni-${i}` }));
    return [{ ...certificate, name: 'default' }, ...named];
  });
  const clients = hubClients(base);
  const delegation = createDelegationMetrics(base.metrics);
  const authentication = await createGatewayAuthentication({
    options,
    client: clients.authentication,
    metrics: base.metrics,
    observe: delegation.authentication,
    scope,
    log,
  });
  const clusters = await composeClusters(base, clients.core);
  const callerIdentity = await createGatewayIdentity(base);
  const parts = { clients, delegation, authentication, clusters, callerIdentity };
  const handle = await composeServer(base, parts);
  const listener = await listen({
    host: options.bindAddress,
    port: options.securePort,
    ...certificates.current(),
    minTlsVersion: options.tlsMinVersion,
    ...(options.tlsCipherSuites.length > 0 ? { cipherSuites: options.tlsCipherSuites } : {}),
    disableHttp2: options.disableHttp2,
    limits: {
      maxStreamsPerConnection: options.maxStreamsPerConnection,
      goawayChance: options.goawayChance,
    },
    handle,
    onHandshakeError: createHandshakeErrorMetric(base.metrics),
    log,
  });
  scope.own({ destroy: (reason) => listener.destroy(reason) });
  scope.onEnd(
    certificates.onChange(() => {
      const { certificate, sniCertificates } = certificates.current();
      listener.setCertificates(certificate, sniCertificates);
    }),
  );
  log.info({ address: options.bindAddress, port: listener.port }, 'listening');
  const { registry } = clusters;
  const ready = Promise.all([registry.synced(scope.signal), authentication.synced(scope.signal)]).then(() => {
    state.synced = true;
    log.info({ clusters: registry.list().length }, 'ready');
  });
  ready.catch(() => undefined);
  return {
    port: listener.port,
    ready,
    stop: () => stopGateway(base, listener),
    destroy: () => scope.destroy(new Error('the gateway was destroyed')),
  };
}

interface Clusters {
  readonly secrets: ClusterSecrets;
  readonly registry: ClusterRegistry;
  readonly credentials: CredentialResolver;
  readonly transports: ClusterTransports;
}

async function composeClusters({ options, log, scope, metrics }: Base, client: HubClient): Promise<Clusters> {
  const { secretNamespace: namespace, requireClusterCa: requireCa, execPluginAllowlist } = options;
  const source = { client, namespace, requireCa, execPluginAllowlist, tunnel: options.tunnel };
  const secrets = createClusterSecrets(source);
  const registry = scope.own(createSecretRegistry({ ...source, secrets, log }));
  const credentials = scope.own(
    createCredentialResolver({ log, onPluginRun: createExecPluginMetric(metrics) }),
  );
  const parts = { userAgent: options.userAgent, metrics, log };
  // Made before the transports, which so end first.
  const tunnel = options.tunnel && scope.own(await createGatewayTunnel(options.tunnel, parts));
  const transports = scope.own(
    createClusterTransports(createEndpointTransports(options.deniedEndpointAddresses, tunnel?.dial), {
      maxUnanswered: Math.ceil(options.inFlight.readOnly * options.inFlightShareOfCluster),
      onBroken: (cluster, failure) => {
        if (failure) log.warn({ cluster, err: failure }, 'no connection can be made; requests fail at once');
        else log.info({ cluster }, 'connections can be made again');
      },
    }),
  );
  scope.onEnd(
    registry.subscribe((change) => {
      if (change.type !== 'changed') return;
      if (!change.record) credentials.forget(change.name);
      transports.changed(change.name, change.record?.type === 'accepted' ? change.record : undefined);
    }),
  );
  return { secrets, registry, credentials, transports };
}

interface ServerParts {
  readonly clients: HubClients;
  readonly delegation: DelegationMetrics;
  readonly authentication: GatewayAuthentication;
  readonly clusters: Clusters;
  readonly callerIdentity: CallerIdentity;
}

async function composeServer(base: Base, parts: ServerParts): Promise<(exchange: Exchange) => void> {
  const { options, log, scope, metrics, state } = base;
  const { authentication, clusters } = parts;
  const healthinessCheck = options.featureGates.get('HealthinessCheck') ?? false;
  const offered = createGatewayResources({ ...clusters, healthinessCheck, scope });
  const resources = scope.own(
    await createResourceApi({
      resources: offered,
      minWatchTimeoutMs: options.minRequestTimeoutMs,
      streams: base.streams,
      watchObserver: createWatchMetrics(metrics),
      log,
      version: buildVersion().gitVersion,
    }),
  );
  const authorizer = composeAuthorizer(base, parts);
  return createApiServer({
    authenticate: createAuthenticator({
      methods: authentication.methods,
      allowAnonymous: true,
      onRejected: (reasons) => log.debug({ reasons }, 'a request was not authenticated'),
    }),
    authorizer,
    audit: base.audit,
    resources,
    engines: new Map([
      [`${GROUP}/${VERSION}/${CLUSTER_GATEWAYS}/proxy`, composeProxy(base, parts, authorizer)],
    ]),
    served: namesOf(offered),
    probes: createProbes({ live: [], ready: readyChecks(base, parts) }),
    inFlight: base.inFlight,
    requestTimeoutMs: options.requestTimeoutMs,
    registry: metrics,
    version: buildVersion(),
    isReady: () => state.synced,
    isRefusing: () => state.draining && options.shutdownSendRetryAfter,
    log,
  });
}

function composeAuthorizer({ options, metrics }: Base, { clients, delegation }: ServerParts): Authorizer {
  const reviewer = createAccessReviewer({
    client: clients.authorization,
    allowTtlMs: options.allowCacheTtlMs,
    denyTtlMs: options.denyCacheTtlMs,
    observe: delegation.authorization,
  });
  const cache = {
    name: 'apiserver_delegated_authz_cache_request_total',
    help: 'Decisions that were known already (hit), or had to be asked for (miss).',
  };
  countReviewCache(metrics, cache, () => reviewer.counts);
  return createAuthorizer({ reviewer, alwaysAllowPaths: options.alwaysAllowPaths });
}

function composeProxy(base: Base, parts: ServerParts, authorizer: Authorizer): ConnectEngine {
  const { options, metrics, streams } = base;
  const { authentication, clusters, callerIdentity } = parts;
  const resource = { group: GROUP, resource: CLUSTER_GATEWAYS };
  const gatewayMetrics = createGatewayMetrics(metrics, clusters.registry, clusters.transports);
  createCredentialMetrics(metrics, clusters);
  return createClusterProxy({
    prefix: CLUSTER_GATEWAYS_PATH,
    resource,
    authorizeInner: createInnerAuthorization({
      authorizer,
      resource,
      authorizeSubpath: options.authorizeProxySubpath,
      requireCreateForUpgrade: options.requireCreateForUpgrade,
    }),
    ...clusters,
    identityHeaders: authentication.identityHeaders,
    callerIdentity,
    streams,
    observe: (cluster, code) => gatewayMetrics.observe(cluster, code),
  });
}

function readyChecks({ state }: Base, { authentication, clusters }: ServerParts): Check[] {
  return [
    {
      name: 'cluster-secrets',
      check: () => (clusters.registry.hasSynced ? undefined : 'Secrets have not been listed'),
    },
    { name: 'authentication', check: authentication.missing },
    { name: 'shutdown', check: () => (state.stopping ? 'process is shutting down' : undefined) },
  ];
}

interface HubClients {
  readonly core: HubClient;
  readonly authentication: HubClient;
  readonly authorization: HubClient;
}

/** One client for each kubeconfig that is named; most often there is one. */
function hubClients({ options, scope, log }: Base): HubClients {
  const byPath = new Map<string | undefined, HubClient>();
  const clientFor = (kubeconfig: string | undefined) => {
    let client = byPath.get(kubeconfig);
    if (!client) {
      const config = loadHubConfig(kubeconfig === undefined ? {} : { kubeconfig });
      client = scope.own(createHubClient({ config, userAgent: options.userAgent, log }));
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

async function stopGateway(base: Base, listener: Listener): Promise<void> {
  const { options, scope, log, state, streams } = base;
  state.stopping = true;
  log.info({ delayMs: options.shutdownDelayMs }, 'stopping: not ready from now on');
  await sleep(options.shutdownDelayMs);
  state.draining = true;
  const openStreams = streams.size;
  log.info(
    { openStreams, graceMs: options.shutdownGraceMs },
    'stopping: no new requests; what is open may end',
  );
  streams.endAll(Math.min(options.shutdownWatchSpreadMs, options.shutdownGraceMs));
  const ended = await Promise.race([
    drain(base, listener).then(() => 'drained' as const),
    sleep(options.shutdownGraceMs, 'cut' as const, { ref: false }),
  ]);
  listener.destroy();
  // Audit events and the like are still written; nothing may hold the process up for long.
  await Promise.race([scope.close(), sleep(lastWordsMs, undefined, { ref: false })]);
  log.info({ ended }, 'stopped');
  scope.destroy(new Error('the gateway has stopped'));
}

/**
 * Lets what runs end. Whoever comes in between finds nobody, or with `--shutdown-send-retry-after` is told so: it is
 * listened on until the requests and the watches are over. Upgrades last longer, and are not waited for with open
 * doors (apiserver pkg/server/genericapiserver.go).
 */
async function drain({ options, inFlight, streams, scope }: Base, listener: Listener): Promise<void> {
  const { counts, waiting } = inFlight;
  const running = () =>
    streams.size + counts.readOnly + counts.mutating + waiting.readOnly + waiting.mutating;
  while (options.shutdownSendRetryAfter && running() > 0 && !scope.signal.aborted) {
    await sleep(drainCheckMs, undefined, { ref: false });
  }
  await listener.close();
}

const drainCheckMs = 50;
const lastWordsMs = 2_000;
