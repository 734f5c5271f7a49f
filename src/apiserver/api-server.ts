import type { Registry } from 'prom-client';
import type { Log } from '../base/log.ts';
import type { RequestInfo } from '../kube/request-info.ts';
import { StatusError, methodNotAllowed } from '../kube/status.ts';
import { createAdmission } from './admission.ts';
import type { AdmissionOptions, Route } from './admission.ts';
import { auditIdOf } from './audit-id.ts';
import { createAudit } from './audit.ts';
import type { AuditOptions } from './audit.ts';
import type { Exchange } from './exchange.ts';
import type { InFlight } from './in-flight.ts';
import { createAuditMetrics } from './audit-metrics.ts';
import { createRequestMetrics } from './metrics.ts';
import type { Probes } from './probes.ts';
import { attachRequestContext } from './request-context.ts';
import type { ResourceApi } from './resource-api.ts';
import { respondStatus } from './status-response.ts';
import { refuseAtShutdown } from './try-later.ts';

/** Makes the route of a request that an engine of its own answers: a subresource whose connect methods are described only. */
export type ConnectEngine = (info: RequestInfo, exchange: Exchange) => Route;

export interface ApiServerOptions extends Pick<
  AdmissionOptions,
  'authenticate' | 'authorizer' | 'requestTimeoutMs'
> {
  /** Undefined: nothing is audited. */
  readonly audit: Pick<AuditOptions, 'policy' | 'log'> | undefined;
  readonly resources: ResourceApi;
  /** By `group/version/resource/subresource`. */
  readonly engines: ReadonlyMap<string, ConnectEngine>;
  readonly probes: Probes;
  readonly inFlight: InFlight;
  readonly registry: Registry;
  /** `group/version/resource` and `group/version/resource/subresource`: what metrics may name. */
  readonly served: ReadonlySet<string>;
  /** Text of /version. */
  readonly version: object;
  /** False while starting: everything but probes answers 503, never 404 or 403, which callers would remember. */
  readonly isReady: () => boolean;
  /** True where new requests are told to go elsewhere: the server stops; default: they are served. */
  readonly isRefusing?: () => boolean;
  readonly log: Log;
}

/** A generic aggregated API server: gives the function that answers every request. */
export function createApiServer(options: ApiServerOptions): (exchange: Exchange) => void {
  const { registry, inFlight, served } = options;
  const isProxied = (info: RequestInfo) => options.engines.has(engineKey(info));
  const metrics = createRequestMetrics({ registry, inFlight, served });
  const admit = createAdmission({
    ...options,
    metrics,
    audit:
      options.audit &&
      createAudit({ ...options.audit, metrics: createAuditMetrics(registry, options.audit.log), isProxied }),
    route: (info, exchange) => routeOf(info, exchange, options),
  });
  return (exchange) => {
    if (options.isRefusing?.() && refuseAtShutdown(exchange, auditHeader(exchange))) return;
    if (options.isReady() || isProbe(exchange.target)) admit(exchange);
    else refuseUnready(exchange);
  };
}

const isProbe = (target: string) => /^\/(?:livez|readyz|healthz)(?:[/?]|$)/.test(target);

function refuseUnready(exchange: Exchange): void {
  const { status } = new StatusError('ServiceUnavailable', 'the server is starting or stopping');
  respondStatus(exchange, status, auditHeader(exchange));
}

const auditHeader = ({ headers }: Exchange) => ['audit-id', auditIdOf(headers)];

function routeOf(info: RequestInfo, exchange: Exchange, options: ApiServerOptions): Route {
  if (!info.isResourceRequest) {
    const own = ownPath(info, options);
    if (own) return own;
  }
  const engine = options.engines.get(engineKey(info));
  if (engine && info.apiPrefix === 'apis') return engine(info, exchange);
  if (exchange.isUpgrade) throw new StatusError('BadRequest', 'this path cannot be upgraded');
  return resourceRoute(info, options.resources);
}

const engineKey = ({ apiGroup, apiVersion, resource, subresource }: RequestInfo) =>
  [apiGroup, apiVersion, resource, subresource].join('/');

function resourceRoute(info: RequestInfo, resources: ResourceApi): Route {
  const isRead = ['get', 'list', 'head', 'options'].includes(info.verb);
  return {
    requestClass: info.verb === 'watch' ? 'longRunning' : isRead ? 'readOnly' : 'mutating',
    handle: (exchange, { user, auditId, audit }) => {
      const { request, response } = exchange.nodePair();
      const { body, signal } = exchange;
      attachRequestContext(request, { user, requestInfo: info, auditId, audit, body, signal });
      resources.handle(request, response);
    },
  };
}

/** Paths that belong to the server itself rather than to an API group. */
function ownPath(info: RequestInfo, { probes, registry, version }: ApiServerOptions): Route | undefined {
  const get = (handle: (exchange: Exchange, auditId: string) => void | Promise<void>): Route => ({
    requestClass: 'readOnly',
    handle: (exchange, { auditId }) => {
      if (exchange.method !== 'GET' && exchange.method !== 'HEAD') throw methodNotAllowed();
      return handle(exchange, auditId);
    },
  });
  if (isProbe(info.path)) {
    const route = get((exchange, auditId) => {
      const headers = ['audit-id', auditId];
      if (!probes.handle(exchange, info.path, headers))
        exchange.respond(404, ['content-type', 'text/plain', ...headers], '404 page not found\n');
    });
    return { ...route, isExempt: true };
  }
  if (info.path === '/version' || info.path === '/version/') {
    return get((exchange, auditId) =>
      exchange.respond(
        200,
        ['content-type', 'application/json', 'audit-id', auditId],
        JSON.stringify(version),
      ),
    );
  }
  if (info.path === '/metrics') {
    return get(async (exchange, auditId) => {
      const text = await registry.metrics();
      exchange.respond(200, ['content-type', registry.contentType, 'audit-id', auditId], text);
    });
  }
  return undefined;
}
