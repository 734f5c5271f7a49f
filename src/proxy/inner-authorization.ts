import { AccessDenied, attributesOf } from '../apiserver/authorizer.ts';
import type { Authorizer } from '../apiserver/authorizer.ts';
import type { AccessAttributes } from '../kube/access.ts';
import type { RequestInfo } from '../kube/request-info.ts';
import type { ResourceName } from '../kube/status.ts';
import type { UserInfo } from '../kube/user-info.ts';
import { innerRequestInfo } from './inner-request.ts';
import type { ProxyTarget } from './target.ts';

export interface InnerAuthorizationOptions {
  readonly authorizer: Pick<Authorizer, 'check'>;
  /** Whose subresource the proxy is. */
  readonly resource: ResourceName;
  /** Callers need the right to what they do inside the cluster, too (`--authorize-proxy-subpath`). */
  readonly authorizeSubpath: boolean;
  /** An upgrade needs `create`, whatever its method (`--require-create-for-upgrade`). */
  readonly requireCreateForUpgrade: boolean;
}

/** A request that its caller may send to the cluster's proxy. */
export interface InnerRequest {
  readonly user: UserInfo;
  /** Of the request as it came: what the proxy was authorized by. */
  readonly info: RequestInfo;
  readonly method: string;
  readonly target: ProxyTarget;
  readonly isUpgrade: boolean;
  readonly signal: AbortSignal;
}

/** Throws AccessDenied (403), or a 400 StatusError for a request that can be read in more than one way. */
export type InnerAuthorization = (request: InnerRequest) => Promise<void> | undefined;

/**
 * Checks what the right to a cluster's proxy leaves open; undefined where nothing is to be checked. Who may do
 * everything (system:masters) may do this; paths that are always allowed are the gateway's own, not the cluster's.
 */
export function createInnerAuthorization(options: InnerAuthorizationOptions): InnerAuthorization | undefined {
  const { authorizer, resource, authorizeSubpath, requireCreateForUpgrade } = options;
  if (!authorizeSubpath && !requireCreateForUpgrade) return undefined;
  const inner = async ({ user, target, signal }: InnerRequest, attributes: AccessAttributes) => {
    try {
      await authorizer.check(user, attributes, signal);
    } catch (error) {
      throw error instanceof AccessDenied ? deniedInside(error, target.cluster, resource) : error;
    }
  };
  return async (request) => {
    const needsCreate = requireCreateForUpgrade && request.isUpgrade;
    if (needsCreate && request.info.verb !== 'create')
      await authorizer.check(request.user, toCreate(attributesOf(request.info)), request.signal);
    if (!authorizeSubpath) return;
    const info = innerRequestInfo(request.method, request.target);
    const attributes = attributesOf(info);
    await inner(request, attributes);
    if (info.verb !== 'create' && (needsCreate || runsInPod(info)))
      await inner(request, toCreate(attributes));
  };
}

const podStreams = new Set(['exec', 'attach', 'portforward']);

/**
 * kube-apiserver asks for `create` in these whatever the method (since 1.35, kubernetes/kubernetes 133515), but of the
 * gateway's own user, who is no measure for the caller.
 */
function runsInPod({ apiPrefix, resource, subresource }: RequestInfo): boolean {
  return apiPrefix === 'api' && resource === 'pods' && podStreams.has(subresource);
}

function toCreate(attributes: AccessAttributes): AccessAttributes {
  if (attributes.type === 'non-resource') return attributes;
  return { type: 'resource', resource: { ...attributes.resource, verb: 'create' } };
}

/** Says where it is that the caller may not. */
function deniedInside(
  denied: AccessDenied,
  cluster: string,
  { group, resource }: ResourceName,
): AccessDenied {
  return new AccessDenied(`${denied.statement} of cluster ${JSON.stringify(cluster)}`, {
    details: { name: cluster, group, kind: resource },
    reason: denied.reason,
  });
}
