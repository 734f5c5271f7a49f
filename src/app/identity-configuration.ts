import { Counter } from 'prom-client';
import type { Registry } from 'prom-client';
import type { Log } from '../base/log.ts';
import type { Scope } from '../base/scope.ts';
import { readIdentityRules } from '../clusters/identity-document.ts';
import { NO_IDENTITY_RULES } from '../clusters/identity-rules.ts';
import type { IdentityRules } from '../clusters/identity-rules.ts';
import { errorText } from '../base/failure.ts';
import { CLUSTER_GATEWAYS, GROUP } from '../gateway/api-group.ts';
import { createReloading } from '../pki/reloading-file.ts';
import { createCallerIdentity } from '../proxy/caller-identity.ts';
import type { CallerIdentity } from '../proxy/caller-identity.ts';
import type { GatewayOptions } from './gateway-options.ts';

export interface GatewayIdentityOptions {
  readonly options: Pick<GatewayOptions, 'identity' | 'featureGates'>;
  readonly metrics: Registry;
  readonly scope: Scope;
  readonly log: Log;
}

/** Who callers are at the clusters, as the flags say. Throws where `--cluster-gateway-proxy-config` cannot be read. */
export async function createGatewayIdentity(given: GatewayIdentityOptions): Promise<CallerIdentity> {
  const { rulesFile, ...limits } = given.options.identity;
  const always = given.options.featureGates.get('ClientIdentityPenetration') ?? false;
  const rules = rulesFile === undefined ? () => NO_IDENTITY_RULES : await rulesOf(rulesFile, given);
  return createCallerIdentity({
    ...{ always, rules, limits },
    resource: { group: GROUP, resource: CLUSTER_GATEWAYS },
  });
}

/** What is wrong later leaves the last good rules in place: a slip of the pen must not end everybody's access. */
async function rulesOf(path: string, given: GatewayIdentityOptions): Promise<() => IdentityRules> {
  const { metrics, scope, log } = given;
  const failures = new Counter({
    name: 'cluster_gateway_identity_rules_reload_failures_total',
    help: 'Contents of --cluster-gateway-proxy-config that could not be read; the rules before them stay in force.',
    registers: [metrics],
  });
  const onError = (error: Error) => {
    failures.inc();
    log.error({ err: error, path }, 'the identity rules cannot be read; the last good ones are kept');
  };
  try {
    const reloading = scope.own(await createReloading([path], { onError, parse: mustBeReadable }));
    scope.onEnd(reloading.onChange(() => log.info({ path }, 'the identity rules have changed')));
    return () => reloading.current();
  } catch (error) {
    throw new Error(`--cluster-gateway-proxy-config ${path}: ${errorText(error)}`, { cause: error });
  }
}

function mustBeReadable([content = '']: readonly string[]): IdentityRules {
  const rules = readIdentityRules(content);
  if (rules.type === 'unreadable') throw new Error(rules.message);
  return rules;
}
