import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';

import {
  applySecret,
  type CredentialType,
  registerCluster,
  writeExecCredential,
} from '../worlds/register.ts';
import { requestToken } from '../worlds/token.ts';
import { auditEnd, type AuditEvent, auditSince } from './audit-log.ts';
import { startConnectProxy } from './egress-proxies.ts';
import { startTarget } from './identity-target.ts';
import { adminOf, describeGateway, metric, proxyPath, timeUntil } from './registration-world.ts';

const gatewayUser = 'system:serviceaccount:vela-system:cluster-gateway';
const credentialTypeLabel = 'cluster.core.oam.dev/cluster-credential-type';

await describeGateway('registration', (world) => {
  /** What the gateway asked of the hub's Secrets since then. */
  async function secretReads(since: number): Promise<readonly AuditEvent[]> {
    const events = await auditSince(world().kube.hub.auditLog, since);
    return events.filter(
      ({ user, objectRef }) => user.username === gatewayUser && objectRef?.resource === 'secrets',
    );
  }

  const liveGets = async (since: number, name: string) =>
    (await secretReads(since)).filter(({ verb, objectRef }) => verb === 'get' && objectRef?.name === name);

  const statusOf = async (name: string, path = '/healthz') =>
    (await world().hub.call(proxyPath(name, path))).status;

  /** Who the gateway is at a cluster. */
  async function whoAmI(name: string): Promise<string> {
    const { text } = await world().hub.call(
      proxyPath(name, '/apis/authentication.k8s.io/v1/selfsubjectreviews'),
      {
        method: 'POST',
        headers: ['Content-Type', 'application/json'],
        body: JSON.stringify({ apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' }),
      },
    );
    return /"username":"([^"]*)"/.exec(text)?.[1] ?? '';
  }

  const uidAt = async (name: string) => {
    const answer = await world().hub.call(proxyPath(name, '/api/v1/namespaces/kube-system'));
    return answer.json().metadata?.uid;
  };

  test.each<CredentialType>(['X509Certificate', 'ServiceAccountToken', 'Dynamic'])(
    'a cluster registered with %s answers',
    async (credential) => {
      const { kube } = world();
      const name = `by-${credential.toLowerCase()}`;
      await registerCluster(kube, name, { cluster: kube.a, credential });
      const raw = await kube.kubectl(['get', '--raw', proxyPath(name, '/healthz')], {
        kubeconfig: kube.hub.kubeconfig,
      });
      expect(raw).toMatchObject({ code: 0, stdout: 'ok' });
      const server = kube.hub.url + proxyPath(name);
      const listed = await kube.kubectl(['get', 'ns', '-o', 'name'], {
        kubeconfig: kube.hub.kubeconfig,
        server,
      });
      const direct = await kube.kubectl(['get', 'ns', '-o', 'name'], { kubeconfig: kube.a.kubeconfig });
      expect(listed).toEqual(direct);
    },
  );

  test('a Secret works as soon as it is written: the first request asks the hub at most once', async () => {
    const { kube } = world();
    const since = await auditEnd(kube.hub.auditLog);
    for (let i = 0; i < 10; i += 1) {
      const name = `at-once-${i}`;
      await registerCluster(kube, name, { cluster: kube.a, credential: 'X509Certificate' });
      const answers = await Promise.all(Array.from({ length: 10 }, () => statusOf(name)));
      expect(answers).toEqual(Array(10).fill(200));
      expect((await liveGets(since, name)).length).toBeLessThanOrEqual(1);
    }
  });

  test('50 requests at once for a name that nobody knows ask the hub once', async () => {
    const since = await auditEnd(world().kube.hub.auditLog);
    const statuses = await Promise.all(Array.from({ length: 50 }, () => statusOf('unheard-of')));
    expect(statuses).toEqual(Array(50).fill(404));
    expect(await liveGets(since, 'unheard-of')).toHaveLength(1);
    expect(await statusOf('unheard-of')).toBe(404);
    expect(await liveGets(since, 'unheard-of')).toHaveLength(1);
  });

  test('a name that was asked for in vain works within 200 ms of its Secret', async () => {
    const { kube } = world();
    expect(await statusOf('awaited')).toBe(404);
    await registerCluster(kube, 'awaited', { cluster: kube.a, credential: 'X509Certificate' });
    expect(await timeUntil(async () => (await statusOf('awaited')) === 200)).toBeLessThan(200);
  });

  test('a rotated token counts within 200 ms', async () => {
    const { kube } = world();
    const as = (user: string) =>
      registerCluster(kube, 'rotated', { cluster: kube.a, credential: 'ServiceAccountToken', user });
    await as('second');
    await as('first');
    expect(await timeUntil(async () => (await whoAmI('rotated')).endsWith(':first'))).toBeLessThan(200);
    const token = await requestToken(kube.a, { namespace: 'kube-system', name: 'second', seconds: 3600 });
    await applySecret(kube, {
      name: 'rotated',
      labels: { [credentialTypeLabel]: 'ServiceAccountToken' },
      data: { endpoint: kube.a.url, 'ca.crt': kube.a.caPem, token },
    });
    expect(await timeUntil(async () => (await whoAmI('rotated')).endsWith(':second'))).toBeLessThan(200);
  });

  test('a rotated token keeps the connections', async () => {
    const target = await startTarget();
    const register = (token: string) =>
      applySecret(world().kube, {
        name: 'kept',
        labels: { [credentialTypeLabel]: 'ServiceAccountToken' },
        data: { endpoint: target.url, 'ca.crt': target.caPem, token },
      });
    try {
      for (const token of ['first', 'second', 'third']) {
        await register(token);
        const isUsed = async () => {
          await statusOf('kept');
          return target.requests.at(-1)?.headers.includes(`Bearer ${token}`) ?? false;
        };
        expect(await timeUntil(isUsed)).toBeLessThan(200);
      }
      expect(target.accepted()).toBe(1);
    } finally {
      await target.close();
    }
  });

  test('an endpoint that moved counts within 200 ms', async () => {
    const { kube } = world();
    const [a, b] = await Promise.all(
      [kube.a, kube.b].map(
        async ({ api }) =>
          ((await api.expect('/api/v1/namespaces/kube-system')) as { metadata: { uid: string } }).metadata
            .uid,
      ),
    );
    await registerCluster(kube, 'moved', { cluster: kube.a, credential: 'X509Certificate' });
    expect(await uidAt('moved')).toBe(a);
    await registerCluster(kube, 'moved', { cluster: kube.b, credential: 'X509Certificate' });
    expect(await timeUntil(async () => (await uidAt('moved')) === b)).toBeLessThan(200);
  });

  test('a deleted Secret is 404 within 200 ms, and what runs through it ends', async () => {
    const { kube, hub } = world();
    const registered = await registerCluster(kube, 'deleted', {
      cluster: kube.a,
      credential: 'X509Certificate',
    });
    const watch = await hub.open(proxyPath('deleted', '/api/v1/namespaces?watch=true'));
    expect(watch.statusCode).toBe(200);
    let watchEnded = 0;
    watch.on('error', () => {}).on('close', () => (watchEnded = performance.now()));
    watch.resume();
    await registered.remove();
    const removed = performance.now();
    expect(await timeUntil(async () => (await statusOf('deleted')) === 404)).toBeLessThan(200);
    await expect.poll(() => watchEnded, { timeout: 3000 }).toBeGreaterThan(0);
    expect(watchEnded - removed).toBeLessThan(200);
  });

  test('a Secret without the label is no cluster, and Secrets are only ever listed by the label', async () => {
    const { kube, gateway } = world();
    await applySecret(kube, {
      name: 'helm-release',
      labels: { owner: 'helm' },
      data: { endpoint: kube.a.url, token: 'x' },
    });
    expect(await statusOf('helm-release')).toBe(404);
    const list = await kube.kubectl(['get', 'clustergateways', '-o', 'name'], {
      kubeconfig: kube.hub.kubeconfig,
    });
    expect(list.stdout).not.toContain('helm-release');
    await gateway.restart();
    const inBulk = (await secretReads(0)).filter(({ verb }) => verb !== 'get');
    expect(inBulk.map(({ verb }) => verb)).toEqual(expect.arrayContaining(['list', 'watch']));
    for (const { requestURI } of inBulk) {
      const url = new URL(requestURI, kube.hub.url);
      expect(url.pathname).toBe('/api/v1/namespaces/vela-system/secrets');
      expect(url.searchParams.get('labelSelector')).toBe(credentialTypeLabel);
    }
  });

  describe('a credential plugin', () => {
    /** Registers one that notes each of its runs. */
    async function registerPlugin(name: string): Promise<{ file: string; runs: () => Promise<number> }> {
      const { kube } = world();
      const folder = await mkdtemp(join(kube.directory, 'plugin-'));
      const notes = join(folder, 'runs');
      await writeFile(notes, '');
      const exec = {
        apiVersion: 'client.authentication.k8s.io/v1',
        command: '/bin/sh',
        args: ['-c', 'echo run >> "$NOTES"; sleep 0.2; cat "$CREDENTIAL"'],
        env: [
          { name: 'NOTES', value: notes },
          { name: 'CREDENTIAL', value: join(kube.directory, `exec-credential-${name}.json`) },
        ],
        interactiveMode: 'Never',
      };
      const { execCredentialFile } = await registerCluster(kube, name, {
        cluster: kube.a,
        credential: 'Dynamic',
        data: { exec: JSON.stringify(exec) },
      });
      const runs = async () => (await readFile(notes, 'utf8')).split('\n').length - 1;
      return { file: execCredentialFile ?? '', runs };
    }

    const adminToken = () =>
      requestToken(world().kube.a, { namespace: 'kube-system', name: 'cluster-gateway', seconds: 3600 });

    test('runs once for many requests, and never to show clusters', async () => {
      const { kube } = world();
      const { runs } = await registerPlugin('plugin-once');
      for (const args of [
        ['get', 'clustergateways'],
        ['get', 'clustergateway', 'plugin-once', '-o', 'yaml'],
      ]) {
        const shown = await kube.kubectl(args, { kubeconfig: kube.hub.kubeconfig });
        expect(shown.stdout).toContain('plugin-once');
      }
      expect(await runs()).toBe(0);
      const answers = await Promise.all(Array.from({ length: 30 }, () => statusOf('plugin-once')));
      expect(answers).toEqual(Array(30).fill(200));
      for (let i = 0; i < 10; i += 1) expect(await statusOf('plugin-once')).toBe(200);
      expect(await runs()).toBe(1);
    });

    test('is asked again after the cluster answered 401', async () => {
      const { file, runs } = await registerPlugin('plugin-refused');
      await writeExecCredential(file, 'a-token-that-was-revoked');
      expect(await statusOf('plugin-refused', '/api/v1/namespaces')).toBe(401);
      await writeExecCredential(file, await adminToken());
      expect(await statusOf('plugin-refused', '/api/v1/namespaces')).toBe(200);
      expect(await statusOf('plugin-refused', '/api/v1/namespaces')).toBe(200);
      expect(await runs()).toBe(2);
    });
  });

  test('an egress proxy with a password carries requests and upgrades', async () => {
    const { kube, direct } = world();
    const proxy = await startConnectProxy('jane:p@ss');
    const target = await startTarget();
    try {
      const data = { 'proxy-url': `http://jane:p%40ss@127.0.0.1:${proxy.port}` };
      await registerCluster(kube, 'proxied', { cluster: kube.a, credential: 'X509Certificate', data });
      expect(await statusOf('proxied')).toBe(200);
      expect(proxy.asked).toEqual([new URL(kube.a.url).host]);
      await applySecret(kube, {
        name: 'proxied-upgrade',
        labels: { [credentialTypeLabel]: 'ServiceAccountToken' },
        data: { endpoint: target.url, 'ca.crt': target.caPem, token: 'x', ...data },
      });
      const said = await direct.raw(
        `GET ${proxyPath('proxied-upgrade', '/exec')} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\nhello`,
        500,
      );
      expect(said).toMatch(/^HTTP\/1.1 101 [^]*\r\n\r\necho:hello$/);
      expect(proxy.asked.at(-1)).toBe(new URL(target.url).host);
      const wrong = { 'proxy-url': `http://jane:wrong@127.0.0.1:${proxy.port}` };
      await registerCluster(kube, 'proxied', { cluster: kube.a, credential: 'X509Certificate', data: wrong });
      await expect.poll(() => statusOf('proxied')).toBe(503);
      const refusal = await world().hub.call(proxyPath('proxied', '/healthz'));
      expect(refusal.json().message).toContain('Proxy Authentication Required');
      expect(refusal.text).not.toContain('wrong');
    } finally {
      proxy.close();
      await target.close();
    }
  });

  test('a cluster without a CA works unverified, which shows; --require-cluster-ca refuses it', async () => {
    const { kube } = world();
    await registerCluster(kube, 'unverified', {
      cluster: kube.a,
      credential: 'ServiceAccountToken',
      caPem: null,
    });
    expect(await statusOf('unverified')).toBe(200);
    const shown = await kube.kubectl(['get', 'clustergateway', 'unverified', '-o', 'json'], {
      kubeconfig: kube.hub.kubeconfig,
    });
    const object = JSON.parse(shown.stdout) as { status: { conditions: readonly object[] } };
    expect(object.status.conditions).toContainEqual(
      expect.objectContaining({ type: 'ServerVerified', status: 'False', reason: 'NoCA' }),
    );
    expect(await metric(world(), 'cluster_gateway_clusters{state="unverified"}')).toBe(1);
    const strict = await kube.startGateway({ registered: false, flags: ['--require-cluster-ca'] });
    const client = adminOf(kube, strict);
    try {
      const refused = await client.call(proxyPath('unverified', '/healthz'));
      expect(refused.status).toBe(503);
      expect(refused.json()).toMatchObject({ details: { causes: [{ reason: 'MissingCA' }] } });
      expect((await client.call(proxyPath('moved', '/healthz'))).status).toBe(200);
    } finally {
      client.close();
      await strict.stop();
    }
  });
});
