import { readFile } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';

import { applySecret, registerCluster } from '../worlds/register.ts';
import { until } from '../worlds/wait.ts';
import { auditEnd, auditSince } from './audit-log.ts';
import { describeShapes } from './bad-input-shapes.ts';
import { marker, type RejectedSecret, rejectedSecrets } from './bad-input-secrets.ts';
import { type Client, createClient } from './registration-client.ts';
import { describeGateway, metric, proxyPath } from './registration-world.ts';

const label = { 'cluster.core.oam.dev/cluster-credential-type': 'ServiceAccountToken' };

await describeGateway('bad input', (world) => {
  let pid: number;
  beforeAll(async () => {
    const { kube, gateway } = world();
    ({ pid } = gateway);
    await registerCluster(kube, 'good', { cluster: kube.a, credential: 'X509Certificate' });
  });
  afterEach(async () => {
    const { text } = await world().hub.call(proxyPath('good', '/healthz'));
    expect(text).toBe('ok');
    expect(() => process.kill(pid, 0), 'the gateway has ended').not.toThrow();
    expect(await readFile(world().gateway.log, 'utf8')).not.toMatch(/uncaught|unhandled|TypeError/i);
  });

  describe('Secrets that are no cluster', () => {
    let secrets: readonly RejectedSecret[];
    interface Shown {
      readonly metadata: { readonly name: string };
      readonly status: { readonly conditions: readonly Readonly<Record<string, string>>[] };
    }
    let shown: readonly Shown[];
    let text: string;
    beforeAll(async () => {
      const { kube } = world();
      secrets = await rejectedSecrets(kube);
      await Promise.all(secrets.map((secret) => applySecret(kube, secret)));
      const list = () =>
        kube.kubectl(['get', 'clustergateways', '-o', 'json'], { kubeconfig: kube.hub.kubeconfig });
      await until(
        'all Secrets to be shown',
        async () => (await list()).stdout.match(/"name": "bad-/g)?.length === secrets.length || undefined,
        { timeoutMs: 5000 },
      );
      text = (await list()).stdout;
      shown = (JSON.parse(text) as { items: readonly Shown[] }).items;
    });

    test('each is shown with its reason and answers 503 with it', async () => {
      expect(secrets.length).toBeGreaterThan(25);
      for (const { name, reason, message } of secrets) {
        const object = shown.find(({ metadata }) => metadata.name === name);
        expect(object?.status.conditions, name).toEqual([
          { type: 'Accepted', status: 'False', reason, message: expect.stringMatching(message) as string },
        ]);
        const answer = await world().hub.call(proxyPath(name, '/api/v1/namespaces'));
        expect(answer.status, name).toBe(503);
        expect(answer.headers['retry-after']).toBeUndefined();
        expect(answer.json()).toMatchObject({
          kind: 'Status',
          code: 503,
          reason: 'ServiceUnavailable',
          message: expect.stringMatching(message) as string,
          details: { name, group: 'cluster.core.oam.dev', kind: 'clustergateways', causes: [{ reason }] },
        });
        expect(answer.text).not.toContain(marker);
      }
    });

    test('nothing that a Secret holds is shown or logged', async () => {
      expect(text).not.toContain(marker);
      expect(await readFile(world().gateway.log, 'utf8')).not.toContain(marker);
    });

    test('they are counted, and a table names the reason', async () => {
      expect(await metric(world(), 'cluster_gateway_clusters{state="rejected"}')).toBe(secrets.length);
      const { kube } = world();
      const wide = await kube.kubectl(['get', 'clustergateway', 'bad-endpoint-plain', '-o', 'wide'], {
        kubeconfig: kube.hub.kubeconfig,
      });
      expect(wide.stdout).toMatch(/bad-endpoint-plain .* InvalidEndpoint/);
    });

    test('one that is put right works', async () => {
      const { kube } = world();
      await registerCluster(kube, 'bad-endpoint-plain', { cluster: kube.a, credential: 'X509Certificate' });
      await expect
        .poll(async () => (await world().hub.call(proxyPath('bad-endpoint-plain', '/healthz'))).text)
        .toBe('ok');
    });
  });

  test('200 of them at once, and one that is as large as a Secret can be', async () => {
    const { kube, hub } = world();
    const junk = marker.repeat(170_000);
    const data = { endpoint: kube.a.url, 'ca.crt': kube.a.caPem };
    const garbage = (i: number) =>
      applySecret(kube, {
        name: `garbage-${i}`,
        labels: {
          'cluster.core.oam.dev/cluster-credential-type': ['', 'Dynamic', 'X509Certificate'][i % 3] ?? '',
        },
        data: { endpoint: `\u0000${i}`, exec: '{', 'tls.crt': String(i) },
      });
    for (let i = 0; i < 200; i += 10)
      await Promise.all(Array.from({ length: 10 }, (_, at) => garbage(i + at)));
    await Promise.all([
      applySecret(kube, { name: 'large-token', labels: label, data: { ...data, token: junk } }),
      applySecret(kube, { name: 'large-endpoint', labels: label, data: { endpoint: junk, token: 'x' } }),
      applySecret(kube, {
        name: 'large-ca',
        labels: label,
        data: { endpoint: kube.a.url, 'ca.crt': junk, token: 'x' },
      }),
    ]);
    const status = async (name: string) => (await hub.call(proxyPath(name, '/healthz'))).status;
    await expect.poll(() => status('garbage-199')).toBe(503);
    for (const name of ['large-endpoint', 'large-ca']) {
      const answer = await hub.call(proxyPath(name, '/healthz'));
      expect(answer.status, name).toBe(503);
      expect(answer.text.length).toBeLessThan(2000);
    }
    const large = await hub.call(proxyPath('large-token', '/healthz'));
    expect([413, 502, 503], large.text.slice(0, 500)).toContain(large.status);
    expect(large.text).not.toContain(marker.repeat(2));
    const { stdout } = await kube.kubectl(['get', 'clustergateways', '-o', 'name'], {
      kubeconfig: kube.hub.kubeconfig,
    });
    expect(stdout.match(/garbage-/g)).toHaveLength(200);
  });

  test('[37] an unknown cluster is 404', async () => {
    const answer = await world().hub.call(proxyPath('nobody', '/version'));
    expect(answer.status).toBe(404);
    expect(answer.json()).toMatchObject({
      kind: 'Status',
      reason: 'NotFound',
      message: 'clustergateways.cluster.core.oam.dev "nobody" not found',
      details: { name: 'nobody', group: 'cluster.core.oam.dev', kind: 'clustergateways' },
    });
  });

  test('[38] a cluster that is down is 503 at once and says what failed; it works again when it is back', async () => {
    const { kube, hub } = world();
    await registerCluster(kube, 'down', { cluster: kube.b, credential: 'X509Certificate' });
    expect((await hub.call(proxyPath('down', '/healthz'))).status).toBe(200);
    await kube.b.stop();
    // Through a tunnel these are the words of the agent.
    const whose = kube.tunnel === undefined ? '' : 'the agent cannot reach down:443: ';
    for (let i = 0; i < 3; i += 1) {
      const answer = await hub.call(proxyPath('down', '/version'));
      expect(answer.status).toBe(503);
      expect(answer.ms).toBeLessThan(1000);
      expect(answer.headers['retry-after']).toBeUndefined();
      expect(answer.json()).toMatchObject({
        reason: 'ServiceUnavailable',
        message: `error trying to reach cluster "down": ${whose}dial tcp 127.0.0.1:${kube.b.port}: connect: connection refused`,
        details: { name: 'down', kind: 'clustergateways' },
      });
    }
    await kube.b.start();
    expect((await hub.call(proxyPath('down', '/healthz'))).status).toBe(200);
  });

  test('[38] an endpoint that accepts and says nothing is 503 within the handshake timeout', async () => {
    const { kube, hub } = world();
    const sockets = new Set<Socket>();
    const silent = createServer((socket) => sockets.add(socket.on('error', () => {})));
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    try {
      const { port } = silent.address() as AddressInfo;
      const endpoint = `https://127.0.0.1:${port}`;
      await registerCluster(kube, 'silent', { cluster: kube.a, credential: 'X509Certificate', endpoint });
      const started = performance.now();
      const waiting = Promise.all(
        Array.from({ length: 20 }, () => hub.call(proxyPath('silent', '/version'), { timeoutMs: 30_000 })),
      );
      const times: number[] = [];
      for (let i = 0; i < 50; i += 1) {
        const { status, ms } = await hub.call(proxyPath('good', '/healthz'));
        expect(status).toBe(200);
        times.push(ms);
        await sleep(20);
      }
      expect(times.toSorted((one, other) => one - other)[25]).toBeLessThan(100);
      for (const answer of await waiting) {
        expect(answer.status).toBe(503);
        expect(answer.json().message).toContain('TLS handshake timeout');
      }
      expect(performance.now() - started).toBeLessThan(13_000);
    } finally {
      silent.close();
      for (const socket of sockets) socket.destroy();
    }
  });

  test("another cluster's CA is 502, and says so in x509's words", async () => {
    const { kube, hub } = world();
    await registerCluster(kube, 'wrong-ca', {
      cluster: kube.a,
      credential: 'X509Certificate',
      caPem: kube.b.caPem,
    });
    const answer = await hub.call(proxyPath('wrong-ca', '/version'));
    expect(answer.status).toBe(502);
    expect(answer.json().message).toContain('x509: certificate signed by unknown authority');
  });

  describeShapes(world);

  describe('a user without rights', () => {
    const clients: Client[] = [];
    afterEach(() => clients.splice(0).forEach((client) => client.close()));

    test('is refused by the hub and, with the same words, by the gateway itself', async () => {
      const { kube, gateway } = world();
      const jane = await kube.hub.user('jane', ['dev']);
      const since = await auditEnd(kube.a.auditLog);
      const answers = await Promise.all(
        [kube.hub, gateway].map(({ url, caPem }) => {
          const client = createClient({ url, caPem, ...jane });
          clients.push(client);
          return client.call(proxyPath('good', '/api/v1/secrets'), {
            headers: ['User-Agent', 'refused-jane'],
          });
        }),
      );
      for (const answer of answers) {
        expect(answer.status).toBe(403);
        expect(answer.json()).toMatchObject({
          kind: 'Status',
          reason: 'Forbidden',
          message:
            'clustergateways.cluster.core.oam.dev "good" is forbidden: User "jane" cannot get resource "clustergateways/proxy" in API group "cluster.core.oam.dev" at the cluster scope',
        });
      }
      expect(answers[1]?.json()).toEqual(answers[0]?.json());
      const seen = await auditSince(kube.a.auditLog, since);
      expect(seen.filter(({ userAgent }) => userAgent === 'refused-jane')).toEqual([]);
    });
  });
});
