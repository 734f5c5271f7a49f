import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';

import { applySecret } from '../worlds/register.ts';
import { until } from '../worlds/wait.ts';
import { type RecordingTarget, startTarget } from './identity-target.ts';
import { type Answer, type Client, createClient } from './registration-client.ts';
import { describeGateway, metric, proxyPath } from './registration-world.ts';

const gateways = '/apis/cluster.core.oam.dev/v1alpha1/clustergateways';
const rbac = '/apis/rbac.authorization.k8s.io/v1';
const timeoutMs = 4_000;
const flags = [
  '--max-requests-inflight=4',
  '--max-mutating-requests-inflight=4',
  '--max-longrunning-requests-inflight=8',
  // There is one cluster here, and all places are for it.
  '--max-inflight-share-per-cluster=100',
  `--request-timeout=${timeoutMs}ms`,
];
/** What one user gets of 4 and of 8 places. */
const share = { short: 3, long: 6 };
const tooMany = 'Too many requests, please try again later.';

const doors = ['hub', 'direct'] as const;

await describeGateway(
  'limits',
  (world) => {
    let target: RecordingTarget;
    let users: Record<'flood' | 'other', Record<(typeof doors)[number], Client>>;
    const clients: Client[] = [];
    /** Ends what the target has not answered. */
    let endHanging: (() => void)[] = [];

    async function userOf(name: string): Promise<Record<(typeof doors)[number], Client>> {
      const { kube, gateway } = world();
      const user = await kube.hub.user(name, ['callers']);
      const [hub, direct] = [kube.hub, gateway].map(({ url, caPem }) => {
        const client = createClient({ url, caPem, ...user });
        clients.push(client);
        return client;
      });
      if (!hub || !direct) throw new Error('there are two doors');
      return { hub, direct };
    }

    beforeAll(async () => {
      const { kube } = world();
      target = await startTarget({
        answer: (request, response) => {
          const path = request.url ?? '';
          if (path.startsWith('/hang')) endHanging.push(() => response.destroy());
          else if (path.startsWith('/drip')) drip(response);
          else if (path.startsWith('/stall')) response.writeHead(200).write('half');
          else request.resume().once('end', () => response.end('whole'));
        },
      });
      await applySecret(kube, {
        name: 'target',
        labels: { 'cluster.core.oam.dev/cluster-credential-type': 'ServiceAccountToken' },
        data: { endpoint: target.url, 'ca.crt': target.caPem, token: 'token-of-the-gateway' },
      });
      const rules = [
        {
          apiGroups: ['cluster.core.oam.dev'],
          resources: ['clustergateways', 'clustergateways/proxy'],
          verbs: ['*'],
        },
      ];
      const { api } = kube.hub;
      const name = 'callers';
      await api.expect(`${rbac}/clusterroles`, { method: 'POST', body: { metadata: { name }, rules } });
      await api.expect(`${rbac}/clusterrolebindings`, {
        method: 'POST',
        body: {
          metadata: { name },
          roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name },
          subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'Group', name }],
        },
      });
      users = { flood: await userOf('flood'), other: await userOf('other') };
      const answers = async (): Promise<true | undefined> => {
        for (const { hub, direct } of Object.values(users)) {
          if ((await hub.call(proxyPath('target', '/'))).status !== 200) return undefined;
          if ((await direct.call(proxyPath('target', '/'))).status !== 200) return undefined;
        }
        return true;
      };
      await until('the target', answers, { timeoutMs: 10_000 });
    });
    afterEach(async () => {
      for (const end of endHanging) end();
      endHanging = [];
      await expect.poll(() => inFlight('readOnly'), { timeout: 2 * timeoutMs }).toBeLessThanOrEqual(1);
    });
    afterAll(async () => {
      for (const client of clients) client.close();
      await target.close();
    });

    /** The one that asks is among them. */
    const inFlight = (kind: string) =>
      metric(world(), `apiserver_current_inflight_requests{request_kind="${kind}"}`);

    describe.each(doors)('[67] a user who floods (%s)', (door) => {
      test('with requests that hang takes no place of others; what is too much is 429 with Retry-After', async () => {
        const { flood, other } = users;
        const rejected = 'apiserver_flowcontrol_rejected_requests_total{priority_level="readOnly",reason=';
        const all = Array.from({ length: 40 }, () => flood[door].call(proxyPath('target', '/hang')));
        const settled = Promise.all(all);
        await expect.poll(() => endHanging.length, { timeout: 3000 }).toBe(share.short);
        // A scrape and a place of the other user come on top, never more of the flood.
        for (let i = 0; i < 10; i += 1) {
          for (const path of [gateways, proxyPath('target', '/quick')]) {
            const { status, ms } = await other[door].call(path);
            expect(status).toBe(200);
            expect(ms).toBeLessThan(timeoutMs / 4);
          }
          expect((await world()[door].call(proxyPath('target', '/quick'))).status).toBe(200);
        }
        for (const probe of ['/livez', '/readyz', '/healthz'])
          expect((await world().direct.call(probe)).status).toBe(200);
        expect(endHanging).toHaveLength(share.short);
        // Those in the queue are told after a quarter of the request's time.
        await expect
          .poll(() => metric(world(), `${rejected}"time-out"}`), { timeout: timeoutMs })
          .toBeGreaterThan(0);
        expect(await metric(world(), `${rejected}"queue-full"}`)).toBeGreaterThan(0);
        const answers: Answer[] = await settled;
        const refused = answers.filter(({ status }) => status === 429);
        expect(refused).toHaveLength(40 - share.short);
        for (const { headers, text, ms } of refused) {
          expect(headers['retry-after']).toBe('1');
          expect(headers['content-type']).toContain('text/plain');
          expect(text).toBe(`${tooMany}\n`);
          expect(ms).toBeLessThan(timeoutMs);
        }
        expect(answers.filter(({ status }) => status === 504)).toHaveLength(share.short);
        expect((await flood[door].call(gateways)).status).toBe(200);
      });

      test('with watches is refused at once, and another user and system:masters may watch', async () => {
        const { flood, other } = users;
        const watch = (client: Client) => client.open(`${gateways}?watch=true`);
        const watches = await Promise.all(Array.from({ length: 20 }, () => watch(flood[door])));
        try {
          const count = (code: number) => watches.filter(({ statusCode }) => statusCode === code).length;
          expect([count(200), count(429)]).toEqual([share.long, 20 - share.long]);
          const more = [await watch(other[door]), await watch(world()[door]), await watch(world()[door])];
          watches.push(...more);
          for (const { statusCode } of more) expect(statusCode).toBe(200);
          expect((await flood[door].call(gateways)).status).toBe(200);
        } finally {
          for (const each of watches) each.on('error', () => {}).destroy();
        }
        await expect.poll(() => metric(world(), 'apiserver_longrunning_requests')).toBe(0);
      });
    });

    test('[67] a 429 of the cluster goes to the caller as it is', async () => {
      const busy = await startTarget({
        answer: (_, response) => response.writeHead(429, { 'retry-after': '7' }).end('busy'),
      });
      try {
        await applySecret(world().kube, {
          name: 'busy',
          labels: { 'cluster.core.oam.dev/cluster-credential-type': 'ServiceAccountToken' },
          data: { endpoint: busy.url, 'ca.crt': busy.caPem, token: 'token-of-the-gateway' },
        });
        for (const door of doors) {
          await expect
            .poll(async () => (await world()[door].call(proxyPath('busy', '/'))).status, { timeout: 5000 })
            .toBe(429);
          const { headers, text } = await world()[door].call(proxyPath('busy', '/'));
          expect([headers['retry-after'], text]).toEqual(['7', 'busy']);
        }
      } finally {
        await busy.close();
      }
    });

    describe.each(doors)('[68] the deadline (%s)', (door) => {
      test.each(['GET', 'POST', 'DELETE'])('of a %s that the cluster does not answer', async (method) => {
        const body = method === 'POST' ? { body: 'x' } : {};
        const answer = await users.other[door].call(proxyPath('target', '/hang'), { method, ...body });
        expect(answer.status).toBe(504);
        expect(answer.json()).toMatchObject({
          kind: 'Status',
          code: 504,
          reason: 'Timeout',
          message:
            'error trying to reach cluster "target": request did not complete within the allotted timeout',
          details: { name: 'target' },
        });
        expect(answer.ms).toBeGreaterThan(timeoutMs - 100);
        expect(answer.ms).toBeLessThan(timeoutMs + 1500);
        await expect.poll(() => target.running(), { timeout: 1000 }).toBe(0);
      });

      test('cuts an answer that stops half way', async () => {
        const started = performance.now();
        await expect(users.other[door].call(proxyPath('target', '/stall'))).rejects.toThrow();
        expect(performance.now() - started).toBeLessThan(timeoutMs + 1500);
        await expect.poll(() => target.running(), { timeout: 1000 }).toBe(0);
      });

      test('leaves what moves: an answer and an upload of twice that time', async () => {
        const path = proxyPath('target', '/drip');
        const upload = async () => {
          const socket = await users.other[door].connect();
          const head = `POST ${proxyPath('target', '/upload')} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n`;
          socket.write(`${head}Transfer-Encoding: chunked\r\n\r\n`);
          const moving = setInterval(() => socket.write('1\r\nx\r\n'), 500);
          setTimeout(() => {
            clearInterval(moving);
            socket.write('0\r\n\r\n');
          }, 2 * timeoutMs);
          let said = '';
          for await (const chunk of socket) said += String(chunk);
          clearInterval(moving);
          return said;
        };
        const [answer, said] = await Promise.all([users.other[door].call(path), upload()]);
        expect([answer.status, answer.text]).toEqual([200, 'x'.repeat(17)]);
        expect(said).toMatch(/^HTTP\/1\.1 200 [^]*whole/);
      });

      test('leaves a watch that is silent', async () => {
        const watch = await users.other[door].open(`${gateways}?watch=true`);
        let ended = false;
        watch.on('error', () => {}).once('close', () => (ended = true));
        watch.resume();
        await new Promise((resolve) => setTimeout(resolve, timeoutMs + 1500));
        expect(ended).toBe(false);
        watch.destroy();
      });
    });

    test('?timeout= that is no duration is 400', async () => {
      for (const door of doors) {
        const answer = await users.other[door].call(`${gateways}?timeout=abc`);
        expect(answer.status).toBe(400);
        expect(answer.json().message).toBe(
          'invalid timeout specified in the request URL - time: invalid duration "abc"',
        );
      }
    });
  },
  { flags },
);

/** Seventeen bytes in twice the deadline. */
function drip(response: { write(text: string): unknown; end(text: string): unknown }): void {
  let written = 0;
  const timer = setInterval(() => {
    written += 1;
    if (written < 17) {
      response.write('x');
      return;
    }
    clearInterval(timer);
    response.end('x');
  }, 500);
}
