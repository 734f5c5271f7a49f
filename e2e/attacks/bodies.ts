import { gzipSync } from 'node:zlib';

import { describe, expect, test } from 'vitest';

import { type GatewayWorld, proxyPath } from '../scenarios/registration-world.ts';
import { newMark, type Witness } from './witness.ts';

const health = '/apis/cluster.core.oam.dev/v1alpha1/clustergateways/a/health';

const aliases = ['a: &a [x,x,x,x,x,x,x,x,x]']
  .concat(
    'bcdefghij'
      .split('')
      .map((key, i) => `${key}: &${key} [${Array(9).fill(`*${'abcdefghij'[i]}`).join(',')}]`),
  )
  .join('\n');
const deep = `${'['.repeat(400_000)}${']'.repeat(400_000)}`;

const bombs: readonly (readonly [string, 'PUT' | 'PATCH', string, string, readonly string[]])[] = [
  ['YAML aliases', 'PUT', 'application/yaml', aliases, []],
  ['YAML aliases in a patch', 'PATCH', 'application/apply-patch+yaml', aliases, []],
  ['400,000 arrays in one another', 'PUT', 'application/json', deep, []],
  [
    '400,000 objects in one another',
    'PUT',
    'application/json',
    `${'{"a":'.repeat(400_000)}1${'}'.repeat(400_000)}`,
    [],
  ],
  ['400,000 arrays in a merge patch', 'PATCH', 'application/merge-patch+json', `{"status":${deep}}`, []],
  [
    'a JSON patch of 40,000 copies',
    'PATCH',
    'application/json-patch+json',
    JSON.stringify(Array(40_000).fill({ op: 'copy', from: '/status', path: '/status/x' })),
    [],
  ],
  ['4 MiB', 'PUT', 'application/json', `{"status":"${'x'.repeat(4 * 1024 * 1024)}"}`, []],
  ['4 MiB of a patch', 'PATCH', 'application/merge-patch+json', `{"a":"${'x'.repeat(4 * 1024 * 1024)}"}`, []],
  [
    '50 MiB of zeros as gzip',
    'PUT',
    'application/json',
    gzipSync(Buffer.alloc(50 * 1024 * 1024)).toString('latin1'),
    ['Content-Encoding', 'gzip'],
  ],
];

/** Bodies that cost their reader more than their sender. */
export function describeBodies(world: () => GatewayWorld, a: Witness): void {
  describe.each(['hub', 'direct'] as const)('a body that is a bomb (%s)', (door) => {
    test.each(bombs)('%s is refused at once, and others do not wait', async (_, method, type, body, more) => {
      const client = world()[door];
      const headers = ['Content-Type', type, ...more];
      const [answer, other] = await Promise.all([
        client.call(health, { method, headers, body }),
        world().direct.call(proxyPath('a', '/version')),
      ]);
      expect([400, 413, 415, 422]).toContain(answer.status);
      expect(answer.json()).toMatchObject({ kind: 'Status', code: answer.status });
      expect(answer.ms).toBeLessThan(2000);
      expect([other.status, other.ms < 1000]).toEqual([200, true]);
    });

    test('is not looked into on its way to a cluster, which refuses it itself', async () => {
      const mark = newMark();
      const headers = ['Content-Type', 'application/json'];
      const path = proxyPath('a', `/api/v1/namespaces?mark=${mark}`);
      const { status } = await world()[door].call(path, { method: 'POST', headers, body: deep });
      expect([400, 403]).toContain(status);
      expect(await a.arrivedBefore(world().direct, mark)).toHaveLength(1);
    });
  });
}

/** What somebody could do who has got hold of the gateway's own service account. */
export function describeServiceAccount(world: () => GatewayWorld): void {
  const own = 'system:serviceaccount:vela-system:cluster-gateway';

  test.each([
    [true, 'list', '', 'secrets', 'vela-system'],
    [true, 'watch', '', 'secrets', 'vela-system'],
    [true, 'create', 'authorization.k8s.io', 'subjectaccessreviews', ''],
    [true, 'create', 'authentication.k8s.io', 'tokenreviews', ''],
    [false, 'create', '', 'secrets', 'vela-system'],
    [false, 'delete', '', 'secrets', 'vela-system'],
    [false, 'list', '', 'secrets', ''],
    [false, 'get', '', 'secrets', 'kube-system'],
    [false, 'list', '', 'configmaps', ''],
    [false, 'create', '', 'pods', 'vela-system'],
    [false, 'create', '', 'serviceaccounts/token', 'vela-system'],
    [false, 'impersonate', '', 'users', ''],
    [false, 'impersonate', '', 'groups', ''],
    [false, 'create', 'rbac.authorization.k8s.io', 'clusterrolebindings', ''],
    [false, 'escalate', 'rbac.authorization.k8s.io', 'clusterroles', ''],
    [false, 'get', 'cluster.core.oam.dev', 'clustergateways/proxy', ''],
    [false, 'update', 'apiregistration.k8s.io', 'apiservices', ''],
    [false, '*', '*', '*', ''],
  ])("its own service account: %s, may %s %s/%s in '%s'", async (allowed, verb, group, what, namespace) => {
    const [resource, subresource] = what.split('/');
    const body = {
      ...{ apiVersion: 'authorization.k8s.io/v1', kind: 'SubjectAccessReview' },
      spec: {
        user: own,
        groups: ['system:serviceaccounts', 'system:serviceaccounts:vela-system', 'system:authenticated'],
        resourceAttributes: { verb, group, resource, subresource, namespace },
      },
    };
    const path = '/apis/authorization.k8s.io/v1/subjectaccessreviews';
    const answer = await world().kube.hub.api.expect(path, { method: 'POST', body });
    expect(answer).toMatchObject({ status: { allowed } });
  });
}
