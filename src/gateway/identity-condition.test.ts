import { expect, test } from 'vitest';
import { IDENTITY_RULES_ANNOTATION } from '../clusters/identity-rules.ts';
import { clusterFromSecret } from '../clusters/secret-cluster.ts';
import { secretFrom } from '../clusters/secret.ts';
import { clusterGatewayFrom } from './cluster-gateway.ts';

const base64 = (text: string) => Buffer.from(text).toString('base64');

/** The condition of a cluster with that annotation. */
function conditionFor(rules: string | undefined) {
  const record = clusterFromSecret(
    secretFrom({
      metadata: {
        name: 'c',
        labels: { 'cluster.core.oam.dev/cluster-credential-type': 'ServiceAccountToken' },
        annotations: rules === undefined ? {} : { [IDENTITY_RULES_ANNOTATION]: rules },
      },
      data: { endpoint: base64('https://10.0.0.1'), token: base64('t') },
    }),
    { requireCa: false, execPluginAllowlist: [] },
  );
  expect(record.type).toBe('accepted');
  const { conditions } = clusterGatewayFrom(record, { showHealth: false, now: 0 }).status;
  return conditions.find(({ type }) => type === 'IdentityRules');
}

const rule = '{type: PrivilegedIdentityExchanger, source: {userPattern: "PATTERN"}}';
const withPattern = (pattern: string) =>
  `spec: {clientIdentityExchanger: {rules: [${rule.replace('PATTERN', pattern)}]}}`;

test('rules of a cluster show in its status: not at all, as valid, or with the reason', () => {
  expect(conditionFor(undefined)).toBeUndefined();
  expect(conditionFor(withPattern('a'))).toMatchObject({ status: 'True', reason: 'Valid' });
  const broken = conditionFor(withPattern('('));
  expect(broken).toMatchObject({ status: 'False', reason: 'Unreadable' });
  expect(broken?.message).toContain('rules[0].source.userPattern: the pattern cannot be used');
});
