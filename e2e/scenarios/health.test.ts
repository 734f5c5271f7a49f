import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { endpointType } from '../tunnel/world-tunnel.ts';
import type { KubeUser } from '../worlds/kube.ts';
import { registerCluster } from '../worlds/register.ts';
import { until } from '../worlds/wait.ts';
import { type Answer, type Client, createClient } from './registration-client.ts';
import {
  allowChecker,
  allowGateway,
  clustersPath,
  createTalk,
  found,
  type Gateway,
  healthPath as health,
  healthyKey,
  type HubSecret,
  jsonPatch,
  mergePatch,
  reasonKey,
  secretPath,
} from './health-requests.ts';
import { adminOf, describeGateway, proxyPath } from './registration-world.ts';

const group = 'cluster.core.oam.dev';

await describeGateway(
  'the health subresource, through a real hub',
  (world) => {
    const clients: Client[] = [];
    afterAll(() => {
      for (const client of clients) client.close();
    });

    const caller = (door: { url: string; caPem: string }, { certificatePem, keyPem }: KubeUser): Client => {
      const client = createClient({ url: door.url, caPem: door.caPem, certificatePem, keyPem });
      clients.push(client);
      return client;
    };

    /** None of the answers may tell a secret. */
    const { said, send, put, patch, read } = createTalk();
    const secret = async () => (await world().kube.hub.api.expect(secretPath)) as HubSecret;
    let checker: KubeUser;
    let atHub: Client;
    beforeAll(async () => {
      const { kube } = world();
      await registerCluster(kube, 'alpha', {
        cluster: kube.a,
        credential: 'ServiceAccountToken',
        labels: { tier: 'front' },
        annotations: { mine: 'kept' },
      });
      checker = await kube.hub.user('checker');
      atHub = caller(kube.hub, checker);
      await allowChecker(kube.hub, 'checker');
      const known = async () => (await atHub.call(health())).status === 200 || undefined;
      await until('the checker to be allowed', known, { timeoutMs: 10_000 });
    });

    const letGatewayWrite = () =>
      allowGateway(world().kube, () => put(atHub, found({ healthy: true }), health('alpha', '?dryRun=All')));

    test('a gateway that may not patch Secrets says so, and names nobody', async () => {
      const answer = await put(atHub, found({ healthy: true }));
      expect(answer.status).toBe(403);
      expect(answer.json()).toMatchObject({
        reason: 'Forbidden',
        message: expect.stringContaining('the hub does not let the gateway patch the Secret') as string,
        details: { name: 'alpha', kind: 'clustergateways' },
      });
      expect(answer.text).not.toContain('serviceaccount:');
      expect((await secret()).metadata.annotations).toEqual({ mine: 'kept' });
      await letGatewayWrite();
    });

    test('[34] PUT notes the health on the Secret; a dry run does not; a stale version is 409', async () => {
      await letGatewayWrite();
      const before = await secret();
      const dryRun = health('alpha', '?dryRun=All');
      const dry = await put(atHub, found({ healthy: true, healthyReason: 'dry' }), dryRun);
      expect({ status: dry.status, body: dry.json() }).toMatchObject({
        status: 200,
        body: { kind: 'ClusterGateway', status: { healthy: true, healthyReason: 'dry' } },
      });
      expect(await secret()).toEqual(before);
      expect((await read(atHub)).status).toMatchObject({ healthy: false });

      const answer = await put(atHub, found({ healthy: true, healthyReason: 'ConnectionTimeout' }));
      expect(answer.status).toBe(200);
      const after = await secret();
      expect(after.metadata.annotations).toEqual({
        mine: 'kept',
        [healthyKey]: 'true',
        [reasonKey]: 'ConnectionTimeout',
      });
      expect({ ...after, metadata: undefined }).toEqual({ ...before, metadata: undefined });
      expect(after.metadata.labels).toEqual(before.metadata.labels);
      const written = JSON.parse(answer.text) as Gateway;
      expect(written.metadata.resourceVersion).toBe(after.metadata.resourceVersion);
      expect(await read(atHub)).toEqual(written);

      const { resourceVersion } = before.metadata;
      const stale = await put(atHub, found({ healthy: false }, { resourceVersion }));
      expect({ status: stale.status, body: stale.json() }).toMatchObject({
        status: 409,
        body: { reason: 'Conflict', details: { name: 'alpha', kind: 'clustergateways' } },
      });
      expect(await secret()).toEqual(after);
      const present = await put(atHub, found({ healthy: false }, written.metadata));
      expect(present.status).toBe(200);
      expect((await secret()).metadata.annotations).toMatchObject({ [healthyKey]: 'false', [reasonKey]: '' });
    });

    test('what is written is read at once, every time', async () => {
      const direct = caller(world().gateway, checker);
      for (let i = 0; i < 30; i += 1) {
        const healthyReason = `round ${i}`;
        expect((await put(i % 2 ? atHub : direct, found({ healthy: true, healthyReason }))).status).toBe(200);
        expect((await read(i % 3 ? atHub : direct)).status).toMatchObject({ healthyReason });
        expect((await read(world().hub, `${clustersPath}/alpha`)).status).toMatchObject({ healthyReason });
      }
      expect((await secret()).metadata.annotations?.[reasonKey]).toBe('round 29');
    });

    describe('PATCH', () => {
      test('as a merge patch', async () => {
        const sent = { status: { healthy: false, healthyReason: 'merged' } };
        const dry = await patch(atHub, sent, { query: '?dryRun=All' });
        expect(dry.json()).toMatchObject({ status: { healthyReason: 'merged' } });
        expect((await secret()).metadata.annotations?.[reasonKey]).not.toBe('merged');
        const answer = await patch(atHub, sent);
        expect(answer.status).toBe(200);
        expect((await secret()).metadata.annotations).toMatchObject({
          [healthyKey]: 'false',
          [reasonKey]: 'merged',
        });
        const half = await patch(atHub, { status: { healthy: true } });
        expect(half.json()).toMatchObject({ status: { healthy: true, healthyReason: 'merged' } });
      });

      test('as a JSON patch, with a test in it', async () => {
        const testing = (was: boolean) => [
          { op: 'test', path: '/status/healthy', value: was },
          { op: 'replace', path: '/status/healthy', value: false },
          { op: 'remove', path: '/status/healthyReason' },
        ];
        expect((await patch(atHub, testing(false), { type: jsonPatch })).status).toBe(422);
        const answer = await patch(atHub, testing(true), { type: jsonPatch });
        expect(answer.status).toBe(200);
        expect((await secret()).metadata.annotations).toMatchObject({
          [healthyKey]: 'false',
          [reasonKey]: '',
        });
      });

      test('with a stale version', async () => {
        const sent = { metadata: { resourceVersion: '1' }, status: { healthy: true } };
        expect((await patch(atHub, sent)).status).toBe(409);
      });

      test.each(['application/strategic-merge-patch+json', 'application/apply-patch+yaml'])(
        'as %s is not taken',
        async (type) => {
          expect((await patch(atHub, found({ healthy: true }), { type })).status).toBe(415);
        },
      );
    });

    test('nothing else of what is sent changes anything', async () => {
      const before = await secret();
      const known = await read(atHub);
      const sent = {
        ...known,
        metadata: {
          ...known.metadata,
          labels: { tier: 'stolen', [`${group}/cluster-credential-type`]: 'Dynamic' },
          annotations: { mine: 'stolen' },
        },
        spec: {
          provider: 'x',
          access: { endpoint: { type: 'Const', const: { address: 'https://203.0.113.1' } } },
        },
        status: { healthy: true, healthyReason: 'only this', conditions: [] },
      };
      const answer = await put(atHub, sent);
      expect(answer.status).toBe(200);
      expect((JSON.parse(answer.text) as Gateway).spec).toEqual(known.spec);
      const after = await secret();
      expect({ data: after.data, labels: after.metadata.labels }).toEqual({
        data: before.data,
        labels: before.metadata.labels,
      });
      expect(after.metadata.annotations).toEqual({
        mine: 'kept',
        [healthyKey]: 'true',
        [reasonKey]: 'only this',
      });
    });

    test.each<[string, () => Promise<Answer>, number]>([
      ['another name in the body', () => put(atHub, found({ healthy: true }, {}, 'beta')), 400],
      ['no name in the body', () => put(atHub, found({ healthy: true }, { name: '' })), 400],
      ['a body that is no JSON', () => put(atHub, '{'), 400],
      ['healthy that is no boolean', () => put(atHub, found({ healthy: 'yes' })), 422],
      ['another kind', () => put(atHub, { ...found({ healthy: true }), kind: 'Secret' }), 400],
      ['a reason of 1 MiB', () => put(atHub, found({ healthyReason: 'x'.repeat(1024 * 1024) })), 422],
      ['an unknown dry run', () => put(atHub, found({}), health('alpha', '?dryRun=Some')), 422],
      ['an unknown cluster', () => put(atHub, found({}, {}, 'nope'), health('nope')), 404],
      ['POST', () => send(world().hub, health(), { method: 'POST', body: found({}) }), 405],
      ['DELETE', () => send(world().hub, health(), { method: 'DELETE' }), 405],
    ])('%s is refused', async (_, refused, status) => {
      const before = await secret();
      const answer = await refused();
      expect({ status: answer.status, kind: answer.json().kind }).toEqual({ status, kind: 'Status' });
      expect(await secret()).toEqual(before);
    });

    test('who may not is refused, by the hub and by the gateway itself', async () => {
      const { kube, gateway } = world();
      const before = await secret();
      const stranger = await kube.hub.user('stranger', ['people']);
      for (const door of [kube.hub, gateway]) {
        const client = caller(door, stranger);
        for (const [method, verb] of [
          ['GET', 'get'],
          ['PUT', 'update'],
          ['PATCH', 'patch'],
        ] as const) {
          const answer = await send(client, health(), { method, body: found({}), type: mergePatch });
          expect({ method, status: answer.status, body: answer.json() }).toMatchObject({
            method,
            status: 403,
            body: {
              message: `clustergateways.${group} "alpha" is forbidden: User "stranger" cannot ${verb} resource "clustergateways/health" in API group "${group}" at the cluster scope`,
            },
          });
        }
      }
      expect(await secret()).toEqual(before);
    });

    describe('several writers at once', () => {
      test('of one version only one writes', async () => {
        const { metadata } = await read(atHub);
        const all = Array.from({ length: 10 }, (_, i) => found({ healthyReason: `writer ${i}` }, metadata));
        const answers = await Promise.all(all.map((each) => put(atHub, each)));
        const codes = answers.map(({ status }) => status).sort();
        expect(codes).toEqual([200, ...Array.from({ length: 9 }, () => 409)]);
        const winner = answers.find(({ status }) => status === 200)?.text ?? '';
        expect((await read(atHub)).status).toEqual((JSON.parse(winner) as Gateway).status);
      });

      test('who writes other things in the Secret loses nothing, and neither do checkers', async () => {
        const { hub } = world().kube;
        // As in Kubernetes, a patch is tried a few times, and may then be told to come again.
        const patched = async (status: object): Promise<Answer> => {
          const answer = await patch(atHub, { status });
          return answer.status === 409 ? patched(status) : answer;
        };
        const writers = Array.from({ length: 15 }, async (_, i) => {
          const label = { metadata: { labels: { [`label-${i}`]: 'kept' } } };
          const other = hub.api.expect(secretPath, { method: 'PATCH', body: label, contentType: mergePatch });
          const status = { healthy: true, healthyReason: `round ${i}` };
          const own = await (i % 2 ? put(atHub, found(status)) : patched(status));
          await other;
          return own.status;
        });
        expect(await Promise.all(writers)).toEqual(Array.from({ length: 15 }, () => 200));
        const { labels, annotations } = (await secret()).metadata;
        expect(Object.keys(labels).filter((label) => label.startsWith('label-'))).toHaveLength(15);
        expect(annotations).toMatchObject({ mine: 'kept', [healthyKey]: 'true' });
      });
    });

    test("what KubeVela's addon-manager does, round by round", async () => {
      let changes = 0;
      for (let round = 0; round < 6; round += 1) {
        const known = await read(atHub);
        const probe = await atHub.call(proxyPath('alpha', '/healthz'));
        const healthy = probe.status === 200 && probe.text === 'ok' && round % 3 !== 0;
        if (healthy !== known.status.healthy) {
          const { conditions, ...status } = known.status as Gateway['status'] & { conditions?: unknown };
          expect(conditions).toBeDefined();
          const answer = await put(atHub, { ...known, status: { ...status, healthy, healthyReason: '' } });
          expect(answer.status).toBe(200);
          changes += 1;
        }
        expect((await read(atHub)).status.healthy).toBe(healthy);
      }
      expect(changes).toBe(4);
    });

    test('an annotation that is neither true nor false is unhealthy, and says so', async () => {
      const { hub } = world().kube;
      const body = { metadata: { annotations: { [healthyKey]: 'yes' } } };
      await hub.api.expect(secretPath, { method: 'PATCH', body, contentType: mergePatch });
      const shown = async () =>
        (await read(atHub)).status.healthyReason?.includes('neither true nor false') || undefined;
      await until('the reason', shown, { timeoutMs: 5000 });
      expect((await read(atHub)).status.healthy).toBe(false);
    });

    describe('kubectl', () => {
      const kubectl = async (args: readonly string[], stdin?: string) => {
        const { kube } = world();
        const run = await kube.kubectl(args, {
          kubeconfig: kube.hub.kubeconfig,
          ...(stdin === undefined ? {} : { stdin }),
        });
        said.push(run.stdout, run.stderr);
        return run;
      };

      test('reads, replaces and patches it', async () => {
        const got = await kubectl(['get', 'clustergateway', 'alpha', '--subresource=health', '-o', 'json']);
        expect(got).toMatchObject({ code: 0, stderr: '' });
        const sent = JSON.parse(got.stdout) as Gateway;
        const replaced = await kubectl(
          ['replace', '--subresource=health', '-f', '-'],
          JSON.stringify({ ...sent, status: { healthy: true, healthyReason: 'by kubectl' } }),
        );
        expect(replaced).toMatchObject({ code: 0, stderr: '' });
        const change = '--patch={"status":{"healthyReason":"patched by kubectl"}}';
        const words = ['patch', 'clustergateway', 'alpha', '--subresource=health', '--type=merge'];
        const patched = await kubectl([...words, change]);
        expect(patched).toMatchObject({ code: 0, stderr: '' });
        expect((await secret()).metadata.annotations).toMatchObject({
          [healthyKey]: 'true',
          [reasonKey]: 'patched by kubectl',
        });
      });

      test('shows it in its column, and in discovery', async () => {
        const table = await kubectl(['get', 'clustergateways', '--no-headers']);
        expect(table.stdout.split(/\s+/).join(' ')).toBe(`alpha ServiceAccountToken ${endpointType} true `);
        const { stdout } = await kubectl(['get', '--raw', `/apis/${group}/v1alpha1`]);
        const { resources } = JSON.parse(stdout) as { resources: { name: string; verbs: string[] }[] };
        expect(resources.find(({ name }) => name === 'clustergateways/health')).toMatchObject({
          kind: 'ClusterGateway',
          namespaced: false,
          verbs: ['get', 'patch', 'update'],
        });
      });
    });

    test('without the gate there is no such thing, and health is not shown', async () => {
      const { kube } = world();
      const gateway = await kube.startGateway({ registered: false });
      const direct = adminOf(kube, gateway);
      try {
        for (const method of ['GET', 'PUT', 'PATCH']) {
          const answer = await send(direct, health(), { method, body: found({}), type: mergePatch });
          expect({ method, status: answer.status }).toEqual({ method, status: 404 });
        }
        expect((await send(direct, `/apis/${group}/v1alpha1`, { method: 'GET' })).text).not.toContain(
          '/health',
        );
        expect((await read(direct, `${clustersPath}/alpha`)).status).toMatchObject({ healthy: false });
      } finally {
        direct.close();
        await gateway.stop();
      }
    });

    test('while the hub is away nothing is written, and what is known is still shown', async () => {
      const { kube, direct } = world();
      const before = await read(direct);
      await kube.hub.stop();
      try {
        const answer = await put(direct, found({ healthy: false }));
        expect([503, 504]).toContain(answer.status);
        expect(answer.json()).toMatchObject({
          kind: 'Status',
          message: expect.stringContaining('the health of cluster "alpha" cannot be written') as string,
          details: { name: 'alpha', kind: 'clustergateways' },
        });
        expect(answer.headers['retry-after']).toBeUndefined();
        expect(await read(direct)).toEqual(before);
      } finally {
        await kube.hub.start();
      }
    });

    test('no answer and no line of the log has a secret', async () => {
      const { kube, gateway } = world();
      const again = async () => (await kube.hub.api.call(secretPath)).status === 200 || undefined;
      await until('the hub to answer again', again, { timeoutMs: 20_000 });
      const token = Buffer.from((await secret()).data['token'] ?? '', 'base64').toString();
      expect(token.length).toBeGreaterThan(100);
      const log = await readFile(gateway.log, 'utf8');
      const all = [...said, log].join('\n');
      expect(said.length).toBeGreaterThan(100);
      expect(all).not.toContain(token);
      expect(all).not.toContain(Buffer.from(token).toString('base64'));
    });
  },
  { flags: ['--feature-gates=HealthinessCheck=true'] },
);
