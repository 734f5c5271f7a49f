import { describe, expect, test } from 'vitest';
import { readAuditPolicy } from './audit-policy-file.ts';

const head = 'apiVersion: audit.k8s.io/v1\nkind: Policy\n';

describe('a policy file', () => {
  test('of one rule', () => {
    expect(readAuditPolicy(`${head}rules: [{level: Metadata}]`)).toEqual({
      apiVersion: 'audit.k8s.io/v1',
      kind: 'Policy',
      omitStages: [],
      omitManagedFields: false,
      rules: [
        {
          level: 'Metadata',
          users: [],
          userGroups: [],
          verbs: [],
          resources: [],
          namespaces: [],
          nonResourceURLs: [],
          omitStages: [],
          omitManagedFields: undefined,
        },
      ],
    });
  });

  test('in JSON', () => {
    const text = JSON.stringify({
      apiVersion: 'audit.k8s.io/v1',
      kind: 'Policy',
      rules: [{ level: 'None' }],
    });
    expect(readAuditPolicy(text).rules).toHaveLength(1);
  });

  test.each([
    ['', /expected object/],
    ['rules: [', /at line 1/],
    [`${head}rules: [{level: None}]\n---\n${head}`, /multiple documents/],
    [`${head}rules: [{level: None, level: Request}]`, /unique/],
    [head, /rules: .*expected array/],
    [`${head}rules: []`, /rules: a policy needs at least one rule/],
    [`${head}rules: [{}]`, /rules\[0\]\.level/],
    [`${head}rules: [{level: Meta}]`, /rules\[0\]\.level: .*"None"\|"Metadata"/],
    [`${head}rules: [{level: metadata}]`, /rules\[0\]\.level/],
    [`${head}rules: [{level: None, user: [a]}]`, /rules\[0\]: Unrecognized key: "user"/],
    [`${head}rules: [{level: None, users: a}]`, /rules\[0\]\.users/],
    [`${head}rules: [{level: None, users: [1]}]`, /rules\[0\]\.users\[0\]/],
    [`${head}rules: [{level: None, omitStages: [Done]}]`, /rules\[0\]\.omitStages\[0\]/],
    [`${head}omitStages: [Done]\nrules: [{level: None}]`, /^omitStages\[0\]/],
    [`${head}rule: []\nrules: [{level: None}]`, /Unrecognized key: "rule"/],
    [`${head}rules: [{level: None, nonResourceURLs: [metrics]}]`, /must begin with a '\/'/],
    [`${head}rules: [{level: None, nonResourceURLs: ["/a*b"]}]`, /must be the final character/],
    [`${head}rules: [{level: None, nonResourceURLs: ["/a"], namespaces: [x]}]`, /cannot apply to both/],
    [`${head}rules: [{level: None, nonResourceURLs: ["/a"], resources: [{}]}]`, /cannot apply to both/],
    [
      `${head}rules: [{level: None, resources: [{group: apps/v1}]}]`,
      /rules\[0\]\.resources\[0\]\.group: .*without a version/,
    ],
    [`${head}rules: [{level: None, resources: [{resourceNames: [a]}]}]`, /requires at least one resource/],
    ['apiVersion: audit.k8s.io/v1beta1\nkind: Policy\nrules: [{level: None}]', /apiVersion/],
    ['apiVersion: audit.k8s.io/v1\nkind: Pod\nrules: [{level: None}]', /kind/],
  ])('%j is refused with its fault', (text, message) => {
    expect(() => readAuditPolicy(text)).toThrow(message);
  });

  test('a bomb of aliases is refused, not unfolded', () => {
    const levels = Array.from({ length: 20 }, (_, i) => `a${i + 1}: &a${i + 1} [*a${i}, *a${i}, *a${i}]`);
    expect(() => readAuditPolicy(`${head}a0: &a0 [x]\n${levels.join('\n')}\n`)).toThrow(/alias/i);
  });

  test('all faults are told at once, with a bound', () => {
    const rules = Array.from({ length: 50 }, () => '{level: x}').join(', ');
    expect(() => readAuditPolicy(`${head}rules: [{level: None, a: 1}, {level: y}]`)).toThrow(
      /rules\[0\].*rules\[1\]/,
    );
    try {
      readAuditPolicy(`${head}rules: [${rules}]`);
    } catch (error) {
      expect(String(error).match(/level/g)?.length).toBe(10);
    }
  });
});
