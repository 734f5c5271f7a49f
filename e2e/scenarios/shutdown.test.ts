import { type IncomingMessage, type ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { describeWorld } from '../worlds/describe-world.ts';
import { type GatewayProcess, type KubeWorld, startKubeWorld } from '../worlds/kube.ts';
import { applySecret, registerCluster } from '../worlds/register.ts';
import { until } from '../worlds/wait.ts';
import { startTarget } from './identity-target.ts';
import { outcomes, percentile, startLoad } from './life-load.ts';
import { type Client, createClient } from './registration-client.ts';
import { adminOf, proxyPath } from './registration-world.ts';
import { runKubectl } from './running-kubectl.ts';

const delayMs = 3_000;
const graceMs = 20_000;
const spreadMs = 2_000;
const flags = [
  `--shutdown-delay-duration=${delayMs}ms`,
  `--shutdown-grace-duration=${graceMs}ms`,
  `--shutdown-watch-termination-grace-period=${spreadMs}ms`,
];
const gateways = '/apis/cluster.core.oam.dev/v1alpha1/clustergateways';

/** One open watch, and how it ended. */
interface Watch {
  readonly ended: Promise<{ readonly at: number; readonly how: 'end' | 'cut'; readonly text: string }>;
}

async function openWatch(client: Client, path: string): Promise<Watch> {
  const response: IncomingMessage = await client.open(path, { timeoutMs: 120_000 });
  expect(response.statusCode).toBe(200);
  let text = '';
  response.on('data', (chunk: Buffer) => (text += chunk.toString()));
  response.on('error', () => {});
  const ended = new Promise<Awaited<Watch['ended']>>((resolve) => {
    response.once('close', () =>
      resolve({ at: performance.now(), how: response.complete ? 'end' : 'cut', text }),
    );
  });
  return { ended };
}

await describeWorld(
  'the end of a gateway under load',
  () => {
    let kube: KubeWorld;
    let first: GatewayProcess;
    let second: GatewayProcess;
    let admin: Client;
    beforeAll(async () => {
      kube = await startKubeWorld({ node: true });
      first = await kube.startGateway({ flags });
      second = await kube.startGateway({ flags, registered: false });
      await registerCluster(kube, 'a', {
        cluster: kube.a,
        credential: 'X509Certificate',
        groups: ['system:masters'],
      });
      admin = adminOf(kube, first);
    });
    afterAll(async () => {
      admin.close();
      await kube.stop();
    });

    test('[70] SIGTERM at 1,000 requests a second, with 100 watches and 10 execs: none is lost', async () => {
      const { hub } = kube;
      // An administrator is not held back by the limits, which a slow machine might meet.
      const user = { certificatePem: hub.adminCertificatePem, keyPem: hub.adminKeyPem };
      let ready = true;
      // What a load balancer does: whoever is not ready gets nothing more.
      const balanced = startLoad({
        ...user,
        path: proxyPath('a', '/version'),
        perSecond: 900,
        target: () => (ready ? first : second),
      });
      // And a client that stays as long as its connections are not told to go.
      let gone = false;
      const staying = startLoad({
        ...user,
        path: gateways,
        perSecond: 100,
        target: () => (gone ? second : first),
      });
      const watches = await Promise.all(
        Array.from({ length: 100 }, (_, i) =>
          openWatch(
            admin,
            i % 2 === 0 ? `${gateways}?watch=1` : proxyPath('a', '/api/v1/namespaces?watch=1'),
          ),
        ),
      );
      const execs = Array.from({ length: 10 }, (_, i) =>
        runKubectl(kube, ['exec', 'box', '--', 'sh', '-c', `sleep 6; echo done-${i}; exit ${i}`], {
          kubeconfig: hub.kubeconfig,
          server: `${hub.url}${proxyPath('a')}`,
        }),
      );
      await sleep(3_000);

      const signalled = performance.now();
      const exit = first.stop('SIGTERM').then((code) => ({ code, ms: performance.now() - signalled }));
      const unreadyMs = await untilUnready(first, signalled);
      ready = false;
      // Within the delay it still serves: here the staying client must find nobody to tell it otherwise.
      await sleep(delayMs - (performance.now() - signalled) - 500);
      const during = staying.results.filter(({ at }) => at > signalled);
      expect(during.length).toBeGreaterThan(20);
      await sleep(450);
      gone = true;
      const ends = await Promise.all(watches.map(({ ended }) => ended));
      const codes = await Promise.all(
        execs.map(async (run) => ({ ...(await run.exited), said: run.stdout() })),
      );
      const { code, ms } = await exit;
      const [all, stayed] = await Promise.all([balanced.stop(), staying.stop()]);

      const endsMs = ends.map(({ at }) => at - signalled).toSorted((left, right) => left - right);
      process.stderr.write(
        `check 70: ${all.length + stayed.length} requests ${JSON.stringify([outcomes(all), outcomes(stayed)])}, p99 ${percentile(all, 0.99).toFixed(0)} ms, ` +
          `not ready after ${unreadyMs.toFixed(0)} ms, watches ended from ${endsMs[0]?.toFixed(0)} to ${endsMs.at(-1)?.toFixed(0)} ms, exit ${ms.toFixed(0)} ms\n`,
      );
      expect(unreadyMs).toBeLessThan(500);
      expect(Object.keys(outcomes(all))).toEqual(['200']);
      expect(Object.keys(outcomes(stayed))).toEqual(['200']);
      expect(ends.map(({ how }) => how)).toEqual(ends.map(() => 'end'));
      for (const { text } of ends) for (const line of text.trimEnd().split('\n')) JSON.parse(line);
      expect(endsMs[0]).toBeGreaterThan(delayMs - 100);
      expect((endsMs.at(-1) ?? 0) - (endsMs[0] ?? 0)).toBeGreaterThan(500);
      expect(endsMs.at(-1)).toBeLessThan(delayMs + spreadMs + 2_500);
      expect(codes.map(({ code: exitCode, said }) => [exitCode, said])).toEqual(
        codes.map((_, i) => [i, `done-${i}\n`]),
      );
      expect(code).toBe(0);
      expect(ms).toBeLessThan(delayMs + graceMs);
    });

    test('--shutdown-send-retry-after: whoever comes while requests end is told to go elsewhere', async () => {
      const held: ServerResponse[] = [];
      const target = await startTarget({ answer: (_, response) => void held.push(response) });
      const gateway = await kube.startGateway({
        flags: ['--shutdown-grace-duration=20s', '--shutdown-send-retry-after'],
        registered: false,
      });
      await applySecret(kube, {
        name: 'target',
        labels: { 'cluster.core.oam.dev/cluster-credential-type': 'ServiceAccountToken' },
        data: { endpoint: target.url, 'ca.crt': target.caPem, token: 'token-of-the-gateway' },
      });
      const client = adminOf(kube, gateway);
      try {
        await until(
          'the target',
          async () => (await client.call(`${gateways}/target`)).status === 200 || undefined,
          { timeoutMs: 10_000 },
        );
        const running = client.call(proxyPath('target', '/held'));
        const watch = await openWatch(client, `${gateways}?watch=1`);
        await expect.poll(() => held.length).toBe(1);
        const exit = gateway.stop('SIGTERM');
        await untilUnready(gateway, performance.now());
        const { how } = await watch.ended;
        expect(how).toBe('end');
        // Connections that are there, and new ones.
        for (let i = 0; i < 3; i += 1) {
          const answer = await client.call(gateways);
          expect([answer.status, answer.headers['retry-after'], answer.headers.connection]).toEqual([
            ...[429, '5', 'close'],
          ]);
          expect(answer.text).toBe('The apiserver is shutting down, please try again later.\n');
          expect((await client.call('/livez')).status).toBe(200);
          expect((await client.call('/readyz')).status).toBe(500);
        }
        held[0]?.end('whole');
        const { status, text } = await running;
        expect([status, text]).toEqual([200, 'whole']);
        const ended = performance.now();
        expect(await exit).toBe(0);
        expect(performance.now() - ended).toBeLessThan(5_000);
      } finally {
        client.close();
        await target.close();
      }
    });
  },
  { node: true },
);

async function untilUnready(gateway: GatewayProcess, since: number): Promise<number> {
  const prober = createClient({ url: gateway.url, caPem: gateway.caPem });
  try {
    for (;;) {
      const { status } = await prober.call('/readyz');
      if (status === 500) return performance.now() - since;
      expect(status).toBe(200);
      await sleep(20);
    }
  } finally {
    prober.close();
  }
}
