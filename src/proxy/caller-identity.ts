import type { HeaderLines } from '../base/header-lines.ts';
import type { Cluster } from '../clusters/cluster.ts';
import { NO_IDENTITY_RULES, findIdentityRule } from '../clusters/identity-rules.ts';
import type { IdentityAction, IdentityRule, IdentityRules } from '../clusters/identity-rules.ts';
import { parseQuery } from '../kube/query.ts';
import { StatusError, badRequest } from '../kube/status.ts';
import type { ResourceName } from '../kube/status.ts';
import type { UserInfo } from '../kube/user-info.ts';
import { createImpersonation, impersonationLines } from './impersonation-lines.ts';
import type { ImpersonationLimits, ImpersonationLines } from './impersonation-lines.ts';

export interface CallerIdentityOptions {
  /** Of every request; otherwise of those with `?impersonate=true`. */
  readonly always: boolean;
  /** For all clusters, behind the cluster's own. Read for each request: they may change while we run. */
  readonly rules: () => IdentityRules;
  readonly limits: ImpersonationLimits;
  /** Of clusters, for what is answered. */
  readonly resource: ResourceName;
}

export interface IdentifiedRequest {
  /** After impersonation by the hub, or by us for direct callers. */
  readonly user: UserInfo;
  readonly cluster: Cluster;
  /** Empty, or with its `?`. */
  readonly query: string;
}

/** Who a request is at the cluster. */
export interface IdentityAtCluster {
  /** Impersonate-* lines; none: the gateway's own credential alone. */
  readonly lines: HeaderLines;
  /** For the audit log; undefined where the gateway carries all requests as itself. */
  readonly note: string | undefined;
}

/** Throws Forbidden (403) where nobody is meant to be there, or rules cannot be read; BadRequest (400). */
export type CallerIdentity = (request: IdentifiedRequest) => IdentityAtCluster;

const asGateway: IdentityAtCluster = { lines: [], note: undefined };

/**
 * Decides who a caller is at a cluster: by the cluster's rules, then those for all, the first that matches; else the
 * caller, impersonated. What is made of a rule or of a user object is made once.
 */
export function createCallerIdentity(options: CallerIdentityOptions): CallerIdentity {
  const impersonate = createImpersonation(options.limits);
  // Rules go when they are read again, and what was made of them goes with them.
  const made = new WeakMap<IdentityAction, Found>();
  const decisions = new WeakMap<UserInfo, WeakMap<Cluster, Decision>>();
  const foundByRule = ({ name, action }: MatchedRule): Found => {
    const known = made.get(action);
    if (known) return known;
    const found = ofRule(name, action);
    made.set(action, found);
    return found;
  };
  return ({ user, cluster, query }) => {
    if (!options.always && !asksForOwnIdentity(query)) return asGateway;
    const found = remembered(user, cluster);
    if (found.type === 'denied') throw forbidden(options.resource, cluster, found.reason);
    return found;
  };

  /** Groups times patterns are many steps. Users and clusters are replaced when they change, rules are compared. */
  function remembered(user: UserInfo, cluster: Cluster): Found {
    const rules = options.rules();
    let byCluster = decisions.get(user);
    if (!byCluster) decisions.set(user, (byCluster = new WeakMap()));
    const known = byCluster.get(cluster);
    if (known?.rules === rules) return known.found;
    const found = find(user, cluster, rules);
    byCluster.set(cluster, { rules, found });
    return found;
  }

  function find(user: UserInfo, cluster: Cluster, rulesForAll: IdentityRules): Found {
    for (const rules of [cluster.identityRules ?? NO_IDENTITY_RULES, rulesForAll]) {
      if (rules.type === 'unreadable') {
        return { type: 'denied', reason: `the identity rules cannot be read: ${rules.message}` };
      }
      const rule = findIdentityRule(rules.rules, user, cluster.name);
      if (rule) return foundByRule(rule);
    }
    const caller = impersonate(user);
    return caller.type === 'denied' ? caller : { ...caller, note: 'the caller' };
  }
}

type MatchedRule = Pick<IdentityRule, 'name' | 'action'>;

type Found =
  ({ readonly type: 'lines' } & IdentityAtCluster) | (ImpersonationLines & { readonly type: 'denied' });

interface Decision {
  /** For all clusters, as they were then. */
  readonly rules: IdentityRules;
  readonly found: Found;
}

function ofRule(name: string, action: IdentityAction): Found {
  const by = `by rule ${JSON.stringify(name)}`;
  switch (action.type) {
    case 'gateway':
      return { type: 'lines', lines: [], note: `the gateway, ${by}` };
    case 'mapped': {
      const mapped = impersonationLines(action.user);
      const note = `the user ${JSON.stringify(action.user.name)}, ${by}`;
      return mapped.type === 'denied' ? mapped : { ...mapped, note };
    }
    case 'denied':
      return { type: 'denied', reason: `${action.reason} (${by})` };
  }
}

const forbidden = ({ group, resource }: ResourceName, { name }: Cluster, reason: string) =>
  new StatusError('Forbidden', `no identity at cluster ${JSON.stringify(name)}: ${reason}`, {
    details: { name, group, kind: resource },
  });

/**
 * `?impersonate=true`. Where it stands beside another value, or servers may read the query in two ways, the answer is
 * not the gateway's own identity: that might be more than was asked for.
 */
export function asksForOwnIdentity(query: string): boolean {
  if (!/impersonate|%/.test(query)) return false;
  const parameters = parseQuery(query.slice(1));
  if (parameters.all('impersonate').includes('true')) return true;
  if (parameters.malformed && query.includes('impersonate')) {
    throw badRequest('the query has impersonate beside what cannot be read');
  }
  return false;
}
