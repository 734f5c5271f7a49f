import { decodeHeaderText } from '../base/header-lines.ts';
import type { HeaderLines } from '../base/header-lines.ts';
import type { AccessAttributes, ResourceAttributes } from '../kube/access.ts';
import { badRequest } from '../kube/status.ts';
import { ANONYMOUS, SYSTEM_AUTHENTICATED, SYSTEM_UNAUTHENTICATED } from '../kube/user-info.ts';
import type { UserInfo } from '../kube/user-info.ts';
import type { Authorizer } from './authorizer.ts';

/**
 * Who a request shall be answered as, where it says so by `Impersonate-*` headers (`kubectl --as`): undefined where it
 * does not. The caller must be allowed to impersonate the user and each group, UID and extra value, one
 * SubjectAccessReview for each (apiserver pkg/endpoints/filters/impersonation). For direct callers: behind the hub,
 * the hub has done this.
 *
 * Throws BadRequest (400) for headers that do not go together, Forbidden (403), or InternalError (500) where the hub
 * could not be asked.
 */
export async function impersonatedUser(
  { headers, user, signal }: { headers: HeaderLines; user: UserInfo; signal: AbortSignal },
  authorizer: Pick<Authorizer, 'check'>,
): Promise<UserInfo | undefined> {
  const wanted = readImpersonation(headers);
  if (!wanted) return undefined;
  const [first, ...rest] = attributesOf(wanted);
  if (first) await authorizer.check(user, first, signal);
  // Only who may be that user costs the hub more than one review.
  for (let i = 0; i < rest.length; i += reviewsAtOnce) {
    const some = rest.slice(i, i + reviewsAtOnce);
    await Promise.all(some.map(async (attributes) => authorizer.check(user, attributes, signal)));
  }
  return userFrom(wanted);
}

/** Cheap, for the many requests without: whether any header has to do with impersonation. */
export function asksForImpersonation(headers: HeaderLines): boolean {
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? '';
    if ((name.startsWith('i') || name.startsWith('I')) && name.toLowerCase().startsWith(prefix)) return true;
  }
  return false;
}

const prefix = 'impersonate-';
const extraPrefix = 'impersonate-extra-';
const reviewsAtOnce = 16;
/** Each is a review at the hub: users in hundreds of groups are real, thousands of values are an attack. */
const maxValues = 1_000;

interface Impersonation {
  readonly name: string;
  readonly groups: readonly string[];
  readonly uid: string;
  readonly extra: readonly (readonly [key: string, value: string])[];
}

function readImpersonation(headers: HeaderLines): Impersonation | undefined {
  const names: string[] = [];
  const groups: string[] = [];
  const uids: string[] = [];
  const extra: (readonly [string, string])[] = [];
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const header = (headers[i] ?? '').toLowerCase();
    if (!header.startsWith(prefix)) continue;
    const value = decodeHeaderText(headers[i + 1] ?? '');
    if (header === 'impersonate-user') names.push(value);
    else if (header === 'impersonate-group') groups.push(value);
    else if (header === 'impersonate-uid') uids.push(value);
    else if (header.startsWith(extraPrefix)) extra.push([extraKey(header.slice(extraPrefix.length)), value]);
    // One that a later Kubernetes gives a meaning must not be ignored: it might take rights away.
    else throw badRequest(`the impersonation header ${JSON.stringify(header)} is not known`);
  }
  if (names.length + groups.length + uids.length + extra.length === 0) return undefined;
  // Which of two lines counts, servers disagree on.
  if (names.length > 1 || uids.length > 1) throw badRequest('one user can be impersonated at a time');
  const [name = ''] = names;
  if (name === '') throw badRequest('requested uid, groups or extra without impersonating a user');
  // Without a name the hub would be asked about all groups, or all keys.
  if (groups.includes('') || extra.some(([key]) => key === ''))
    throw badRequest('a group or an extra key to impersonate is empty');
  if (groups.length + extra.length > maxValues)
    throw badRequest(`more than ${maxValues} groups and extra values cannot be impersonated`);
  return { name, groups, uid: uids[0] ?? '', extra };
}

/** Percent-encoded, so that it fits a header name; malformed ones are taken as they are. */
function extraKey(encoded: string): string {
  try {
    return decodeURIComponent(encoded);
  } catch {
    return encoded;
  }
}

/** The user first. */
function attributesOf({ name, groups, uid, extra }: Impersonation): AccessAttributes[] {
  const account = serviceAccountOf(name);
  const own = account
    ? { resource: 'serviceaccounts', namespace: account.namespace, name: account.name }
    : { resource: 'users', name };
  return [
    attributes(own),
    ...groups.map((group) => attributes({ resource: 'groups', name: group })),
    ...extra.map(([key, value]) =>
      attributes({ ...authentication, resource: 'userextras', subresource: key, name: value }),
    ),
    ...(uid === '' ? [] : [attributes({ ...authentication, resource: 'uids', name: uid })]),
  ];
}

const authentication = { group: 'authentication.k8s.io', version: 'v1' };

function attributes(
  resource: Omit<ResourceAttributes, 'verb' | 'group' | 'version'> & Partial<ResourceAttributes>,
): AccessAttributes {
  return { type: 'resource', resource: { group: '', version: '', ...resource, verb: 'impersonate' } };
}

function userFrom({ name, groups, uid, extra }: Impersonation): UserInfo {
  const byKey = Map.groupBy(extra, ([key]) => key);
  const account = serviceAccountOf(name);
  // Groups that are named are all; those of a service account follow from its name.
  const own =
    groups.length === 0 && account
      ? ['system:serviceaccounts', `system:serviceaccounts:${account.namespace}`]
      : groups;
  return {
    name,
    groups: [...own, ...impliedGroup(name, own)],
    ...(uid === '' ? {} : { uid }),
    ...(byKey.size === 0
      ? {}
      : {
          extra: Object.fromEntries([...byKey].map(([key, pairs]) => [key, pairs.map(([, value]) => value)])),
        }),
  };
}

/** Everybody is authenticated or not, whether the caller says so or leaves it out. */
function impliedGroup(name: string, groups: readonly string[]): string[] {
  if (groups.includes(SYSTEM_UNAUTHENTICATED)) return [];
  if (name === ANONYMOUS.name) return [SYSTEM_UNAUTHENTICATED];
  return groups.includes(SYSTEM_AUTHENTICATED) ? [] : [SYSTEM_AUTHENTICATED];
}

/** `system:serviceaccount:<namespace>:<name>`, where both are names that can exist. */
function serviceAccountOf(user: string): { readonly namespace: string; readonly name: string } | undefined {
  const parts = user.split(':');
  const [system, kind, namespace = '', name = ''] = parts;
  if (parts.length !== 4 || system !== 'system' || kind !== 'serviceaccount') return undefined;
  const isLabel = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/.test(namespace);
  const isSubdomain = name.length <= 253 && /^[a-z0-9](?:[-.a-z0-9]*[a-z0-9])?$/.test(name);
  return isLabel && isSubdomain ? { namespace, name } : undefined;
}
