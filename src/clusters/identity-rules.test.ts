import { describe, expect, test } from 'vitest';
import type { UserInfo } from '../kube/user-info.ts';
import { readIdentityRules } from './identity-document.ts';
import { MAX_TEXT_LENGTH, compileIdentityPattern } from './identity-pattern.ts';
import { findIdentityRule } from './identity-rules.ts';
import type { IdentityRule } from './identity-rules.ts';

const privileged = { type: 'PrivilegedIdentityExchanger' };
const mapped = (user: string) => ({ type: 'StaticMappingIdentityExchanger', target: { user } });

const documentOf = (...rules: readonly object[]) =>
  JSON.stringify({ spec: { clientIdentityExchanger: { rules } } });

function read(document: string, ownCluster?: string): readonly IdentityRule[] {
  const result = readIdentityRules(document, ownCluster);
  if (result.type === 'unreadable') throw new Error(result.message);
  return result.rules;
}

const jane: UserInfo = { name: 'jane', uid: 'u-1', groups: ['dev', 'kubevela:ux'] };
const find = (rules: readonly object[], user = jane, cluster = 'c1', ownCluster?: string) =>
  findIdentityRule(read(documentOf(...rules), ownCluster), user, cluster);

describe('sources', () => {
  test.each([
    [true, { user: 'jane' }],
    [false, { user: 'jan' }],
    [false, { user: '' }],
    [true, { group: 'dev' }],
    [false, { group: 'de' }],
    [true, { uid: 'u-1' }],
    [false, { uid: 'u-2' }],
    [false, { uid: '' }],
    [true, { cluster: 'c1' }],
    [false, { cluster: 'c' }],
    [true, { user: 'jane', group: 'dev', uid: 'u-1', cluster: 'c1' }],
    [false, { user: 'jane', group: 'ops' }],
    [false, { user: 'jane', cluster: 'c2' }],
    [true, { userPattern: 'an' }],
    [false, { userPattern: '^an' }],
    [true, { userPattern: '^jane$', groupPattern: 'kubevela:.+', clusterPattern: 'c\\d' }],
    [false, { userPattern: '^jane$', groupPattern: 'kubevela:\\d' }],
    [false, { userPattern: 'jane', clusterPattern: 'd' }],
    [false, { groupPattern: '(?i)OPS' }],
    [true, { groupPattern: '(?i)DEV' }],
    [true, {}],
    [false, null],
    [false, undefined],
  ])('%s: %j', (matches, source) => {
    expect(find([{ ...privileged, source }]) !== undefined).toBe(matches);
  });

  test('a caller without a UID has an empty one, as in Go', () => {
    const nobody = { name: 'nobody', groups: [] };
    expect(find([{ ...privileged, source: { uid: '' } }], nobody)).toBeDefined();
    expect(find([{ ...privileged, source: { groupPattern: '' } }], nobody)).toBeUndefined();
  });

  test("the rules of a cluster never speak for another, and a rule without source is nobody's there, too", () => {
    for (const source of [{ cluster: 'c2' }, {}, { clusterPattern: '.*' }]) {
      const rule = { ...privileged, source };
      expect(find([rule], jane, 'c1', 'c1')).toBeDefined();
      expect(find([rule], jane, 'c2', 'c1')).toBeUndefined();
    }
    expect(find([privileged], jane, 'c1', 'c1')).toBeUndefined();
  });
});

test('the first rule counts', () => {
  const rules = [
    { ...mapped('none'), name: 'none', source: { user: 'bob' } },
    { ...mapped('one'), name: 'one', source: { group: 'dev' } },
    { ...privileged, name: 'two', source: { user: 'jane' } },
  ];
  expect(find(rules)).toMatchObject({ name: 'one', action: { type: 'mapped', user: { name: 'one' } } });
});

test.each([
  [privileged, { type: 'gateway' }],
  [
    { type: 'StaticMappingIdentityExchanger', target: { user: 'a', groups: ['b', 'c'], uid: 'd' } },
    { type: 'mapped', user: { name: 'a', groups: ['b', 'c'], uid: 'd' } },
  ],
  [mapped('a'), { type: 'mapped', user: { name: 'a', groups: [] } }],
  [
    { type: 'ExternalIdentityExchanger', url: 'https://x' },
    { type: 'denied', reason: 'ExternalIdentityExchanger is not offered by this gateway' },
  ],
])('%j', (rule, action) => {
  expect(find([{ ...rule, source: { user: 'jane' } }])?.action).toEqual(action);
});

test('YAML as KubeVela ships it', () => {
  const [rule] = read(`apiVersion: cluster.core.oam.dev/v1alpha1
kind: ClusterGatewayProxyConfiguration
spec:
  clientIdentityExchanger:
    rules:
      - name: super-user
        source:
          group: kubevela:ux
        type: PrivilegedIdentityExchanger
`);
  expect(rule).toMatchObject({ name: 'super-user', action: { type: 'gateway' } });
  expect(read('spec: {clientIdentityExchanger: {}}')).toEqual([]);
});

describe('what cannot be read as a whole', () => {
  const source = { user: 'jane' };
  const withRule = (rule: object) => documentOf({ ...privileged, source }, rule);
  test.each([
    ['nothing', ''],
    ['a comment', '# later'],
    ['no YAML', '{'],
    ['a list', '[]'],
    ['another kind', '{kind: Pod, spec: {clientIdentityExchanger: {}}}'],
    ['no exchanger', 'spec: {}'],
    ['another field', 'spec: {clientIdentityExchanger: {rulez: []}}'],
    ['a field twice', 'spec: {clientIdentityExchanger: {rules: [], rules: []}}'],
    ['an unknown type', withRule({ type: 'MagicIdentityExchanger', source })],
    ['no type', withRule({ source })],
    ['no target', withRule({ type: 'StaticMappingIdentityExchanger', source })],
    ['no user', withRule({ type: 'StaticMappingIdentityExchanger', source, target: { groups: ['a'] } })],
    ['an empty user', withRule({ ...mapped(''), source })],
    ['a user that HTTP trims', withRule({ ...mapped(' a'), source })],
    ['a line end in a user', withRule({ ...mapped('a\r\nImpersonate-Group: system:masters'), source })],
    [
      'an empty group',
      withRule({ type: 'StaticMappingIdentityExchanger', source, target: { user: 'a', groups: [''] } }),
    ],
    ['a condition that is not known', withRule({ ...privileged, source: { userpattern: 'x' } })],
    ['a condition that is no text', withRule({ ...privileged, source: { user: 1 } })],
    ['a wrong pattern', withRule({ ...privileged, source: { userPattern: '(' } })],
    ["a pattern that is not Go's", withRule({ ...privileged, source: { groupPattern: '(?=a)' } })],
    ['a long pattern', withRule({ ...privileged, source: { groupPattern: 'a'.repeat(513) } })],
    ['a large pattern', withRule({ ...privileged, source: { groupPattern: '(((ab?c?){30})x){33}' } })],
    ['too many rules', documentOf(...Array.from({ length: 101 }, () => ({ ...privileged, source })))],
  ])('%s', (_, document) => {
    const result = readIdentityRules(document);
    expect(result).toEqual({ type: 'unreadable', message: expect.stringMatching(/^.{5,1600}$/s) });
  });

  test('the reason names the place', () => {
    const result = readIdentityRules(withRule({ ...privileged, source: { userPattern: '(' } }));
    const place = 'spec.clientIdentityExchanger.rules[1].source.userPattern: the pattern cannot be used: ';
    expect(result).toMatchObject({ message: expect.stringContaining(place) });
  });
});

describe('patterns', () => {
  test('no text makes one slow', () => {
    const started = performance.now();
    for (const pattern of ['^(a+)+$', '(a|a)*b', '(?:a?){900}a{99}', '(.*)*(.*)*(.*)*x']) {
      const matches = compileIdentityPattern(pattern);
      for (let i = 0; i < 3; i += 1) matches(`${'a'.repeat(MAX_TEXT_LENGTH - 2)}${i}!`);
    }
    expect(performance.now() - started).toBeLessThan(3_000);
  });

  test('more texts than are remembered', () => {
    const isEven = compileIdentityPattern('^[0-9]*[02468]$');
    for (let i = 0; i < 2_500; i += 1) expect(isEven(String(i))).toBe(i % 2 === 0);
    expect(isEven('2')).toBe(true);
    expect(isEven('3')).toBe(false);
  });

  test.each([
    ['userPattern', { name: 'a'.repeat(MAX_TEXT_LENGTH + 1), groups: [] }],
    ['groupPattern', { name: 'jane', groups: ['a'.repeat(MAX_TEXT_LENGTH + 1)] }],
  ])('%s and a text that is too long for it: denied, whatever comes behind', (field, user) => {
    const rules = [
      { ...mapped('a'), source: { [field]: '^b' } },
      { ...privileged, source: {} },
    ];
    expect(find(rules, user)?.action.type).toBe('denied');
    const elsewhere = [{ ...mapped('a'), source: { [field]: '^b', cluster: 'c2' } }, rules[1] ?? {}];
    expect(find(elsewhere, user)?.action.type).toBe('gateway');
  });
});
