import { encodeHeaderText } from '../base/header-lines.ts';
import type { HeaderLines } from '../base/header-lines.ts';
import { canTravel } from '../clusters/identity-value.ts';
import { ANONYMOUS, SYSTEM_AUTHENTICATED, SYSTEM_UNAUTHENTICATED } from '../kube/user-info.ts';
import type { UserInfo } from '../kube/user-info.ts';

/** What of a caller stays at the hub. Texts, or beginnings of texts with a `*` behind. */
export interface ImpersonationLimits {
  /** Users who are nobody at a cluster. */
  readonly deniedUsers: readonly string[];
  readonly droppedGroups: readonly string[];
  /** Keys, lower case. */
  readonly droppedExtras: readonly string[];
  readonly sendUid: boolean;
}

/** The lines that make a cluster take a request for a user's, or why there are none. */
export type ImpersonationLines =
  | { readonly type: 'lines'; readonly lines: HeaderLines }
  | { readonly type: 'denied'; readonly reason: string };

/**
 * Makes Impersonate-* lines as client-go does (transport/round_trippers.go). Callers' users may be denied, and their
 * groups and extras dropped: names such as system:masters mean something else at each cluster (GHSA-c7xh-gjv4-4jgv).
 * What cannot be at the cluster exactly as it is here denies the request. The result for one user object is
 * remembered as long as that object lives.
 */
export function createImpersonation(limits: ImpersonationLimits): (user: UserInfo) => ImpersonationLines {
  const isDeniedUser = matcherOf(limits.deniedUsers);
  const isDroppedGroup = matcherOf(limits.droppedGroups);
  const isDroppedExtra = matcherOf(limits.droppedExtras);
  const made = new WeakMap<UserInfo, ImpersonationLines>();
  const make = (user: UserInfo): ImpersonationLines => {
    if (isDeniedUser(user.name)) {
      return {
        type: 'denied',
        reason: `the user ${quoted(user.name)} must not be impersonated at a cluster`,
      };
    }
    const { uid, groups, extra } = user;
    return impersonationLines({
      name: user.name,
      groups: groups.filter((group) => isUnusual(group, user) || !isDroppedGroup(group)),
      ...(limits.sendUid && uid ? { uid } : {}),
      extra: Object.fromEntries(
        Object.entries(extra ?? {}).filter(([key]) => !isDroppedExtra(key.toLowerCase())),
      ),
    });
  };
  return (user) => {
    const known = made.get(user);
    if (known) return known;
    const lines = make(user);
    made.set(user, lines);
    return lines;
  };
}

/** The lines for a user as a whole; for users whom somebody has written down. */
export function impersonationLines(user: UserInfo): ImpersonationLines {
  const { name, uid, groups, extra = {} } = user;
  // Without a name a cluster takes the request for the gateway's own.
  if (name === '') return { type: 'denied', reason: 'a user without a name cannot be impersonated' };
  if (!canTravel(name)) return cannotTravel('the name of the user');
  const lines = ['impersonate-user', encodeHeaderText(name)];
  for (const group of groups) {
    if (group === '' || (isImplied(group) && !isUnusual(group, user))) continue;
    if (!canTravel(group)) return cannotTravel(`the group ${quoted(group)}`);
    lines.push('impersonate-group', encodeHeaderText(group));
  }
  if (uid !== undefined && uid !== '') {
    if (!canTravel(uid)) return cannotTravel('the UID of the user');
    lines.push('impersonate-uid', encodeHeaderText(uid));
  }
  for (const [key, values] of Object.entries(extra)) {
    if (key === '') continue;
    const line = `impersonate-extra-${escapeKey(key)}`;
    for (const value of values) {
      if (value !== '' && !canTravel(value)) return cannotTravel(`a value of the extra ${quoted(key)}`);
      lines.push(line, encodeHeaderText(value));
    }
  }
  return { type: 'lines', lines };
}

/** The target adds one of them by itself, and would want a right to be given them. */
const isImplied = (group: string) => group === SYSTEM_AUTHENTICATED || group === SYSTEM_UNAUTHENTICATED;

/** Without it the target would take somebody for authenticated who is not. */
const isUnusual = (group: string, { name }: UserInfo) =>
  group === SYSTEM_UNAUTHENTICATED && name !== ANONYMOUS.name;

const cannotTravel = (what: string): ImpersonationLines => ({
  type: 'denied',
  reason: `${what} begins or ends with a space, or has control characters, and cannot be sent to a cluster`,
});

const quoted = (text: string) => JSON.stringify(text.slice(0, 200));

/** Keys become part of a header's name: lower case, and percent-escaped where a name must not have the byte (RFC 9110 5.1). */
function escapeKey(key: string): string {
  return key
    .toLowerCase()
    .replaceAll(/[^-a-z0-9!#$&'*+.^_`|~]/gu, (character) =>
      Buffer.from(character, 'utf8').toString('hex').replaceAll(/../g, '%$&'),
    );
}

function matcherOf(list: readonly string[]): (text: string) => boolean {
  const texts = new Set(list.filter((each) => !each.endsWith('*')));
  const prefixes = list.filter((each) => each.endsWith('*')).map((each) => each.slice(0, -1));
  return (text) => texts.has(text) || prefixes.some((prefix) => text.startsWith(prefix));
}
