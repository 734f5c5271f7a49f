import { describe, expect, test } from 'vitest';
import { NO_IDENTITY_RULES } from '../clusters/identity-rules.ts';
import { readIdentityRules } from '../clusters/identity-document.ts';
import type { IdentityRules } from '../clusters/identity-rules.ts';
import { clusterFromSecret } from '../clusters/secret-cluster.ts';
import { secretFrom } from '../clusters/secret.ts';
import { StatusError } from '../kube/status.ts';
import { asksForOwnIdentity, createCallerIdentity } from './caller-identity.ts';

const document = (...rules: readonly object[]) =>
  JSON.stringify({ spec: { clientIdentityExchanger: { rules } } });
const privileged = (source: object) => ({ type: 'PrivilegedIdentityExchanger', source, name: 'p' });
const mapped = (source: object, user: string) => ({
  ...{ type: 'StaticMappingIdentityExchanger', source, name: 'm' },
  target: { user, groups: ['system:masters'] },
});
const external = (source: object) => ({ type: 'ExternalIdentityExchanger', source, name: 'e' });

interface Given {
  readonly always?: boolean;
  readonly query?: string;
  readonly own?: string;
  readonly rules?: IdentityRules;
  readonly name?: string;
}

function clusterWith(rules: string | undefined) {
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  const record = clusterFromSecret(
    secretFrom({
      metadata: {
        name: 'c',
        labels: { 'cluster.core.oam.dev/cluster-credential-type': 'ServiceAccountToken' },
        annotations:
          rules === undefined ? {} : { 'cluster.core.oam.dev/cluster-gateway-proxy-configuration': rules },
      },
      data: { endpoint: base64('https://10.0.0.1'), token: base64('t') },
    }),
    { requireCa: false, execPluginAllowlist: [] },
  );
  if (record.type === 'rejected') throw new Error(record.message);
  return record;
}

const limits = { deniedUsers: ['root'], droppedGroups: ['system:*'], droppedExtras: [], sendUid: true };

/** The lines of jane, or the code and text of the answer. */
function identity({ always = true, query = '', own, rules = NO_IDENTITY_RULES, name = 'jane' }: Given) {
  const resource = { group: 'g', resource: 'clustergateways' };
  const find = createCallerIdentity({ always, rules: () => rules, limits, resource });
  try {
    const user = { name, groups: ['dev', 'system:masters'] };
    return find({ user, cluster: clusterWith(own), query }).lines;
  } catch (error) {
    if (!(error instanceof StatusError)) throw error;
    expect(error.status.code === 400 || error.status.details?.name === 'c').toBe(true);
    return `${error.status.code} ${error.message}`;
  }
}

const asJane = ['impersonate-user', 'jane', 'impersonate-group', 'dev'];
const asBob = ['impersonate-user', 'bob', 'impersonate-group', 'system:masters'];

describe('without a rule', () => {
  test.each<[string, Given, unknown]>([
    ['the gateway, unless it is asked for', { always: false }, []],
    ['the caller, where it is asked for', { always: false, query: '?a=b&impersonate=true' }, asJane],
    ['the caller, always', {}, asJane],
    ['the caller, although it is not wanted', { query: '?impersonate=false' }, asJane],
    ['nobody', { name: 'root' }, expect.stringMatching(/^403 .*"root" must not be impersonated/)],
    ['a user without a name', { name: '' }, expect.stringMatching(/^403 .*without a name/)],
    ['the gateway for anybody', { always: false, name: 'root' }, []],
  ])('%s', (_, given, found) => {
    expect(identity(given)).toEqual(found);
  });
});

describe('rules', () => {
  const dev = { group: 'dev' };
  const all = readIdentityRules(document(mapped(dev, 'bob')));
  test.each<[string, Given, unknown]>([
    ['for all clusters', { rules: all }, asBob],
    ['for all clusters, a user who may not be impersonated', { rules: all, name: 'root' }, asBob],
    ['are for impersonation alone', { rules: all, always: false }, []],
    ['of the cluster stand before them', { rules: all, own: document(privileged(dev)) }, []],
    ['of the cluster that match nobody', { rules: all, own: document(privileged({ user: 'x' })) }, asBob],
    ['of another cluster', { own: document(privileged({ cluster: 'd' })) }, []],
    ['of the way outside', { own: document(external(dev)) }, expect.stringMatching(/^403 .*by rule "e"/)],
    [
      'that are broken',
      { own: document(privileged({ userPattern: '(' })) },
      expect.stringMatching(/^403 .*rules\[0\]/),
    ],
    ['that are broken, and not asked', { own: '{', always: false }, []],
    [
      'that are broken, and asked',
      { own: '{', always: false, query: '?impersonate=true' },
      expect.stringMatching(/^403 /),
    ],
    [
      'that are broken for all',
      { rules: { type: 'unreadable', message: 'why' }, own: document(privileged({ user: 'x' })) },
      expect.stringMatching(/^403 .*why/),
    ],
  ])('%s', (_, given, found) => {
    expect(identity(given)).toEqual(found);
  });

  test('that were read again count from then on', () => {
    let rules = all;
    const resource = { group: 'g', resource: 'clustergateways' };
    const find = createCallerIdentity({ always: true, rules: () => rules, limits, resource });
    const request = { user: { name: 'jane', groups: ['dev'] }, cluster: clusterWith(undefined), query: '' };
    expect(find(request).lines).toEqual(asBob);
    rules = readIdentityRules(document(privileged(dev)));
    expect(find(request)).toEqual({ type: 'lines', lines: [], note: 'the gateway, by rule "p"' });
    rules = NO_IDENTITY_RULES;
    expect(find(request).lines).toEqual(asJane);
    // The same caller at another state of the cluster, and another caller at the same.
    const changed = clusterWith(document(privileged(dev)));
    expect(find({ ...request, cluster: changed }).lines).toEqual([]);
    expect(find({ ...request, user: { name: 'jane', groups: [] } }).lines).toEqual(asJane.slice(0, 2));
    expect(find(request).lines).toEqual(asJane);
  });
});

describe('?impersonate', () => {
  test.each([
    [true, '?impersonate=true'],
    [true, '?impersonate=false&impersonate=true'],
    [true, '?impersonate=true&impersonate=false'],
    [true, '?impersonat%65=tru%65'],
    [true, '?a=%zz&impersonate=true'],
    [false, ''],
    [false, '?impersonate=True'],
    [false, '?impersonate=1'],
    [false, '?impersonate'],
    [false, '?Impersonate=true'],
    [false, '?a=impersonate=true'],
    [false, '?a=%zz'],
  ])('%s: %s', (asks, query) => {
    expect(asksForOwnIdentity(query)).toBe(asks);
  });

  test.each(['?impersonate=true;a=b', '?a=b;impersonate=true', '?impersonate=tru%6'])(
    '%s is 400',
    (query) => {
      expect(() => asksForOwnIdentity(query)).toThrow(StatusError);
    },
  );
});
