import type { RequestInfo } from '../kube/request-info.ts';
import type { UserInfo } from '../kube/user-info.ts';

export const auditLevels = ['None', 'Metadata', 'Request', 'RequestResponse'] as const;
export type AuditLevel = (typeof auditLevels)[number];

export const auditStages = ['RequestReceived', 'ResponseStarted', 'ResponseComplete', 'Panic'] as const;
export type AuditStage = (typeof auditStages)[number];

/** audit.k8s.io/v1 GroupResources. */
export interface AuditedGroupResources {
  /** Empty: the core group; `*`: every group. */
  readonly group: string;
  /** `pods`, `pods/log`, `*`, `pods/*`, `*` + `/scale`; empty: all of the group. */
  readonly resources: readonly string[];
  readonly resourceNames: readonly string[];
}

/** audit.k8s.io/v1 PolicyRule. An empty list matches everything. */
export interface AuditPolicyRule {
  readonly level: AuditLevel;
  readonly users: readonly string[];
  readonly userGroups: readonly string[];
  readonly verbs: readonly string[];
  readonly resources: readonly AuditedGroupResources[];
  readonly namespaces: readonly string[];
  readonly nonResourceURLs: readonly string[];
  readonly omitStages: readonly AuditStage[];
  /** Undefined: as the policy says. */
  readonly omitManagedFields: boolean | undefined;
}

/** audit.k8s.io/v1 Policy, as read from a file. */
export interface AuditPolicyRules {
  readonly rules: readonly AuditPolicyRule[];
  readonly omitStages: readonly AuditStage[];
  readonly omitManagedFields: boolean;
}

/** What is written of one request. */
export interface AuditDecision {
  readonly level: AuditLevel;
  readonly omitStages: ReadonlySet<AuditStage>;
  readonly omitManagedFields: boolean;
}

export interface AuditPolicy {
  /** `user` is undefined where nobody was authenticated. The decision is one object for each rule, made once. */
  decide(user: UserInfo | undefined, info: RequestInfo): AuditDecision;
}

/** The first rule that matches decides; a request that none matches is not audited (apiserver audit/policy/checker.go). */
export function createAuditPolicy({ rules, omitStages, omitManagedFields }: AuditPolicyRules): AuditPolicy {
  const compiled = rules.map((rule) => ({
    matches: matcherOf(rule),
    decision: {
      level: rule.level,
      omitStages: new Set([...omitStages, ...rule.omitStages]),
      omitManagedFields: rule.omitManagedFields ?? omitManagedFields,
    },
  }));
  const nothing: AuditDecision = { level: 'None', omitStages: new Set(), omitManagedFields };
  return {
    decide: (user, info) => compiled.find(({ matches }) => matches(user, info))?.decision ?? nothing,
  };
}

const matchesAll: Omit<AuditPolicyRule, 'level'> = {
  users: [],
  userGroups: [],
  verbs: [],
  resources: [],
  namespaces: [],
  nonResourceURLs: [],
  omitStages: [],
  omitManagedFields: undefined,
};

/**
 * Without a policy file: everything at level Metadata but the probes, which come every few seconds and say nothing
 * about anybody; one event for each request, and one at the start of a long-running one.
 */
export const defaultAuditPolicy: AuditPolicyRules = {
  rules: [
    {
      ...matchesAll,
      level: 'None',
      nonResourceURLs: ['/livez', '/livez/*', '/readyz', '/readyz/*', '/healthz', '/healthz/*'],
    },
    { ...matchesAll, level: 'Metadata' },
  ],
  omitStages: ['RequestReceived'],
  omitManagedFields: false,
};

type Matcher = (user: UserInfo | undefined, info: RequestInfo) => boolean;

function matcherOf(rule: AuditPolicyRule): Matcher {
  const matchers: Matcher[] = [];
  if (rule.users.length > 0) {
    const users = new Set(rule.users);
    matchers.push((user) => user !== undefined && users.has(user.name));
  }
  if (rule.userGroups.length > 0) {
    const groups = new Set(rule.userGroups);
    matchers.push((user) => user?.groups.some((group) => groups.has(group)) ?? false);
  }
  if (rule.verbs.length > 0) {
    const verbs = new Set(rule.verbs);
    matchers.push((_, { verb }) => verbs.has(verb));
  }
  if (rule.namespaces.length > 0 || rule.resources.length > 0) matchers.push(resourceMatcher(rule));
  else if (rule.nonResourceURLs.length > 0) matchers.push(pathMatcher(rule.nonResourceURLs));
  return (user, info) => matchers.every((matches) => matches(user, info));
}

function resourceMatcher({ namespaces, resources }: AuditPolicyRule): Matcher {
  // Resources without a namespace have the empty one.
  const named = new Set(namespaces);
  return (_, info) =>
    info.isResourceRequest &&
    (named.size === 0 || named.has(info.namespace)) &&
    (resources.length === 0 || resources.some((each) => matchesGroupResources(each, info)));
}

function matchesGroupResources(
  { group, resources, resourceNames }: AuditedGroupResources,
  info: RequestInfo,
): boolean {
  if (group !== '*' && group !== info.apiGroup) return false;
  if (resources.length === 0) return true;
  if (resourceNames.length > 0 && !resourceNames.includes(info.name)) return false;
  return resources.some((resource) => matchesResource(resource, info));
}

function matchesResource(pattern: string, { resource, subresource }: RequestInfo): boolean {
  if (pattern === '*' || pattern === (subresource ? `${resource}/${subresource}` : resource)) return true;
  if (subresource && pattern.startsWith('*/') && pattern.slice(2) === subresource) return true;
  // As in kube-apiserver this matches the resource itself, too.
  return pattern.endsWith('/*') && pattern.slice(0, -2) === resource;
}

function pathMatcher(patterns: readonly string[]): Matcher {
  const exact = new Set(patterns);
  const prefixes = patterns.filter((each) => each.endsWith('*')).map((each) => each.replace(/\*+$/, ''));
  return (_, { isResourceRequest, path }) =>
    !isResourceRequest && (exact.has(path) || prefixes.some((prefix) => path.startsWith(prefix)));
}
