import type { UserInfo } from '../kube/user-info.ts';
import { MAX_TEXT_LENGTH } from './identity-pattern.ts';
import type { IdentityPattern } from './identity-pattern.ts';

/** The annotation of a Secret with the rules of its cluster. */
export const IDENTITY_RULES_ANNOTATION = 'cluster.core.oam.dev/cluster-gateway-proxy-configuration';

/** Who comes: what is given must match, all of it. */
export interface IdentitySource {
  readonly user?: string | undefined;
  readonly group?: string | undefined;
  readonly uid?: string | undefined;
  readonly cluster?: string | undefined;
  readonly userPattern?: IdentityPattern | undefined;
  readonly groupPattern?: IdentityPattern | undefined;
  readonly clusterPattern?: IdentityPattern | undefined;
}

/** Who somebody is at a cluster. */
export type IdentityAction =
  /** The gateway's own credential, unchanged (PrivilegedIdentityExchanger). */
  | { readonly type: 'gateway' }
  /** Always this user (StaticMappingIdentityExchanger). */
  | { readonly type: 'mapped'; readonly user: UserInfo }
  /** Nobody (ExternalIdentityExchanger, until it is offered). */
  | { readonly type: 'denied'; readonly reason: string };

export interface IdentityRule {
  /** For people. */
  readonly name: string;
  /** Undefined: the rule is for nobody. */
  readonly source: IdentitySource | undefined;
  readonly action: IdentityAction;
}

/** A ClusterGatewayProxyConfiguration as it was read, once. */
export type IdentityRules =
  | { readonly type: 'readable'; readonly rules: readonly IdentityRule[] }
  /** Nobody gets through by way of rules that cannot be read. */
  | { readonly type: 'unreadable'; readonly message: string };

export const NO_IDENTITY_RULES: IdentityRules = { type: 'readable', rules: [] };

/**
 * The first rule for a caller; undefined where there is none. Pure, in linear time.
 *
 * A rule with a pattern that meets a name or group too long for patterns decides, and denies: nobody knows whether it
 * was meant.
 */
export function findIdentityRule(
  rules: readonly IdentityRule[],
  user: UserInfo,
  cluster: string,
): Pick<IdentityRule, 'name' | 'action'> | undefined {
  for (const rule of rules) {
    const { source } = rule;
    if (!source || !matchesTexts(source, user, cluster)) continue;
    if (isTooLong(source, user)) {
      const reason = `the user's name or a group has more than ${MAX_TEXT_LENGTH} characters`;
      return { name: rule.name, action: { type: 'denied', reason } };
    }
    if (matchesPatterns(source, user, cluster)) return rule;
  }
  return undefined;
}

function matchesTexts(source: IdentitySource, user: UserInfo, cluster: string): boolean {
  return (
    (source.cluster === undefined || source.cluster === cluster) &&
    (source.user === undefined || source.user === user.name) &&
    (source.uid === undefined || source.uid === (user.uid ?? '')) &&
    (source.group === undefined || user.groups.includes(source.group))
  );
}

function isTooLong({ userPattern, groupPattern }: IdentitySource, user: UserInfo): boolean {
  if (userPattern && user.name.length > MAX_TEXT_LENGTH) return true;
  return groupPattern !== undefined && user.groups.some((group) => group.length > MAX_TEXT_LENGTH);
}

function matchesPatterns(source: IdentitySource, user: UserInfo, cluster: string): boolean {
  const { userPattern, groupPattern, clusterPattern } = source;
  return (
    (!clusterPattern || clusterPattern(cluster)) &&
    (!userPattern || userPattern(user.name)) &&
    (!groupPattern || user.groups.some((group) => groupPattern(group)))
  );
}
