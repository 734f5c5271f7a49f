import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';

import { issueCertificate } from '../../src/pki/issue.ts';
import { needsDirect } from '../worlds/describe-world.ts';
import { applySecret, registerCluster } from '../worlds/register.ts';
import { requestToken } from '../worlds/token.ts';
import { type Load, outcomes, startLoad } from './life-load.ts';
import { describeGateway, proxyPath, timeUntil } from './registration-world.ts';

const name = 'rotating';
const moves = 'behind a tunnel a cluster moves with its agent, whose connections end';
const typeLabel = 'cluster.core.oam.dev/cluster-credential-type';

await describeGateway('rotation', (world) => {
  const path = proxyPath(name, '/api/v1/namespaces/kube-system');

  /** Through the hub, as its administrator. */
  function load(): Load {
    const { hub } = world().kube;
    return startLoad({
      path,
      perSecond: 150,
      certificatePem: hub.adminCertificatePem,
      keyPem: hub.adminKeyPem,
      target: () => hub,
    });
  }

  /** Changes the Secret again and again under load, and gives what became of the requests. */
  async function underLoad(change: (turn: number) => Promise<unknown>, turns = 20) {
    const running = load();
    try {
      for (let turn = 0; turn < turns; turn += 1) {
        await change(turn);
        await sleep(200);
      }
    } finally {
      await running.stop();
    }
    expect(running.results.length).toBeGreaterThan(200);
    return outcomes(running.results);
  }

  const put = (type: string, data: Readonly<Record<string, string>>) =>
    applySecret(world().kube, { name, labels: { [typeLabel]: type }, data });

  async function whoAmI(): Promise<string> {
    const { text } = await world().hub.call(
      proxyPath(name, '/apis/authentication.k8s.io/v1/selfsubjectreviews'),
      {
        method: 'POST',
        headers: ['Content-Type', 'application/json'],
        body: '{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}',
      },
    );
    return /"username":"([^"]*)"/.exec(text)?.[1] ?? text;
  }

  /** An administrator's service account and a token of it. */
  async function accountToken(cluster: 'a' | 'b'): Promise<string> {
    const { kube } = world();
    await registerCluster(kube, name, { cluster: kube[cluster], credential: 'ServiceAccountToken' });
    return requestToken(kube[cluster], { namespace: 'kube-system', name: 'cluster-gateway', seconds: 3600 });
  }

  test('[64] tokens and certificates that take turns fail no request, and the last one counts', async () => {
    const { a } = world().kube;
    const at = { endpoint: a.url, 'ca.crt': a.caPem };
    const tokens = [await accountToken('a'), await accountToken('a')];
    const users = await Promise.all(['one', 'two'].map((user) => a.user(user, ['system:masters'])));
    const change = async (turn: number) => {
      const [token = '', user] = [tokens[turn % 2], users[turn % 2]];
      if (turn % 4 < 2) await put('ServiceAccountToken', { ...at, token });
      else
        await put('X509Certificate', {
          ...at,
          'tls.crt': user?.certificatePem ?? '',
          'tls.key': user?.keyPem ?? '',
        });
    };
    expect(Object.keys(await underLoad(change))).toEqual(['200']);
    expect(await whoAmI()).toBe('two');
  });

  test('[64] a CA that is replaced, by way of both, fails no request; a wrong one counts at once', async () => {
    const { a } = world().kube;
    const token = await accountToken('a');
    const other = await issueCertificate({ commonName: 'other-ca', ca: true });
    const bundles = [a.caPem, a.caPem + other.certificatePem, other.certificatePem + a.caPem];
    const change = (turn: number) =>
      put('ServiceAccountToken', { endpoint: a.url, token, 'ca.crt': bundles[turn % 3] ?? '' });
    expect(Object.keys(await underLoad(change))).toEqual(['200']);
    await put('ServiceAccountToken', { endpoint: a.url, token, 'ca.crt': other.certificatePem });
    const isRefused = async () => (await world().hub.call(path)).status === 502;
    expect(await timeUntil(isRefused)).toBeLessThan(200);
  });

  needsDirect(moves)('[64] an endpoint that moves between clusters fails no request', async () => {
    const { kube } = world();
    const tokens = { a: await accountToken('a'), b: await accountToken('b') };
    const change = (turn: number) => {
      const to = turn % 2 === 0 ? 'a' : 'b';
      const { url, caPem } = kube[to];
      return put('ServiceAccountToken', { endpoint: url, 'ca.crt': caPem, token: tokens[to] });
    };
    expect(Object.keys(await underLoad(change))).toEqual(['200']);
  });

  needsDirect(moves)(
    '[64] a watch ends with the Secret, not with its token; with a new endpoint it may go on to its end',
    async () => {
      const { kube, hub } = world();
      await accountToken('a');
      const watch = await hub.open(proxyPath(name, '/api/v1/namespaces?watch=true'));
      const seen = { closed: 0 };
      watch.on('error', () => {}).on('close', () => (seen.closed = performance.now()));
      watch.resume();
      await accountToken('a');
      await sleep(500);
      expect(seen.closed).toBe(0);
      await accountToken('b');
      expect(await timeUntil(async () => (await hub.call(path)).status === 200)).toBeLessThan(1000);
      expect(seen.closed).toBe(0);
      await kube.hub.api.expect(`/api/v1/namespaces/vela-system/secrets/${name}`, { method: 'DELETE' });
      await expect.poll(() => seen.closed, { timeout: 2000 }).toBeGreaterThan(0);
      expect((await hub.call(path)).status).toBe(404);
    },
  );
});
