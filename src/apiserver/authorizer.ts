import type { AccessAttributes, AccessDecision } from '../kube/access.ts';
import type { RequestInfo } from '../kube/request-info.ts';
import { StatusError } from '../kube/status.ts';
import { SYSTEM_MASTERS } from '../kube/user-info.ts';
import type { UserInfo } from '../kube/user-info.ts';
import type { AccessReviewer } from '../hub/subject-access-review.ts';

export interface AuthorizerOptions {
  readonly reviewer: AccessReviewer;
  /** Exact paths, or prefixes that end with `*` (`--authorization-always-allow-paths`). */
  readonly alwaysAllowPaths: readonly string[];
}

export interface Authorizer {
  /** Throws Forbidden (403), or InternalError (500) where the hub could not be asked: never lets through on doubt. */
  authorize(user: UserInfo, info: RequestInfo, signal: AbortSignal): Promise<void> | undefined;
}

/** system:masters, then the always-allowed paths, then a SubjectAccessReview (apiserver options/authorization.go). */
export function createAuthorizer({ reviewer, alwaysAllowPaths }: AuthorizerOptions): Authorizer {
  const exact = new Set(alwaysAllowPaths.filter((path) => !path.endsWith('*')));
  const prefixes = alwaysAllowPaths.filter((path) => path.endsWith('*')).map((path) => path.slice(0, -1));
  const alwaysAllowed = (info: RequestInfo) =>
    !info.isResourceRequest &&
    (exact.has(info.path) || prefixes.some((prefix) => info.path.startsWith(prefix)));
  return {
    authorize: (user, info, signal) => {
      // kube-aggregator's probe comes as system:masters: a slow or denied review must not make the APIService flap.
      if (user.groups.includes(SYSTEM_MASTERS) || alwaysAllowed(info)) return undefined;
      return review(reviewer, { user, info, signal });
    },
  };
}

async function review(
  reviewer: AccessReviewer,
  { user, info, signal }: { user: UserInfo; info: RequestInfo; signal: AbortSignal },
): Promise<void> {
  let decision: AccessDecision;
  try {
    decision = await reviewer.review({ user, attributes: attributesOf(info) }, signal);
  } catch (error) {
    throw new StatusError('InternalError', 'Internal Server Error', { cause: error });
  }
  if (!decision.allowed) throw forbidden(user, info, decision.reason);
}

/** The attributes that are asked about: the same as the hub's own RBAC sees for this request. */
export function attributesOf(info: RequestInfo): AccessAttributes {
  if (!info.isResourceRequest)
    return { type: 'non-resource', nonResource: { verb: info.verb, path: info.path } };
  return {
    type: 'resource',
    resource: {
      verb: info.verb,
      group: info.apiGroup,
      version: info.apiVersion,
      resource: info.resource,
      ...(info.subresource ? { subresource: info.subresource } : {}),
      ...(info.namespace ? { namespace: info.namespace } : {}),
      ...(info.name ? { name: info.name } : {}),
    },
  };
}

/** The text of apiserver's responsewriters/errors.go, which people and programs search for. */
function forbidden(user: UserInfo, info: RequestInfo, reason: string): StatusError {
  const because = reason ? `: ${reason}` : '';
  if (!info.isResourceRequest) {
    return new StatusError(
      'Forbidden',
      `forbidden: User ${quote(user.name)} cannot ${info.verb} path ${quote(info.path)}${because}`,
    );
  }
  const resource = info.subresource ? `${info.resource}/${info.subresource}` : info.resource;
  const subject = info.apiGroup ? `${info.resource}.${info.apiGroup}` : info.resource;
  const where = info.namespace ? `in the namespace ${quote(info.namespace)}` : 'at the cluster scope';
  const named = info.name ? `${subject} ${quote(info.name)}` : subject;
  return new StatusError(
    'Forbidden',
    `${named} is forbidden: User ${quote(user.name)} cannot ${info.verb} resource ${quote(resource)} in API group ${quote(info.apiGroup)} ${where}${because}`,
    { details: { ...(info.name ? { name: info.name } : {}), group: info.apiGroup, kind: info.resource } },
  );
}

const escapes: Record<string, string> = { '<': '&lt;', '>': '&gt;', '&': '&amp;' };
const quote = (text: string) =>
  JSON.stringify(text).replace(/[<>&]/g, (character) => escapes[character] ?? character);
