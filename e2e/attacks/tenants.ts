import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { grant, onProxy, untilAnswered } from '../scenarios/inner-authorization-rights.ts';
import { type Client, createClient } from '../scenarios/registration-client.ts';
import { type GatewayWorld, proxyPath } from '../scenarios/registration-world.ts';
import { applySecret, registerCluster } from '../worlds/register.ts';
import { markedPath, newMark, type Witness } from './witness.ts';

const latin1 = (text: string): string => Buffer.from(text).toString('latin1');

/** Users whom a key of a cache that is put together from parts would take for one another. */
const alike: readonly { readonly user: string; readonly groups: readonly string[] }[] = [
  { user: 'a|b', groups: ['c', 'tenants'] },
  { user: 'a', groups: ['b|c', 'tenants'] },
  { user: 'a', groups: ['b', 'c', 'tenants'] },
  { user: 'a', groups: ['b,c', 'tenants'] },
  { user: 'a', groups: ['b;c', 'tenants'] },
  { user: 'a,b', groups: ['c', 'tenants'] },
  { user: 'a:b', groups: ['c', 'tenants'] },
  { user: 'A', groups: ['b', 'c', 'tenants'] },
  { user: 'a b', groups: ['c', 'tenants'] },
  { user: 'caf\u00e9', groups: ['tenants'] },
  { user: 'cafe\u0301', groups: ['tenants'] },
  { user: '\u0430', groups: ['b', 'c', 'tenants'] },
  { user: '["a","b"]', groups: ['c', 'tenants'] },
  { user: '__proto__', groups: ['constructor', 'tenants'] },
];

/** One tenant in another's place: users with one another, clusters with one another. */
export function describeTenants(world: () => GatewayWorld, a: Witness, b: Witness): void {
  describe('tenants', () => {
    let frontProxy: Client;
    beforeAll(async () => {
      const { kube, gateway } = world();
      await grant(world(), { name: 'tenants', kind: 'Group' }, [onProxy(['get'])]);
      const file = (end: string): Promise<string> =>
        readFile(join(kube.directory, `hub/front-proxy-client.${end}`), 'utf8');
      const [certificatePem, keyPem] = await Promise.all([file('crt'), file('key')]);
      frontProxy = createClient({ url: gateway.url, caPem: gateway.caPem, certificatePem, keyPem });
    });
    afterAll(() => frontProxy.close());

    const linesOf = (user: string, groups: readonly string[]): readonly string[] => [
      ...['X-Remote-User', latin1(user)],
      ...groups.flatMap((group) => ['X-Remote-Group', latin1(group)]),
    ];

    test('users whose names look alike are never one another, while all of them ask at once', async () => {
      const rounds = [1, 2, 3];
      const asked = await Promise.all(
        rounds.flatMap(() =>
          alike.map(async ({ user, groups }) => {
            const mark = newMark();
            const headers = linesOf(user, groups);
            await frontProxy.call(proxyPath('a', markedPath(mark)), { headers });
            return { mark, user, groups };
          }),
        ),
      );
      for (const { mark, user, groups } of asked)
        expect(await a.identityOf(mark)).toEqual({ credential: 'gateway-at-a', user, groups });
    });

    test('the right of one is not that of another who looks alike', async () => {
      const right = onProxy(['get']);
      await grant(world(), { name: 'x|y', kind: 'User' }, [right]);
      await grant(world(), { name: 'y|z', kind: 'Group' }, [right]);
      const cases = [
        ['x|y', [], true],
        ['x', ['y'], false],
        ['X|y', [], false],
        ['x|y|', [], false],
        ['x', ['y|z'], true],
        ['x', ['y', 'z'], false],
        ['x|y|z', [], false],
      ] as const;
      // Twice: the second time from whatever was kept.
      for (const [user, groups, allowed] of [...cases, ...cases.toReversed()]) {
        const mark = newMark();
        const headers = linesOf(user, groups);
        const answer = await frontProxy.call(proxyPath('a', markedPath(mark)), { headers });
        const arrived = await a.arrivedBefore(world().direct, mark);
        expect(arrived, `${user} of ${groups.join()}`).toHaveLength(allowed ? 1 : 0);
        if (allowed) continue;
        expect(answer.status).toBe(403);
        expect(answer.json().message).toContain(`User "${user}" cannot get`);
      }
    });

    test.each([
      ['nobody', []],
      ['an empty name', ['X-Remote-User', '']],
      ['an empty name with groups', ['X-Remote-User', '', 'X-Remote-Group', 'system:masters']],
      ['groups alone', ['X-Remote-Group', 'system:masters']],
      ['an extra alone', ['X-Remote-Extra-Scopes', 'all']],
    ] as const)('%s is not the gateway', async (_, headers) => {
      const mark = newMark();
      const { status } = await frontProxy.call(proxyPath('a', markedPath(mark)), { headers });
      expect(status).toBe(401);
      expect(await a.arrivedBefore(world().direct, mark)).toEqual([]);
    });

    test('clusters at once, by certificates and by tokens: none gets the credential of another', async () => {
      const tokens = [
        { name: 'a-by-token', cluster: 'a', account: 'keeper-at-a' },
        { name: 'b-by-token', cluster: 'b', account: 'keeper-at-b' },
        // The same cluster would take the token of either.
        { name: 'a-by-another-token', cluster: 'a', account: 'another-at-a' },
      ] as const;
      for (const { name, cluster, account } of tokens) await registerByToken(name, cluster, account);
      const clusters = [
        { name: 'a', witness: a, credential: 'gateway-at-a' },
        { name: 'b', witness: b, credential: 'gateway-at-b' },
        ...tokens.map(({ name, cluster, account }) => ({
          ...{ name, witness: cluster === 'a' ? a : b },
          credential: `system:serviceaccount:kube-system:${account}`,
        })),
      ];
      const headers = linesOf('tess', ['tenants']);
      const asked = await Promise.all(
        Array.from({ length: 50 }, () => clusters)
          .flat()
          .map(async (cluster) => {
            const mark = newMark();
            const path = proxyPath(cluster.name, markedPath(mark));
            const { status } = await frontProxy.call(path, { headers });
            expect(status, cluster.name).toBe(403);
            return { ...cluster, mark };
          }),
      );
      for (const { witness, mark, credential } of asked)
        expect(await witness.identityOf(mark)).toMatchObject({ credential, user: 'tess' });
    });

    async function registerByToken(name: string, at: 'a' | 'b', account: string): Promise<void> {
      const { kube, direct } = world();
      await kube[at].api.expect('/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
        method: 'POST',
        body: {
          metadata: { name: account },
          roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
          subjects: [{ kind: 'ServiceAccount', name: account, namespace: 'kube-system' }],
        },
      });
      const credential = 'ServiceAccountToken';
      await registerCluster(kube, name, { cluster: kube[at], credential, user: account });
      await untilAnswered(direct, proxyPath(name, '/version'), 200);
    }

    test('a name that leads to another cluster from now on takes nothing of the first with it', async () => {
      const { kube, direct } = world();
      const register = (cluster: 'a' | 'b'): Promise<unknown> =>
        registerCluster(kube, 'moved', {
          ...{ cluster: kube[cluster], credential: 'X509Certificate', user: `mover-at-${cluster}` },
          groups: ['system:masters'],
        });
      await register('a');
      await untilAnswered(direct, proxyPath('moved', '/version'), 200);
      const mark = newMark();
      let moving = true;
      let failures = 0;
      const headers = linesOf('tess', ['tenants']);
      const callers = Array.from({ length: 8 }, async () => {
        while (moving) {
          const path = proxyPath('moved', markedPath(mark));
          const answer = await frontProxy.call(path, { headers }).catch(() => undefined);
          if (answer?.status !== 403) failures += 1;
        }
      });
      for (const cluster of ['b', 'a', 'b'] as const) {
        await register(cluster);
        await new Promise((resolve) => setTimeout(resolve, 300));
      }
      moving = false;
      await Promise.all(callers);
      // Behind a tunnel a cluster moves with its agent, whose connections end.
      if (kube.tunnel === undefined) expect(failures).toBe(0);
      for (const [name, witness] of Object.entries({ a, b })) {
        const arrived = await witness.arrivedBefore(direct, mark);
        expect(arrived.length).toBeGreaterThan(10);
        // A certificate of the other cluster would be refused here, as anonymous with 401.
        const others = arrived.filter(({ credential }) => credential !== `mover-at-${name}`);
        expect(others).toEqual([]);
      }
    });

    test('a Secret that has no credential of its own is never served with that of another', async () => {
      const { kube, direct } = world();
      await applySecret(kube, {
        name: 'bare',
        labels: { 'cluster.core.oam.dev/cluster-credential-type': 'X509Certificate' },
        data: { endpoint: kube.a.url, 'ca.crt': kube.a.caPem },
      });
      await untilAnswered(direct, proxyPath('bare', '/version'), 503);
      const mark = newMark();
      const { status } = await direct.call(proxyPath('bare', markedPath(mark)));
      expect(status).toBe(503);
      expect(await a.arrivedBefore(direct, mark)).toEqual([]);
    });
  });
}
