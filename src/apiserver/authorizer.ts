import type { AccessAttributes, AccessDecision, AccessRequest } from '../kube/access.ts';
import type { RequestInfo } from '../kube/request-info.ts';
import { StatusError } from '../kube/status.ts';
import type { StatusDetails } from '../kube/status.ts';
import { SYSTEM_MASTERS } from '../kube/user-info.ts';
import type { UserInfo } from '../kube/user-info.ts';
import type { AccessReviewer } from '../hub/subject-access-review.ts';
import { reviewedFieldSelector, reviewedLabelSelector } from './review-selectors.ts';

export interface AuthorizerOptions {
  readonly reviewer: AccessReviewer;
  /** Exact paths, or prefixes that end with `*` (`--authorization-always-allow-paths`). */
  readonly alwaysAllowPaths: readonly string[];
}

export interface Authorizer {
  /**
   * Throws AccessDenied (403), or InternalError (500) where the hub could not be asked: never lets through on doubt.
   * Gives the hub's reason to allow; undefined where it was not asked.
   */
  authorize(user: UserInfo, info: RequestInfo, signal: AbortSignal): Promise<string> | undefined;
  /** The same for something that a request asks for beside itself, as to act as somebody else. */
  check(user: UserInfo, attributes: AccessAttributes, signal: AbortSignal): Promise<unknown> | undefined;
}

/** The hub said no. */
export class AccessDenied extends StatusError {
  /** The hub's reason, for people; it may be empty. */
  readonly reason: string;
  /** The message without the reason. */
  readonly statement: string;
  constructor(statement: string, { details, reason }: { details: StatusDetails; reason: string }) {
    super('Forbidden', reason ? `${statement}: ${reason}` : statement, { details });
    this.reason = reason;
    this.statement = statement;
  }
}

/** system:masters, then the always-allowed paths, then a SubjectAccessReview (apiserver options/authorization.go). */
export function createAuthorizer({ reviewer, alwaysAllowPaths }: AuthorizerOptions): Authorizer {
  const exact = new Set(alwaysAllowPaths.filter((path) => !path.endsWith('*')));
  const prefixes = alwaysAllowPaths.filter((path) => path.endsWith('*')).map((path) => path.slice(0, -1));
  const alwaysAllowed = (info: RequestInfo) =>
    !info.isResourceRequest &&
    (exact.has(info.path) || prefixes.some((prefix) => info.path.startsWith(prefix)));
  const check = (user: UserInfo, attributes: AccessAttributes, signal: AbortSignal) =>
    // kube-aggregator's probe comes as system:masters: a slow or denied review must not make the APIService flap.
    user.groups.includes(SYSTEM_MASTERS) ? undefined : review(reviewer, { user, attributes }, signal);
  return {
    check,
    authorize: (user, info, signal) =>
      alwaysAllowed(info) ? undefined : check(user, attributesOf(info), signal),
  };
}

async function review(
  reviewer: AccessReviewer,
  request: AccessRequest,
  signal: AbortSignal,
): Promise<string> {
  let decision: AccessDecision;
  try {
    decision = await reviewer.review(request, signal);
  } catch (error) {
    throw new StatusError('InternalError', 'Internal Server Error', { cause: error });
  }
  if (!decision.allowed) throw forbidden(request, decision.reason);
  return decision.reason;
}

/** The attributes that are asked about: the same as the hub's own RBAC sees for this request. */
export function attributesOf(info: RequestInfo): AccessAttributes {
  if (!info.isResourceRequest)
    return { type: 'non-resource', nonResource: { verb: info.verb, path: info.path } };
  const fieldSelector = info.fieldSelector ? reviewedFieldSelector(info.fieldSelector) : undefined;
  const labelSelector = info.labelSelector ? reviewedLabelSelector(info.labelSelector) : undefined;
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
      ...(fieldSelector ? { fieldSelector } : {}),
      ...(labelSelector ? { labelSelector } : {}),
    },
  };
}

/** The text of apiserver's responsewriters/errors.go, which people and programs search for. */
function forbidden({ user, attributes }: AccessRequest, reason: string): AccessDenied {
  if (attributes.type === 'non-resource') {
    const { verb, path } = attributes.nonResource;
    return new AccessDenied(`forbidden: User ${quote(user.name)} cannot ${verb} path ${quote(path)}`, {
      details: {},
      reason,
    });
  }
  const { verb, group, resource, subresource, namespace, name } = attributes.resource;
  const kind = subresource ? `${resource}/${subresource}` : resource;
  const subject = group ? `${resource}.${group}` : resource;
  const where = namespace ? `in the namespace ${quote(namespace)}` : 'at the cluster scope';
  const named = name ? `${subject} ${quote(name)}` : subject;
  return new AccessDenied(
    `${named} is forbidden: User ${quote(user.name)} cannot ${verb} resource ${quote(kind)} in API group ${quote(group)} ${where}`,
    { details: { ...(name ? { name } : {}), ...(group ? { group } : {}), kind: resource }, reason },
  );
}

const escapes: Record<string, string> = { '<': '&lt;', '>': '&gt;', '&': '&amp;' };
const quote = (text: string) =>
  JSON.stringify(text).replace(/[<>&]/g, (character) => escapes[character] ?? character);
