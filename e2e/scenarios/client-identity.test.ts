import { mkdtempSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { registerCluster } from '../worlds/register.ts';
import { until } from '../worlds/wait.ts';
import { type AuditEvent, auditSince } from './audit-log.ts';
import { type Client } from './registration-client.ts';
import { adminOf, describeGateway, proxyPath } from './registration-world.ts';

const rbac = '/apis/rbac.authorization.k8s.io/v1';
const apiGroup = 'rbac.authorization.k8s.io';
const annotation = 'cluster.core.oam.dev/cluster-gateway-proxy-configuration';
const doors = ['hub', 'direct'] as const;

const rulesOf = (...rules: readonly object[]) =>
  JSON.stringify({ spec: { clientIdentityExchanger: { rules } } });
const ux = {
  name: 'ux',
  type: 'PrivilegedIdentityExchanger',
  source: { group: 'kubevela:ux' },
};
const mapping = (source: object, user: string) => ({
  ...{ name: 'mapping', type: 'StaticMappingIdentityExchanger', source },
  target: { user, groups: ['mapped'], uid: 'u-mapped' },
});

const directory = mkdtempSync(join(tmpdir(), 'client-identity-'));
const rulesFile = join(directory, 'config.yaml');
await writeFile(rulesFile, rulesOf(ux));
const flags = [
  '--feature-gates=ClientIdentityPenetration=true',
  `--cluster-gateway-proxy-config=${rulesFile}`,
];
afterAll(() => rm(directory, { recursive: true }));

/** A path that no other request has. */
let requests = 0;
const newPath = (rest = '') => `/api/v1/namespaces/request-${(requests += 1)}${rest}`;
const latin1 = (text: string) => Buffer.from(text).toString('latin1');
const as = (user: string, ...groups: readonly string[]) => [
  ...['Impersonate-User', latin1(user)],
  ...groups.flatMap((group) => ['Impersonate-Group', latin1(group)]),
];

await describeGateway(
  'identity of callers at clusters',
  (world) => {
    beforeAll(async () => {
      const { kube } = world();
      const register = (name: string, annotations: Readonly<Record<string, string>> = {}) =>
        registerCluster(kube, name, {
          ...{ cluster: kube.a, credential: 'X509Certificate', annotations },
          ...{ user: 'gateway-at-a', groups: ['system:masters'] },
        });
      await register('a');
      await register('mapped', { [annotation]: rulesOf(mapping({ group: 'dev' }, 'mapped-user')) });
      await register('broken', {
        [annotation]: rulesOf({ ...ux, source: { userPattern: '(' } }),
      });
      await register('external', { [annotation]: rulesOf({ ...ux, type: 'ExternalIdentityExchanger' }) });
      const subjects = [{ kind: 'Group', name: 'dev', apiGroup }];
      for (const [{ api }, rule] of [
        [kube.hub, { apiGroups: ['cluster.core.oam.dev'], resources: ['clustergateways/proxy'] }],
        [kube.a, { apiGroups: [''], resources: ['namespaces'] }],
      ] as const) {
        const metadata = { name: 'dev' };
        const rules = [{ ...rule, verbs: ['get', 'list', 'create'] }];
        await api.expect(`${rbac}/clusterroles`, { method: 'POST', body: { metadata, rules } });
        await api.expect(`${rbac}/clusterrolebindings`, {
          method: 'POST',
          body: { metadata, roleRef: { apiGroup, kind: 'ClusterRole', name: 'dev' }, subjects },
        });
      }
    });

    /** What the cluster wrote of the request with that path. */
    const seen = (path: string): Promise<AuditEvent> => {
      const find = async () =>
        (await auditSince(world().kube.a.auditLog, 0)).find(
          ({ requestURI, impersonatedUser, user }) =>
            requestURI.replace(/\?.*/, '') === path &&
            // The cluster's own controllers list namespaces, too.
            (impersonatedUser !== undefined || user.username === 'gateway-at-a'),
        );
      return until('the audit log of the cluster', find, { timeoutMs: 5_000 });
    };

    /** Who the cluster took a caller for. */
    async function whoIs(client: Client, name: string, headers: readonly string[], query = '') {
      const path = newPath();
      const { status } = await client.call(proxyPath(name, path + query), { headers });
      const { user, impersonatedUser } = await seen(path);
      expect(user.username).toBe('gateway-at-a');
      return { status, user: impersonatedUser };
    }

    test('[57] kubectl --as jane --as-group dev through the hub is jane of dev at the cluster', async () => {
      const { kube } = world();
      const args = ['--as', 'jane', '--as-group', 'dev', '--server', kube.hub.url + proxyPath('a')];
      const { code, stdout, stderr } = await kube.kubectl(['get', 'namespaces', '-o', 'name', ...args], {
        kubeconfig: kube.hub.kubeconfig,
      });
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(stdout).toContain('namespace/kube-system');
      const { user, impersonatedUser } = await seen('/api/v1/namespaces');
      expect(user.username).toBe('gateway-at-a');
      expect(impersonatedUser).toEqual({ username: 'jane', groups: ['dev', 'system:authenticated'] });
    });

    describe.each(doors)('through %s', (door) => {
      test('[57] a caller is there with groups, UID and extras, and without what must stay at the hub', async () => {
        const headers = [
          ...as('jane', 'dev', 'system:masters', 'system:nodes', 'kubeadm:cluster-admins'),
          ...['Impersonate-Uid', 'u-1', 'Impersonate-Extra-Scopes', 'a', 'Impersonate-Extra-Scopes', 'b'],
          ...['Impersonate-Extra-authentication.kubernetes.io%2fcredential-id', 'X509=1'],
        ];
        expect(await whoIs(world()[door], 'a', headers)).toEqual({
          status: 404,
          user: {
            ...{ username: 'jane', uid: 'u-1', extra: { scopes: ['a', 'b'] } },
            groups: ['dev', 'system:authenticated'],
          },
        });
      });

      test('[59] names, groups and extras of any letters are exact', async () => {
        const extra = ['Impersonate-Extra-example.org%2Fa%25b', latin1('größe, 1')];
        const { user } = await whoIs(world()[door], 'a', [...as('jané用户', 'dev', 'a, b', 'à'), ...extra]);
        expect(user).toEqual({
          ...{ username: 'jané用户', extra: { 'example.org/a%b': ['größe, 1'] } },
          groups: ['dev', 'a, b', 'à', 'system:authenticated'],
        });
      });

      test('[57] an administrator of the hub is none at the cluster', async () => {
        const { status, user } = await whoIs(world()[door], 'a', []);
        expect(status).toBe(403);
        expect(user?.username).not.toBe('gateway-at-a');
        expect(user?.groups).not.toContain('system:masters');
      });

      test.each(['plain', 'upgrade'] as const)(
        '[54][55] what the caller says of identity changes nothing (%s)',
        async (how) => {
          const path = newPath('/pods/p/exec');
          const target = proxyPath('a', `${path}?command=ls`);
          const named = 'Impersonate-User, impersonate-group,Authorization , Impersonate-Extra-Scopes';
          const lines = [
            ...as('jane', 'dev'),
            ...['X-Remote-User', 'evil', 'X-Remote-Group', 'system:masters', 'Authorization', 'Basic evil'],
            // Of direct callers it is refused.
            ...(door === 'hub' ? ['Impersonate-Future', 'evil'] : []),
          ];
          if (how === 'plain') {
            const headers = [...lines, 'Connection', named, 'Connection', ''];
            await world()[door].call(target, { headers });
          } else {
            const upgrade = ['Host', 'x', 'Connection', `Upgrade, ${named}`, 'Upgrade', 'websocket'];
            const socket = ['Sec-WebSocket-Key', 'AAAAAAAAAAAAAAAAAAAAAA==', 'Sec-WebSocket-Version', '13'];
            const all = [...upgrade, ...lines, ...socket];
            const text = all.map((line, i) => (i % 2 === 0 ? `${line}: ` : `${line}\r\n`)).join('');
            const said = await world()[door].raw(`GET ${target} HTTP/1.1\r\n${text}\r\n`, 500);
            expect(said).toMatch(/^HTTP\/1\.1 403 /);
          }
          const { user, impersonatedUser } = await seen(path);
          expect(user.username).toBe('gateway-at-a');
          expect(impersonatedUser).toEqual({ username: 'jane', groups: ['dev', 'system:authenticated'] });
        },
      );

      test("rules: KubeVela's own group is the gateway, a cluster's mapping is its target", async () => {
        const headers = as('jane', 'dev', 'kubevela:ux');
        expect(await whoIs(world()[door], 'a', headers)).toEqual({ status: 404, user: undefined });
        expect((await whoIs(world()[door], 'mapped', headers)).user).toEqual({
          ...{ username: 'mapped-user', uid: 'u-mapped' },
          groups: ['mapped', 'system:authenticated'],
        });
      });

      test.each([
        ['broken', as('jane', 'dev'), 'identity rules cannot be read: spec.clientIdentityExchanger.rules[0]'],
        ['external', as('jane', 'dev', 'kubevela:ux'), 'ExternalIdentityExchanger is not offered'],
        ['a', as('system:kube-scheduler', 'dev'), '"system:kube-scheduler" must not be impersonated'],
      ])('%s: 403 with the reason, and the cluster hears nothing', async (name, headers, reason) => {
        const path = newPath();
        const answer = await world()[door].call(proxyPath(name, path), { headers });
        expect(answer.status).toBe(403);
        expect(answer.json().message).toContain(reason);
        expect(answer.json().details).toMatchObject({ kind: 'clustergateways', name });
        const events = await auditSince(world().kube.a.auditLog, 0);
        expect(events.filter(({ requestURI }) => requestURI === path)).toEqual([]);
      });
    });

    test('rules that cannot be read are a condition of the cluster', async () => {
      const path = '/apis/cluster.core.oam.dev/v1alpha1/clustergateways/broken';
      const { text } = await world().hub.call(path);
      expect(text).toMatch(/"type":"IdentityRules","status":"False","reason":"Unreadable"/);
    });

    test('without the gate, ?impersonate=true is what asks for it', async () => {
      const { kube } = world();
      const gateway = await kube.startGateway({ registered: false });
      const client = adminOf(kube, gateway);
      try {
        const headers = as('jane', 'dev');
        expect((await whoIs(client, 'a', headers)).user).toBeUndefined();
        expect((await whoIs(client, 'a', headers, '?impersonate=false')).user).toBeUndefined();
        const { user } = await whoIs(client, 'a', headers, '?impersonate=true');
        expect(user).toEqual({ username: 'jane', groups: ['dev', 'system:authenticated'] });
      } finally {
        client.close();
        await gateway.stop();
      }
    });

    test('the file is read again while the gateway runs, and what is wrong in it leaves what was', async () => {
      const who = async () => (await whoIs(world().direct, 'a', as('jane', 'dev'))).user?.username;
      expect(await who()).toBe('jane');
      await writeFile(rulesFile, rulesOf(mapping({ user: 'jane' }, 'reloaded')));
      await expect.poll(who, { timeout: 5_000 }).toBe('reloaded');
      await writeFile(rulesFile, '{');
      await expect
        .poll(async () => (await world().direct.call('/metrics')).text, { timeout: 5_000 })
        .toContain('cluster_gateway_identity_rules_reload_failures_total 1');
      expect(await who()).toBe('reloaded');
      await writeFile(rulesFile, rulesOf(ux));
      await expect.poll(who, { timeout: 5_000 }).toBe('jane');
    });
  },
  { flags },
);
