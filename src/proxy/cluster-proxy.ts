import type { Admitted, Route } from '../apiserver/admission.ts';
import type { Exchange } from '../apiserver/exchange.ts';
import type { RequestClass } from '../apiserver/in-flight.ts';
import { timeoutFailure } from '../apiserver/request-deadline.ts';
import { statusErrorOf } from '../apiserver/status-response.ts';
import { Failure } from '../base/failure.ts';
import { allHeaders } from '../base/header-lines.ts';
import type { Cluster } from '../clusters/cluster.ts';
import type { CredentialResolver } from '../clusters/credential.ts';
import type { ClusterRegistry } from '../clusters/registry.ts';
import { parseQuery } from '../kube/query.ts';
import { requestInfo } from '../kube/request-info.ts';
import type { RequestInfo } from '../kube/request-info.ts';
import { StatusError, notFound } from '../kube/status.ts';
import type { ResourceName } from '../kube/status.ts';
import type { CallerIdentity } from './caller-identity.ts';
import { CarriedDeadline } from './carried-deadline.ts';
import type { CarriedBound } from './carried-deadline.ts';
import type { ClusterTransports } from './cluster-transports.ts';
import { forward } from './forward.ts';
import { forwardedFor, requestHeaders } from './headers.ts';
import type { IdentityHeaders } from './headers.ts';
import { nextHop } from './hop-count.ts';
import type { InnerAuthorization } from './inner-authorization.ts';
import { parseProxyTarget } from './target.ts';
import type { ProxyTarget } from './target.ts';
import type { StreamEnds } from './stream-end.ts';
import { carryUpgrade } from './upgrade.ts';

export interface ClusterProxyOptions {
  /** `/apis/<group>/<version>/<resource>`: what stands before `/<name>/proxy`. */
  readonly prefix: string;
  readonly resource: ResourceName;
  readonly registry: ClusterRegistry;
  readonly credentials: CredentialResolver;
  readonly transports: ClusterTransports;
  /** Read for each request: the hub may change them while we run. */
  readonly identityHeaders: () => IdentityHeaders;
  readonly callerIdentity: CallerIdentity;
  /** Further checks of what a caller may do; default: the right to the proxy is enough. */
  readonly authorizeInner?: InnerAuthorization | undefined;
  readonly observe?: (cluster: string, code: number) => void;
  /** Told of every stream that has no end of its own. */
  readonly streams?: StreamEnds;
}

/** Carries requests to clusters: one function makes the route of a request under `/proxy`. */
export function createClusterProxy(
  options: ClusterProxyOptions,
): (info: RequestInfo, exchange: Exchange) => Route {
  return (info, exchange) => {
    const target = parseProxyTarget(exchange.target, options.prefix, info);
    const bound = boundOf(exchange, target);
    const requestClass = classOf(exchange, bound);
    return {
      requestClass,
      isProxied: true,
      timeoutError: () => failureOf(timeoutFailure(), target.cluster, options),
      handle: (_, admitted) => {
        const deadline = new CarriedDeadline(admitted.deadline, bound);
        return carry(
          { exchange, admitted, target, deadline, longRunning: requestClass === 'longRunning' },
          options,
        );
      },
    };
  };
}

/** Subresources whose requests last as long as their caller likes. */
const streamingSubresources = new Set(['exec', 'attach', 'portforward', 'proxy']);

function boundOf(exchange: Exchange, { path, query }: ProxyTarget): CarriedBound {
  if (exchange.isUpgrade) return 'head';
  const inner = requestInfo(exchange.method, path + query);
  if (inner.verb === 'watch') return 'head';
  if (streamingSubresources.has(inner.subresource)) return 'none';
  if (inner.subresource === 'log' && parseQuery(query.slice(1)).flag('follow')) return 'none';
  return 'silent';
}

function classOf(exchange: Exchange, bound: CarriedBound): RequestClass {
  if (bound !== 'silent') return 'longRunning';
  return exchange.method === 'GET' || exchange.method === 'HEAD' ? 'readOnly' : 'mutating';
}

interface ProxiedRequest {
  readonly exchange: Exchange;
  readonly admitted: Admitted;
  readonly target: ProxyTarget;
  readonly deadline: CarriedDeadline;
  readonly longRunning: boolean;
}

async function carry(request: ProxiedRequest, options: ClusterProxyOptions): Promise<void> {
  const name = request.target.cluster;
  const allowed = authorizeInner(request, options);
  if (allowed) await allowed;
  const cluster = await findCluster(name, request.exchange.signal, options);
  try {
    const code = await send(request, cluster, options);
    options.observe?.(name, code);
  } catch (error) {
    const failure = failureOf(error, name, options);
    // What a caller did not wait for says nothing of the cluster: nginx's 499, as in the server's own metrics.
    options.observe?.(name, callerWentAway(request.exchange) ? 499 : failure.status.code);
    throw failure;
  }
}

function authorizeInner({ exchange, admitted, target }: ProxiedRequest, options: ClusterProxyOptions) {
  const { method, isUpgrade, signal } = exchange;
  const { user, info } = admitted;
  return options.authorizeInner?.({ user, info, method, target, isUpgrade, signal });
}

/** Says which cluster it was. */
function failureOf(error: unknown, name: string, { resource }: ClusterProxyOptions): StatusError {
  const { group, resource: kind } = resource;
  const prefix = `error trying to reach cluster ${JSON.stringify(name)}`;
  return statusErrorOf(error, { prefix, details: { name, group, kind } });
}

/** Not the deadline, which is told as a `Failure`. */
const callerWentAway = ({ signal }: Exchange) => signal.aborted && !(signal.reason instanceof Failure);

async function findCluster(
  name: string,
  signal: AbortSignal,
  options: ClusterProxyOptions,
): Promise<Cluster> {
  const { registry, resource } = options;
  const record = registry.get(name) ?? (await registry.find(name, signal));
  if (!record) throw notFound(resource, name);
  if (record.type === 'rejected') {
    throw new StatusError(
      'ServiceUnavailable',
      `cluster ${JSON.stringify(name)} cannot be used: ${record.message}`,
      {
        details: {
          name,
          group: resource.group,
          kind: resource.resource,
          causes: [{ reason: record.reason, message: record.message }],
        },
      },
    );
  }
  return record;
}

/** Of audit events: who the request was at the cluster. */
const IDENTITY_ANNOTATION = 'cluster.core.oam.dev/identity-at-cluster';

async function send(
  request: ProxiedRequest,
  cluster: Cluster,
  options: ClusterProxyOptions,
): Promise<number> {
  const { exchange, admitted, target, deadline, longRunning } = request;
  const { user, audit } = admitted;
  const identity = options.callerIdentity({ user, cluster, query: target.query });
  if (identity.note !== undefined) audit?.annotate(IDENTITY_ANNOTATION, identity.note);
  const resolved = options.credentials.resolve(cluster);
  const credential = resolved instanceof Promise ? await resolved : resolved;
  const before = admitted.frontProxy ? allHeaders(exchange.headers, 'x-forwarded-for').join(', ') : undefined;
  const outgoing = {
    method: exchange.method,
    target: cluster.endpoint.basePath + target.path + target.query,
    authority: cluster.endpoint.authority,
    headers: requestHeaders(exchange.headers, {
      identityHeaders: options.identityHeaders(),
      authorization: credential.authorization?.reveal(),
      auditId: admitted.auditId,
      forwardedFor: forwardedFor(before, exchange.connection.remoteAddress),
      hops: nextHop(exchange.headers, target.cluster),
      impersonation: identity.lines,
    }),
    longRunning,
  };
  const transport = options.transports.get(cluster, credential);
  const warn = (status: number) =>
    status === 401 && isOfClusterItself(exchange, target) ? refusalWarning(cluster.name) : undefined;
  const carrier = { transport, deadline, streams: options.streams, warn };
  const code = exchange.isUpgrade
    ? await carryUpgrade(exchange, carrier, outgoing)
    : await forward(exchange, carrier, outgoing);
  if (code === 401) options.credentials.reject(cluster, credential);
  return code;
}

/** Not of a program that the cluster's API passes requests on to, which has callers of its own to know. */
const isOfClusterItself = ({ method }: Exchange, { path, query }: ProxyTarget) =>
  requestInfo(method, path + query).subresource !== 'proxy';

/** kubectl takes a 401 for one that is about its own user. As apiserver pkg/warning writes it. */
const refusalWarning = (name: string) =>
  `299 - "cluster ${name} does not accept the credential that the gateway has for it; this is not about your own"`;
