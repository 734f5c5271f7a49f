import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';

import type { GatewayProcess } from '../worlds/kube.ts';
import { applySecret, registerCluster } from '../worlds/register.ts';
import { auditEnd, auditSince } from './audit-log.ts';
import { type RecordingTarget, startTarget } from './identity-target.ts';
import { describeAttributes } from './inner-authorization-attributes.ts';
import { describeGuards } from './inner-authorization-guards.ts';
import { onProxy, type Rule, untilAnswered, userWith } from './inner-authorization-rights.ts';
import { type Client, createClient } from './registration-client.ts';
import { describeGateway, proxyPath } from './registration-world.ts';

const flags = ['--authorize-proxy-subpath', '--require-create-for-upgrade'];
const exec = '/api/v1/namespaces/n/pods/p/exec?command=sh';
const allInside: readonly Rule[] = [
  { apiGroups: [''], resources: ['*'], verbs: ['*'] },
  { nonResourceURLs: ['*'], verbs: ['*'] },
];

/** An upgrade as kubectl asks for it; gives the status. */
async function upgrade(client: Client, name: string, method: 'GET' | 'POST'): Promise<number> {
  const websocket = [
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
  ];
  const lines = method === 'GET' ? websocket : ['Upgrade: SPDY/3.1', 'Content-Length: 0'];
  const head = [
    `${method} ${proxyPath(name, exec)} HTTP/1.1`,
    'Host: gateway',
    'Connection: Upgrade',
    ...lines,
  ];
  const said = await client.raw([...head, '', ''].join('\r\n'), 2000);
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(said)?.[1]);
}

await describeGateway(
  'what callers may do inside a cluster',
  (world) => {
    let target: RecordingTarget;
    let plain: GatewayProcess;
    const clients: Client[] = [];
    beforeAll(async () => {
      const { kube } = world();
      target = await startTarget();
      await registerCluster(kube, 'foo', { cluster: kube.a, credential: 'X509Certificate' });
      await applySecret(kube, {
        name: 'target',
        labels: { 'cluster.core.oam.dev/cluster-credential-type': 'ServiceAccountToken' },
        data: { endpoint: target.url, 'ca.crt': target.caPem, token: 'token-of-the-gateway' },
      });
      plain = await kube.startGateway({ registered: false });
      for (const name of ['foo', 'target'])
        await untilAnswered(world().direct, proxyPath(name, '/version'), 200);
    });
    afterAll(async () => {
      for (const client of clients) client.close();
      await target.close();
    });
    beforeEach(() => {
      target.requests.length = 0;
    });

    async function user(name: string, rules: readonly Rule[]) {
      const doors = await userWith(world(), name, rules);
      clients.push(...doors.map(({ client }) => client));
      return doors;
    }

    test('[48] an upgrade needs create: with create alone SPDY works, with get alone none does', async () => {
      const cases = [
        { name: 'creator', verbs: ['create'], wanted: { GET: 403, POST: 101, plain: 403 } },
        { name: 'reader', verbs: ['get'], wanted: { GET: 403, POST: 403, plain: 200 } },
        { name: 'both', verbs: ['get', 'create'], wanted: { GET: 101, POST: 101, plain: 200 } },
      ] as const;
      for (const { name, verbs, wanted } of cases) {
        for (const { door, client } of await user(name, [onProxy(verbs), ...allInside])) {
          const [GET, POST, { status }] = await Promise.all([
            upgrade(client, 'target', 'GET'),
            upgrade(client, 'target', 'POST'),
            client.call(proxyPath('target', '/api/v1/pods')),
          ]);
          expect({ door, name, GET, POST, plain: status }).toEqual({ door, name, ...wanted });
          const reached = target.requests.splice(0).map(({ method, path }) => `${method} ${path}`);
          const sent = [
            ...(wanted.GET === 101 ? [`GET ${exec}`] : []),
            ...(wanted.plain === 200 ? ['GET /api/v1/pods'] : []),
            ...(wanted.POST === 101 ? [`POST ${exec}`] : []),
          ];
          expect(reached.toSorted()).toEqual(sent.toSorted());
        }
      }
      // Without the rule, get is enough: which is why there is one.
      const reader = createClient({ ...plain, ...(await world().kube.hub.user('reader')) });
      clients.push(reader);
      expect(await upgrade(reader, 'target', 'GET')).toBe(101);
    });

    test('the right to a proxy is no right inside: each needs its own, at both doors', async () => {
      const { kube } = world();
      const doors = await user('viewer', [
        onProxy(['get', 'create', 'delete']),
        { apiGroups: [''], resources: ['namespaces'], verbs: ['list'] },
      ]);
      const since = await auditEnd(kube.a.auditLog);
      for (const { door, client } of doors) {
        const call = (path: string, method = 'GET') =>
          client.call(proxyPath('foo', path), { method, headers: ['User-Agent', 'viewer'] });
        expect((await call('/api/v1/namespaces')).json()).toMatchObject({ kind: 'NamespaceList' });
        const denied = await call('/api/v1/secrets');
        expect({ door, status: denied.status }).toEqual({ door, status: 403 });
        expect(denied.json()).toMatchObject({
          ...{ kind: 'Status', reason: 'Forbidden', code: 403 },
          message:
            'secrets is forbidden: User "viewer" cannot list resource "secrets" in API group "" at the cluster scope of cluster "foo"',
          details: { name: 'foo', group: 'cluster.core.oam.dev', kind: 'clustergateways' },
        });
        for (const [path, method] of [
          ['/api/v1/namespaces?watch=1', 'GET'],
          ['/api/v1/namespaces/default', 'GET'],
          ['/api/v1/namespaces', 'POST'],
          ['/api/v1/namespaces/default', 'DELETE'],
          ['/api/v1/watch/namespaces', 'GET'],
          ['/metrics', 'GET'],
          // The gateway's own of that name are open to all; those of a cluster are the cluster's.
          ['/healthz/poststarthook/rbac/bootstrap-roles', 'GET'],
        ] as const)
          expect({ path, method, status: (await call(path, method)).status }).toEqual({
            path,
            method,
            status: 403,
          });
      }
      const reached = await auditSince(kube.a.auditLog, since);
      const seen = reached.filter(({ userAgent }) => userAgent === 'viewer').map(({ verb }) => verb);
      expect(seen).toEqual(['list', 'list']);
    });

    test('[52] a path that is allowed is no way to one that is not', async () => {
      const { kube } = world();
      // Of every user, by system:discovery.
      const doors = await user('discoverer', [onProxy(['get'])]);
      const since = await auditEnd(kube.a.auditLog);
      for (const { door, client } of doors) {
        const call = (path: string) =>
          client.call(proxyPath('foo', path), { headers: ['User-Agent', 'discoverer'] });
        expect((await call('/openapi/v3')).status).toBe(200);
        for (const path of [
          ...[
            '/openapi/../api/v1/secrets',
            '/openapi/%2e%2e/api/v1/secrets',
            '/openapi/%2E%2e/api/v1/secrets',
          ],
          ...['/openapi/..%2fapi/v1/secrets', '/openapi%2F../api/v1/secrets', '/openapi/./../api/v1/secrets'],
          ...['/openapi//../api/v1/secrets', '/openapi/..%5capi/v1/secrets', '/openapi/..;/api/v1/secrets'],
          ...['/openapi/%252e%252e/api/v1/secrets', '/openapi/%252e%252e%252fapi/v1/secrets'],
        ]) {
          const { status } = await call(path);
          expect({ door, path, status }).toEqual({ door, path, status: 400 });
        }
        expect((await call('/api/v1/secrets')).status).toBe(403);
      }
      const reached = await auditSince(kube.a.auditLog, since);
      const seen = reached.filter(({ userAgent }) => userAgent === 'discoverer');
      expect([...new Set(seen.map(({ requestURI }) => requestURI))]).toEqual(['/openapi/v3']);
    });

    test('[53] queries that servers read differently are refused, or the same for all who read them', async () => {
      const { kube } = world();
      const rules = [onProxy(['get']), { apiGroups: [''], resources: ['configmaps'], verbs: ['list'] }];
      const doors = await user('lister', rules);
      const many = 'a=1&'.repeat(10_000);
      for (const { door, client } of doors) {
        for (const query of [
          'a=1;b=2',
          'watch=1;x',
          '%zz',
          'watch=%zz',
          'watch=0&watch=1',
          `${many}watch=1`,
        ]) {
          const since = await auditEnd(kube.a.auditLog);
          const agent = `lister-${Math.random()}`;
          const path = `/api/v1/configmaps?${query}`;
          const { status } = await client.call(proxyPath('foo', path), { headers: ['User-Agent', agent] });
          const found = { door, query: query.slice(0, 40), status };
          // The hub leaves out what it cannot read: what is left is a list for everybody, and nobody's watch.
          const isLeftOut = door === 'hub' && query !== 'watch=0&watch=1';
          expect(found).toEqual({ ...found, status: isLeftOut ? 200 : 400 });
          const reached = (await auditSince(kube.a.auditLog, since)).filter(
            ({ userAgent }) => userAgent === agent,
          );
          expect(reached.map(({ verb }) => verb)).toEqual(isLeftOut ? ['list'] : []);
        }
      }
    });

    describeAttributes(world);
    describeGuards(world);
  },
  { flags },
);
