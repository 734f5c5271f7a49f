import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, expect, test } from 'vitest';

import { registerCluster } from '../worlds/register.ts';
import { requestToken } from '../worlds/token.ts';
import { until } from '../worlds/wait.ts';
import { type LoadResult, outcomes, percentile, startLoad } from './life-load.ts';
import { describeGateway, proxyPath } from './registration-world.ts';

const gateways = '/apis/cluster.core.oam.dev/v1alpha1/clustergateways';
const rbac = '/apis/rbac.authorization.k8s.io/v1';
const apiGroup = 'rbac.authorization.k8s.io';
/** Answers of reviews are used again for ten seconds. */
const cacheMs = 10_000;

await describeGateway('a hub that is away', (world) => {
  beforeAll(async () => {
    const { kube } = world();
    const { api } = kube.hub;
    await registerCluster(kube, 'a', {
      cluster: kube.a,
      credential: 'X509Certificate',
      groups: ['system:masters'],
    });
    const metadata = { name: 'robot' };
    await api.expect('/api/v1/namespaces/default/serviceaccounts', { method: 'POST', body: { metadata } });
    const rules = [
      { apiGroups: ['cluster.core.oam.dev'], resources: ['clustergateways/proxy'], verbs: ['get'] },
    ];
    await api.expect(`${rbac}/clusterroles`, { method: 'POST', body: { metadata, rules } });
    await api.expect(`${rbac}/clusterrolebindings`, {
      method: 'POST',
      body: {
        metadata,
        roleRef: { apiGroup, kind: 'ClusterRole', name: 'robot' },
        subjects: [{ kind: 'ServiceAccount', name: 'robot', namespace: 'default' }],
      },
    });
  });

  /** Two callers: one whom the gateway knows by itself, one whom it must ask the hub about. */
  async function startCallers() {
    const { kube, gateway } = world();
    const token = await requestToken(kube.hub, { namespace: 'default', name: 'robot', seconds: 3600 });
    const common = { path: proxyPath('a', '/version'), target: () => gateway, connections: 1 };
    const { adminCertificatePem: certificatePem, adminKeyPem: keyPem } = kube.hub;
    return {
      known: startLoad({ ...common, perSecond: 50, certificatePem, keyPem }),
      asked: startLoad({ ...common, perSecond: 20, token }),
    };
  }

  const between = (results: readonly LoadResult[], from: number, to: number) =>
    results.filter(({ at }) => at >= from && at < to);

  async function watchClusters() {
    const response = await world().direct.open(`${gateways}?watch=1&allowWatchBookmarks=true`, {
      timeoutMs: 300_000,
    });
    const seen = { text: '', ended: false };
    response.on('data', (chunk: Buffer) => (seen.text += chunk.toString()));
    response.once('close', () => (seen.ended = true));
    return { seen, close: () => response.destroy() };
  }

  test.each([
    ['cut off for a minute, its connections silent', 60_000, 'frozen'],
    // Longer than reviews are tried and kept together: otherwise nobody may have been answered while it was away.
    ['killed and started again', 24_000, 'killed'],
  ] as const)(
    '%s: clusters stay known, reviews fail closed, and all is well 5 s after its return',
    async (_, ms, how) => {
      const { kube, gateway, direct } = world();
      const { pid } = gateway;
      const { known, asked } = await startCallers();
      const watch = await watchClusters();
      await sleep(3_000);
      expect(Object.keys(outcomes([...known.results, ...asked.results]))).toEqual(['200']);

      const leftAt = performance.now();
      if (how === 'frozen') kube.hub.freeze();
      else await kube.hub.stop();
      await sleep(ms);
      expect((await direct.call('/livez')).status).toBe(200);
      expect((await direct.call('/readyz')).status).toBe(200);
      const returnedAt = performance.now();
      if (how === 'frozen') kube.hub.thaw();
      else await kube.hub.start();
      await until(
        'the hub to answer',
        async () => ((await kube.hub.api.call('/readyz')).status === 200 ? true : undefined),
        {
          timeoutMs: 30_000,
        },
      );
      const backAt = performance.now();
      const name = `after-${how}`;
      await registerCluster(kube, name, {
        cluster: kube.a,
        credential: 'X509Certificate',
        groups: ['system:masters'],
      });
      const knownAfter = await until(
        'the new cluster to be told',
        () => Promise.resolve(watch.seen.text.includes(`"${name}"`) ? performance.now() - backAt : undefined),
        { timeoutMs: 30_000 },
      );
      await sleep(Math.max(0, 8_000 - (performance.now() - backAt)));
      const [admin, robot] = await Promise.all([known.stop(), asked.stop()]);
      watch.close();

      const goodAgain = between(robot, backAt, Infinity).find(({ status }) => status === 200)?.at ?? Infinity;
      // Answered while it was away: what still waits at its return is answered by it.
      const away = between(robot, leftAt + cacheMs + 1_000, returnedAt).filter(
        ({ at, ms: took }) => at + took < returnedAt,
      );
      process.stderr.write(
        `hub ${how}: known callers ${JSON.stringify(outcomes(admin))}, p99 ${percentile(admin, 0.99).toFixed(0)} ms; asked callers while it was away ${JSON.stringify(outcomes(away))}, ` +
          `p99 ${percentile(away, 0.99).toFixed(0)} ms; served again after ${(goodAgain - backAt).toFixed(0)} ms, new cluster known after ${knownAfter.toFixed(0)} ms\n`,
      );
      expect(Object.keys(outcomes(admin))).toEqual(['200']);
      expect(away.length).toBeGreaterThan(0);
      expect(outcomes(away)).not.toHaveProperty('200');
      expect(percentile(away, 1)).toBeLessThan(15_000);
      expect(goodAgain - backAt).toBeLessThan(5_000);
      expect(Object.keys(outcomes(between(robot, backAt + 5_000, Infinity)))).toEqual(['200']);
      expect(knownAfter).toBeLessThan(5_000);
      expect(watch.seen.ended).toBe(false);
      expect(gateway.pid).toBe(pid);
      expect(() => process.kill(pid, 0)).not.toThrow();
    },
  );
});
