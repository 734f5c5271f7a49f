import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { createApiClient } from '../worlds/api.ts';
import { applySecret, registerCluster } from '../worlds/register.ts';
import { requestToken } from '../worlds/token.ts';
import { isRunning, type Plugin, registerPlugin, writePlugin } from './credential-plugin.ts';
import { adminOf, describeGateway, metric, proxyPath, timeUntil } from './registration-world.ts';

/** Must never be shown, logged or measured. */
const marker = 'm4rker';
/** `{"alg":`, as every token of a service account begins. */
const jwtBegin = 'eyJhbGciOi';
const folder = await mkdtemp(join(tmpdir(), 'credentials-scenario-'));
const command = await writePlugin(folder);
afterAll(() => rm(folder, { recursive: true }));

await describeGateway(
  'credentials',
  (world) => {
    const call = (name: string, path = '/api/v1/namespaces', timeoutMs = 15_000) =>
      world().hub.call(proxyPath(name, path), { timeoutMs });
    const statusOf = async (name: string) => (await call(name)).status;
    const plugin = (name: string, more: object = {}) =>
      registerPlugin(world().kube, name, {
        command,
        state: join(folder, name),
        env: [{ name: 'SECRET', value: marker }],
        more,
      });
    const log = () => readFile(world().gateway.log, 'utf8');
    const kubectl = (...args: readonly string[]) =>
      world().kube.kubectl(args, { kubeconfig: world().kube.hub.kubeconfig });

    /** Who the gateway is at a cluster. */
    async function whoAmI(name: string): Promise<string> {
      const { text } = await world().hub.call(
        proxyPath(name, '/apis/authentication.k8s.io/v1/selfsubjectreviews'),
        {
          method: 'POST',
          headers: ['Content-Type', 'application/json'],
          body: '{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}',
        },
      );
      return /"username":"system:serviceaccount:kube-system:([^"]*)"/.exec(text)?.[1] ?? text;
    }

    interface Shown {
      readonly status: { readonly conditions: readonly Readonly<Record<string, string>>[] };
    }
    async function conditionOf(name: string, type: string) {
      const { stdout } = await kubectl('get', 'clustergateway', name, '-o', 'json');
      return (JSON.parse(stdout) as Shown).status.conditions.find((each) => each['type'] === type);
    }

    describe('a credential plugin', () => {
      test('is told of the cluster what client-go tells, and nothing of what the gateway has', async () => {
        const { a, tunnel } = world().kube;
        const told = await plugin('told', { provideClusterInfo: true });
        expect(await statusOf('told')).toBe(200);
        const environment = await told.environment();
        expect(JSON.parse(environment['KUBERNETES_EXEC_INFO'] ?? '')).toEqual({
          kind: 'ExecCredential',
          apiVersion: 'client.authentication.k8s.io/v1',
          spec: {
            interactive: false,
            cluster: {
              ...(tunnel === undefined
                ? { server: a.url }
                : { server: 'https://told', 'tls-server-name': 'kubernetes.default.svc' }),
              'certificate-authority-data': Buffer.from(a.caPem).toString('base64'),
              config: null,
            },
          },
        });
        const own = [
          'STATE',
          'SECRET',
          'KUBERNETES_EXEC_INFO',
          'PATH',
          'HOME',
          'PWD',
          '_',
          'SHLVL',
          'OLDPWD',
        ];
        const passed = /^(?:TMPDIR|TZ|LANG|LC_\w+|USER|LOGNAME|SSL_CERT_\w+|https?_proxy|no_proxy)$/i;
        expect(Object.keys(environment).filter((name) => !own.includes(name) && !passed.test(name))).toEqual(
          [],
        );
      });

      test('is renewed behind the callers: who asks while the old credential is good does not wait', async () => {
        const { kube } = world();
        await registerCluster(kube, 'another', {
          cluster: kube.a,
          credential: 'ServiceAccountToken',
          user: 'another',
        });
        const renewed = await plugin('renewed');
        await renewed.prints({ lifeMs: 15_000 });
        expect(await whoAmI('renewed')).toBe('cluster-gateway');
        await renewed.first('sleep 1');
        await renewed.prints({ account: 'another' });
        const waits: number[] = [];
        const waitedFor = async () => {
          const started = performance.now();
          const user = await whoAmI('renewed');
          waits.push(performance.now() - started);
          return user === 'another';
        };
        const ms = await timeUntil(waitedFor, 20_000);
        // In the last fifth of 15 s.
        expect(ms).toBeGreaterThan(8_000);
        expect(ms).toBeLessThan(15_000);
        expect(await renewed.pids()).toHaveLength(2);
        expect(Math.max(...waits)).toBeLessThan(900);
      });

      test('that cannot renew is used to the end; then callers are told why, and it is not run by each', async () => {
        const failing = await plugin('failing');
        await failing.prints({ lifeMs: 5_000 });
        expect(await statusOf('failing')).toBe(200);
        await failing.first(`echo ${marker} >&2; exit 7`);
        await sleep(4_200);
        expect(await statusOf('failing')).toBe(200);
        await sleep(1_000);
        const answers = await Promise.all(Array.from({ length: 50 }, () => call('failing')));
        for (const answer of answers) {
          expect(answer.json()).toMatchObject({
            code: 503,
            message: expect.stringContaining('failed with exit code 7') as string,
            details: { name: 'failing', kind: 'clustergateways' },
          });
          expect(answer.headers['retry-after']).toBeUndefined();
        }
        expect((await failing.pids()).length).toBeLessThan(6);
        await failing.first('');
        await failing.prints();
        expect(await timeUntil(async () => (await statusOf('failing')) === 200, 35_000)).toBeLessThan(35_000);
      });

      test.each([
        ['no JSON', `echo '{"${marker}'; exit`, 'did not print JSON'],
        ['another kind', `echo '{"kind":"Pod","x":"${marker}"}'; exit`, 'did not print an ExecCredential'],
        ['too much', `yes ${marker}`, 'printed too much'],
        ['nothing', 'exit', 'did not print JSON'],
        ['its own death', 'kill -9 $$', 'failed with signal SIGKILL'],
      ])('that prints %s is told, and nothing of what it printed', async (_, script, message) => {
        const name = `bad-${message.replaceAll(/\W+/g, '-').toLowerCase()}-${script.length}`;
        const bad = await plugin(name);
        await bad.first(script);
        const answer = await call(name);
        expect(answer.status).toBe(503);
        expect(answer.text).toContain(message);
        expect(answer.text).not.toContain(marker);
        expect(await log()).toContain(message);
        expect(await log()).not.toContain(marker);
      });

      test('that hangs is ended in time, with what it started; nobody else waits for it', async () => {
        const hanging = await plugin('hanging');
        await hanging.first(`sleep 600 & echo $! >> "$STATE/pids"; sleep 600`);
        const good = await plugin('beside-it');
        const started = performance.now();
        const hung = call('hanging', '/healthz', 45_000);
        await expect.poll(() => hanging.pids()).toHaveLength(2);
        expect(await statusOf('beside-it')).toBe(200);
        expect(await good.pids()).toHaveLength(1);
        const answer = await hung;
        expect(answer.status).toBe(503);
        expect(answer.json().message).toContain('took longer than 30 s');
        expect(performance.now() - started).toBeLessThan(33_000);
        for (const pid of await hanging.pids()) await expect.poll(() => isRunning(pid)).toBe(false);
        // The same answer, at once.
        const again = await call('hanging');
        expect([again.status, again.ms < 1000]).toEqual([503, true]);
        expect(await hanging.pids()).toHaveLength(2);
      });

      test('ends with the gateway', async () => {
        const { kube } = world();
        const flags = [
          `--exec-plugin-allowlist=${command}`,
          '--shutdown-delay-duration=0s',
          '--shutdown-grace-duration=1s',
        ];
        const gateway = await kube.startGateway({ registered: false, flags });
        const client = adminOf(kube, gateway);
        const orphan = await plugin('orphan');
        await orphan.first('sleep 600');
        client.call(proxyPath('orphan', '/healthz')).catch(() => undefined);
        await expect.poll(() => orphan.pids()).toHaveLength(1);
        await gateway.stop();
        client.close();
        const [pid = 0] = await orphan.pids();
        await expect.poll(() => isRunning(pid)).toBe(false);
      });

      test('that --exec-plugin-allowlist does not name is never run, and the cluster says so', async () => {
        const { kube } = world();
        const other = await plugin('other', { command: '/usr/bin/env' });
        const nobody = await plugin('preloaded', {
          env: [
            { name: 'STATE', value: join(folder, 'preloaded') },
            { name: 'LD_PRELOAD', value: marker },
          ],
        });
        for (const [name, message] of [
          ['other', 'the command "/usr/bin/env" of the exec config is not in --exec-plugin-allowlist'],
          ['preloaded', 'must not set "LD_PRELOAD"'],
        ] as const) {
          const answer = await call(name);
          expect(answer.json()).toMatchObject({
            code: 503,
            message: expect.stringContaining(message) as string,
            details: { causes: [{ reason: 'ExecPluginNotAllowed' }] },
          });
          expect(await conditionOf(name, 'Accepted')).toMatchObject({
            status: 'False',
            reason: 'ExecPluginNotAllowed',
            message: expect.stringContaining(message) as string,
          });
        }
        expect([...(await other.pids()), ...(await nobody.pids())]).toEqual([]);
        const { stdout } = await kube.kubectl(['get', 'vc', 'other'], { kubeconfig: kube.hub.kubeconfig });
        expect(stdout).toMatch(/false/);
      });
    });

    describe("a 401 of the cluster, which is about the gateway's credential", () => {
      let revoked: Plugin;
      beforeAll(async () => {
        revoked = await plugin('revoked');
        await revoked.prints({ token: 'a-token-that-was-revoked' });
      });

      test('passes byte for byte, with a Warning that kubectl shows', async () => {
        const { kube } = world();
        const token = 'a-token-that-was-revoked';
        const direct = createApiClient({ url: kube.a.url, caPem: kube.a.caPem, token });
        const expected = await direct.call('/api/v1/namespaces');
        direct.close();
        const through = await call('revoked');
        expect(expected.status).toBe(401);
        expect([through.status, through.text]).toEqual([401, expected.text]);
        expect(through.headers['warning']).toBe(
          '299 - "cluster revoked does not accept the credential that the gateway has for it; this is not about your own"',
        );
        const said = await kube.kubectl(['get', 'namespaces'], {
          kubeconfig: kube.hub.kubeconfig,
          server: kube.hub.url + proxyPath('revoked'),
        });
        expect(said.code).toBe(1);
        expect(said.stderr).toMatch(/Warning: cluster revoked does not accept the credential/);
        expect(said.stderr).toMatch(/You must be logged in to the server/);
        expect(await log()).toContain("it does not take the gateway's credential");
      });

      test('has the plugin run again, but not for each of many', async () => {
        const before = (await revoked.pids()).length;
        for (let i = 0; i < 10; i += 1) {
          const statuses = await Promise.all(Array.from({ length: 20 }, () => statusOf('revoked')));
          expect(statuses).toEqual(Array(20).fill(401));
        }
        expect((await revoked.pids()).length - before).toBeLessThan(8);
        await revoked.prints();
        expect(await timeUntil(async () => (await statusOf('revoked')) === 200, 60_000)).toBeLessThan(60_000);
        const then = (await revoked.pids()).length;
        for (let i = 0; i < 10; i += 1) expect(await statusOf('revoked')).toBe(200);
        expect(await revoked.pids()).toHaveLength(then);
      });
    });

    describe('a credential that ends', () => {
      const metricOf = (name: string) =>
        metric(world(), `cluster_gateway_credential_expiration_timestamp_seconds{cluster="${name}"}`);
      const endOf = (token: string) => {
        const claims = Buffer.from(token.split('.')[1] ?? '', 'base64url').toString();
        return (JSON.parse(claims) as { exp: number }).exp;
      };
      const put = (name: string, token: string) =>
        applySecret(world().kube, {
          name,
          labels: { 'cluster.core.oam.dev/cluster-credential-type': 'ServiceAccountToken' },
          data: { endpoint: world().kube.a.url, 'ca.crt': world().kube.a.caPem, token },
        });

      test('says when in a condition and in a metric, which goes with the cluster', async () => {
        const { kube } = world();
        const token = await requestToken(kube.a, {
          namespace: 'kube-system',
          name: 'cluster-gateway',
          seconds: 3600,
        });
        await put('ending', token);
        await expect.poll(() => metricOf('ending')).toBe(endOf(token));
        const time = new Date(endOf(token) * 1000).toISOString().replace('.000', '');
        expect(await conditionOf('ending', 'CredentialValid')).toEqual({
          type: 'CredentialValid',
          status: 'True',
          reason: 'Valid',
          message: `the token of the Secret ends at ${time}`,
        });
        await registerCluster(kube, 'by-certificate', { cluster: kube.a, credential: 'X509Certificate' });
        await expect.poll(() => metricOf('by-certificate')).toBeGreaterThan(Date.now() / 1000 + 86_400);
        expect(await conditionOf('by-certificate', 'CredentialValid')).toMatchObject({ status: 'True' });
        const { text } = await world().direct.call('/metrics');
        expect(text).not.toContain(token);
        expect(text).toContain('cluster_gateway_cluster_ca_expiration_timestamp_seconds{cluster="ending"}');
        await kube.hub.api.expect('/api/v1/namespaces/vela-system/secrets/ending', { method: 'DELETE' });
        await expect.poll(() => metricOf('ending')).toBeNaN();
      });

      test('that has ended or soon will', async () => {
        const now = Math.floor(Date.now() / 1000);
        const jwt = (claims: object) =>
          ['{"alg":"none"}', JSON.stringify(claims), marker]
            .map((part) => Buffer.from(part).toString('base64url'))
            .join('.');
        await put('ended', jwt({ iat: now - 7200, exp: now - 3600 }));
        await put('soon', jwt({ iat: now - 3600, exp: now + 600 }));
        await expect
          .poll(() => conditionOf('ended', 'CredentialValid'))
          .toMatchObject({
            status: 'False',
            reason: 'Expired',
          });
        await expect
          .poll(() => conditionOf('soon', 'CredentialValid'))
          .toMatchObject({
            status: 'True',
            reason: 'ExpiresSoon',
          });
      });

      test('of a plugin is what it printed last, and known once it ran', async () => {
        const printed = await plugin('measured');
        await printed.prints({ lifeMs: 3_600_000 });
        expect(await metricOf('measured')).toBeNaN();
        expect(await statusOf('measured')).toBe(200);
        expect(Math.abs((await metricOf('measured')) - (Date.now() / 1000 + 3600))).toBeLessThan(30);
        expect(await metric(world(), 'cluster_gateway_exec_plugin_runs_total{result="ok"}')).toBeGreaterThan(
          0,
        );
      });
    });

    test('nothing secret is in what is shown, logged or measured', async () => {
      for (const args of [
        ['get', 'clustergateways', '-o', 'yaml'],
        ['get', 'clustergateways', '-o', 'wide'],
        ['describe', 'clustergateways'],
        ['get', 'vc', '-o', 'yaml'],
      ]) {
        const { code, stdout } = await kubectl(...args);
        expect(code).toBe(0);
        expect(stdout).toContain('hanging');
        expect(stdout).not.toContain(marker);
        expect(stdout).not.toContain(jwtBegin);
      }
      for (const text of [await log(), (await world().direct.call('/metrics')).text]) {
        expect(text).not.toContain(marker);
        expect(text).not.toContain(jwtBegin);
      }
    });
  },
  { flags: [`--exec-plugin-allowlist=${command}`] },
);
