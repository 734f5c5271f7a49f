import { describe, expect, test } from 'vitest';
import { requestInfo } from '../kube/request-info.ts';
import type { UserInfo } from '../kube/user-info.ts';
import { readAuditPolicy } from './audit-policy-file.ts';
import { createAuditPolicy, defaultAuditPolicy } from './audit-policy.ts';

const jane: UserInfo = { name: 'jane', groups: ['dev', 'system:authenticated'] };

/** The level of a request under one rule of level Metadata; None: the rule does not match. */
function matches(rule: string, request: string, user: UserInfo | undefined = jane): boolean {
  const [method = '', target = ''] = request.split(' ');
  const text = `{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: Metadata, ${rule}}]}`;
  const policy = createAuditPolicy(readAuditPolicy(text));
  return policy.decide(user, requestInfo(method, target)).level === 'Metadata';
}

describe('a rule', () => {
  const pods = 'GET /api/v1/namespaces/ns/pods/p';
  const log = `${pods}/log`;
  const nodes = 'GET /api/v1/nodes';
  const deployments = 'GET /apis/apps/v1/namespaces/ns/deployments';
  const scale = 'PUT /apis/apps/v1/namespaces/ns/deployments/d/scale';
  test.each([
    ['', pods, true],
    ['', 'GET /metrics', true],
    ['users: [jane]', pods, true],
    ['users: [joe]', pods, false],
    ['userGroups: [ops, dev]', pods, true],
    ['userGroups: [ops]', pods, false],
    ['users: [jane], userGroups: [ops]', pods, false],
    ['verbs: [get]', pods, true],
    ['verbs: [list]', pods, false],
    ['verbs: [list]', nodes, true],
    ['verbs: [watch]', `${nodes}?watch=true`, true],
    ['verbs: [GET]', pods, false],
    ['namespaces: [ns]', pods, true],
    ['namespaces: [other]', pods, false],
    ['namespaces: [""]', nodes, true],
    ['namespaces: [""]', pods, false],
    ['namespaces: [""]', 'GET /metrics', false],
    ['resources: [{group: ""}]', pods, true],
    ['resources: [{group: ""}]', deployments, false],
    ['resources: [{}]', pods, true],
    ['resources: [{group: "*"}]', deployments, true],
    ['resources: [{group: apps}]', scale, true],
    ['resources: [{group: apps}]', 'GET /apis/apps', false],
    ['resources: [{group: "", resources: [pods]}]', pods, true],
    ['resources: [{group: "", resources: [pods]}]', log, false],
    ['resources: [{group: "", resources: [pods/log]}]', log, true],
    ['resources: [{group: "", resources: [pods/log]}]', pods, false],
    ['resources: [{group: "", resources: [pods/*]}]', log, true],
    // So it is in kube-apiserver, whatever its documentation says.
    ['resources: [{group: "", resources: [pods/*]}]', pods, true],
    ['resources: [{group: "", resources: [nodes/*]}]', log, false],
    ['resources: [{group: "*", resources: ["*/scale"]}]', scale, true],
    ['resources: [{group: "*", resources: ["*/scale"]}]', deployments, false],
    ['resources: [{group: "*", resources: ["*"]}]', log, true],
    ['resources: [{group: "", resources: [pods], resourceNames: [p]}]', pods, true],
    ['resources: [{group: "", resources: [pods], resourceNames: [q]}]', pods, false],
    ['resources: [{group: ""}, {group: apps}]', deployments, true],
    ['namespaces: [ns], resources: [{group: "", resources: [nodes]}]', nodes, false],
    ['nonResourceURLs: [/metrics]', 'GET /metrics', true],
    ['nonResourceURLs: [/metrics]', 'GET /metrics/x', false],
    ['nonResourceURLs: [/metrics*]', 'GET /metrics/x', true],
    ['nonResourceURLs: [/healthz/*]', 'GET /healthz', false],
    ['nonResourceURLs: ["*"]', 'GET /metrics', true],
    ['nonResourceURLs: ["*"]', pods, false],
  ] as const)('{%s} and %s: %s', (rule, request, expected) => {
    expect(matches(rule, request)).toBe(expected);
  });

  test('that names users or groups does not match where nobody was authenticated', () => {
    const anybody = (rule: string) => {
      const text = `{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: Metadata, ${rule}}]}`;
      return createAuditPolicy(readAuditPolicy(text)).decide(undefined, requestInfo('GET', '/api')).level;
    };
    expect(anybody('users: [""]')).toBe('None');
    expect(anybody('userGroups: [dev]')).toBe('None');
    expect(anybody('verbs: [get]')).toBe('Metadata');
  });
});

describe('a policy', () => {
  const policy = createAuditPolicy(
    readAuditPolicy(`
apiVersion: audit.k8s.io/v1
kind: Policy
metadata: {name: x, labels: {a: b}}
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- level: None
  users: [jane]
  verbs: [get]
- level: RequestResponse
  users: [jane]
  omitStages: [Panic, RequestReceived]
  omitManagedFields: false
- level: Request
  nonResourceURLs: # nothing
  namespaces: [ns]
`),
  );
  const decide = (name: string, target: string, method = 'GET') =>
    policy.decide({ name, groups: [] }, requestInfo(method, target));

  test('decides by its first rule that matches', () => {
    expect(decide('jane', '/api/v1/nodes/n').level).toBe('None');
    expect(decide('jane', '/api/v1/nodes').level).toBe('RequestResponse');
    expect(decide('joe', '/api/v1/namespaces/ns/pods').level).toBe('Request');
  });

  test('where no rule matches nothing is written', () => {
    expect(decide('joe', '/api/v1/nodes').level).toBe('None');
  });

  test('omits the stages of the rule and its own', () => {
    expect([...decide('jane', '/api/v1/nodes').omitStages].sort()).toEqual(['Panic', 'RequestReceived']);
    expect([...decide('joe', '/api/v1/namespaces/ns/pods').omitStages]).toEqual(['RequestReceived']);
  });

  test('the rule says whether managed fields are omitted, else the policy', () => {
    expect(decide('jane', '/api/v1/nodes').omitManagedFields).toBe(false);
    expect(decide('joe', '/api/v1/namespaces/ns/pods').omitManagedFields).toBe(true);
  });

  test('gives one decision for a rule, so that a request makes none', () => {
    expect(decide('jane', '/api/v1/nodes')).toBe(decide('jane', '/apis/apps/v1/deployments'));
  });
});

describe('without a file', () => {
  const policy = createAuditPolicy(defaultAuditPolicy);
  test.each([
    ['/livez', 'None'],
    ['/readyz/ping', 'None'],
    ['/healthz?verbose', 'None'],
    ['/livezz', 'Metadata'],
    ['/api/v1/namespaces/livez/pods', 'Metadata'],
    ['/metrics', 'Metadata'],
  ])('%s is audited at level %s', (target, level) => {
    expect(policy.decide(undefined, requestInfo('GET', target)).level).toBe(level);
  });
});
