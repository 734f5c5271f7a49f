import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { registerCluster } from '../worlds/register.ts';
import { type AuditEvent, auditEnd, auditSince } from './audit-log.ts';
import { type Client, createClient } from './registration-client.ts';
import { describeGateway, proxyPath } from './registration-world.ts';

const rbac = '/apis/rbac.authorization.k8s.io/v1';
const apiGroup = 'rbac.authorization.k8s.io';
const gateways = '/apis/cluster.core.oam.dev/v1alpha1/clustergateways';

/** What `ops` may impersonate. */
const impersonations = [
  { apiGroups: [''], resources: ['users'], resourceNames: ['jane', 'nobody'], verbs: ['impersonate'] },
  { apiGroups: [''], resources: ['groups'], resourceNames: ['dev', 'a, b'], verbs: ['impersonate'] },
  { apiGroups: [''], resources: ['serviceaccounts'], resourceNames: ['robot'], verbs: ['impersonate'] },
  {
    apiGroups: ['authentication.k8s.io'],
    resources: ['userextras/scopes'],
    resourceNames: ['view'],
    verbs: ['impersonate'],
  },
  {
    apiGroups: ['authentication.k8s.io'],
    resources: ['uids'],
    resourceNames: ['u-1'],
    verbs: ['impersonate'],
  },
];

await describeGateway('impersonation by direct callers', (world) => {
  const ends: Client[] = [];
  const ops: Partial<Record<'hub' | 'direct', Client>> = {};
  const at = (door: 'hub' | 'direct'): Client => {
    const client = ops[door];
    if (client === undefined) throw new Error('not begun');
    return client;
  };
  let kubeconfig = '';
  afterAll(() => ends.forEach((client) => client.close()));

  async function grant(name: string, rules: readonly object[], subject: object): Promise<void> {
    const { api } = world().kube.hub;
    const metadata = { name };
    await api.expect(`${rbac}/clusterroles`, { method: 'POST', body: { metadata, rules } });
    await api.expect(`${rbac}/clusterrolebindings`, {
      method: 'POST',
      body: { metadata, roleRef: { apiGroup, kind: 'ClusterRole', name }, subjects: [subject] },
    });
  }

  beforeAll(async () => {
    const { kube, gateway } = world();
    await registerCluster(kube, 'a', {
      cluster: kube.a,
      credential: 'X509Certificate',
      groups: ['system:masters'],
    });
    const read = [
      { apiGroups: ['cluster.core.oam.dev'], resources: ['clustergateways'], verbs: ['get', 'list'] },
      { apiGroups: ['cluster.core.oam.dev'], resources: ['clustergateways/proxy'], verbs: ['get'] },
    ];
    await grant('ops', impersonations, { kind: 'User', name: 'ops', apiGroup });
    await grant('dev', read, { kind: 'Group', name: 'dev', apiGroup });
    await grant('robots', read, { kind: 'Group', name: 'system:serviceaccounts:default', apiGroup });
    const user = await kube.hub.user('ops', ['people']);
    for (const [door, server] of Object.entries({ hub: kube.hub, direct: gateway })) {
      const { url, caPem } = server;
      const client = createClient({ url, caPem, certificatePem: user.certificatePem, keyPem: user.keyPem });
      ops[door as 'hub' | 'direct'] = client;
      ends.push(client);
    }
    kubeconfig = join(kube.directory, 'ops-direct.kubeconfig');
    await writeFile(kubeconfig, directKubeconfig(gateway, user));
  });

  /** What is answered, without what differs by design. */
  async function answer(door: 'hub' | 'direct', path: string, headers: readonly string[]) {
    const answered = await at(door).call(path, { headers });
    const { status } = answered;
    const { kind, message, reason, details } = answered.json();
    return { status, kind, ...(kind === 'Status' ? { message, reason, details } : {}) };
  }

  const as = (user: string, ...more: string[]) => ['Impersonate-User', user, ...more];
  test.each<[string, number, string[]]>([
    ['a user who may nothing', 403, as('jane')],
    ['a user in a group that may', 200, as('jane', 'Impersonate-Group', 'dev')],
    ['another case of letters', 200, ['IMPERSONATE-USER', 'jane', 'impersonate-group', 'dev']],
    ['a group with a comma', 403, as('jane', 'Impersonate-Group', 'a, b')],
    ['a user who is not granted', 403, as('bob', 'Impersonate-Group', 'dev')],
    ['a group that is not granted', 403, as('jane', 'Impersonate-Group', 'dev', 'Impersonate-Group', 'ops')],
    ['system:masters', 403, as('jane', 'Impersonate-Group', 'system:masters')],
    ['a service account, whose groups follow', 200, as('system:serviceaccount:default:robot')],
    ['a service account that is not granted', 403, as('system:serviceaccount:default:other')],
    ['a service account that is a user by its looks', 403, as('system:serviceaccount:Default:robot')],
    ['a UID', 200, as('jane', 'Impersonate-Group', 'dev', 'Impersonate-Uid', 'u-1')],
    ['a UID that is not granted', 403, as('jane', 'Impersonate-Group', 'dev', 'Impersonate-Uid', 'u-2')],
    ['an extra value', 200, as('jane', 'Impersonate-Group', 'dev', 'Impersonate-Extra-Scopes', 'view')],
    [
      'an extra value not granted',
      403,
      as('jane', 'Impersonate-Group', 'dev', 'Impersonate-Extra-Scopes', 'x'),
    ],
    ['an extra key not granted', 403, as('jane', 'Impersonate-Group', 'dev', 'Impersonate-Extra-a%2fB', 'x')],
  ])('%s: %i, in the words of the hub', async (_, status, headers) => {
    const direct = await answer('direct', gateways, headers);
    expect(direct).toMatchObject({ status });
    expect(direct).toEqual(await answer('hub', gateways, headers));
  });

  test.each([
    ['a group alone', ['Impersonate-Group', 'dev']],
    ['a UID alone', ['Impersonate-Uid', 'u-1']],
  ])('%s: 400, as newer hubs have it', async (_, headers) => {
    // Older ones answer 500, as plain text.
    const { status } = await at('hub').call(gateways, { headers });
    expect(status).toBe(world().kube.hubRelease === '1.33' ? 500 : 400);
    expect(await answer('direct', gateways, headers)).toMatchObject({ status: 400 });
  });

  test('the hub was asked about each value, and the cluster sees nothing of it', async () => {
    const { kube } = world();
    const [atHub, atCluster] = await Promise.all([auditEnd(kube.hub.auditLog), auditEnd(kube.a.auditLog)]);
    const extra = ['Impersonate-Extra-Scopes', 'view', 'Impersonate-Uid', 'u-1'];
    const headers = as('nobody', 'Impersonate-Group', 'dev', ...extra);
    expect((await at('direct').call(proxyPath('a', '/api/v1/namespaces'), { headers })).status).toBe(200);
    const reviews = (await auditSince(kube.hub.auditLog, atHub)).filter(
      ({ objectRef }: AuditEvent) => objectRef?.resource === 'subjectaccessreviews',
    );
    // The user is new to the gateway's cache; then the request itself.
    expect(reviews.length).toBeGreaterThanOrEqual(2);
    const seen = (await auditSince(kube.a.auditLog, atCluster)).filter(
      ({ requestURI }) => requestURI === '/api/v1/namespaces',
    );
    expect(seen).toHaveLength(1);
    expect(JSON.stringify(seen)).not.toMatch(/nobody|impersonatedUser|u-1/);
  });

  describe('kubectl --as, directly at the gateway', () => {
    const kubectl = (...args: string[]) => world().kube.kubectl(args, { kubeconfig });

    test('acts as that user', async () => {
      const args = ['--as', 'jane', '--as-group', 'dev', '--as-uid', 'u-1'];
      const { code, stdout, stderr } = await kubectl('get', 'clustergateways', ...args);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(stdout).toMatch(/^NAME .*\na +/);
    });

    test('says who may not', async () => {
      const { code, stderr } = await kubectl('get', '--raw', gateways, '--as', 'jane');
      expect(code).toBe(1);
      expect(stderr).toContain('User "jane" cannot list resource "clustergateways"');
      const refused = await kubectl('get', '--raw', gateways, '--as', 'root');
      expect(refused.stderr).toContain(
        'users "root" is forbidden: User "ops" cannot impersonate resource "users"',
      );
    });
  });
});

const base64 = (text: string) => Buffer.from(text).toString('base64');

function directKubeconfig(
  { url, caPem }: { url: string; caPem: string },
  { certificatePem, keyPem }: { certificatePem: string; keyPem: string },
): string {
  const user = { 'client-certificate-data': base64(certificatePem), 'client-key-data': base64(keyPem) };
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'gateway', cluster: { server: url, 'certificate-authority-data': base64(caPem) } }],
    users: [{ name: 'ops', user }],
    contexts: [{ name: 'ops', context: { cluster: 'gateway', user: 'ops' } }],
    'current-context': 'ops',
  });
}
