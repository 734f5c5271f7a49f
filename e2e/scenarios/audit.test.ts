import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { registerCluster } from '../worlds/register.ts';
import { type AuditEvent, auditSince } from './audit-log.ts';
import { type Client, createClient } from './registration-client.ts';
import { adminOf, describeGateway, metric, proxyPath } from './registration-world.ts';

const gateways = '/apis/cluster.core.oam.dev/v1alpha1/clustergateways';
const apiGroup = 'rbac.authorization.k8s.io';

type Door = 'hub' | 'direct';

/** Everything that may differ between servers, left out. */
interface Whole extends AuditEvent {
  readonly level: string;
  readonly sourceIPs?: readonly string[];
  readonly annotations?: Readonly<Record<string, string>>;
  readonly responseStatus?: { readonly code?: number; readonly message?: string; readonly status?: string };
  readonly requestReceivedTimestamp: string;
  readonly requestObject?: unknown;
  readonly responseObject?: unknown;
}

const folder = mkdtempSync(join(tmpdir(), 'audit-scenario-'));
const ownLog = join(folder, 'logs', 'audit.log');
const policyFile = join(folder, 'policy.yaml');
writeFileSync(
  policyFile,
  `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, users: [system:apiserver]}
- {level: None, nonResourceURLs: ["/readyz*", "/livez*", "/healthz*", "/openapi*", "/apis*"]}
- {level: RequestResponse, resources: [{group: cluster.core.oam.dev}]}
- {level: Metadata}
`,
);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

await describeGateway(
  'audit',
  (world) => {
    const logs = () => ({ hub: world().kube.hub.auditLog, gateway: ownLog, a: world().kube.a.auditLog });
    const clients: Client[] = [];
    const jane: Partial<Record<Door, Client>> = {};

    beforeAll(async () => {
      const { kube, gateway } = world();
      await registerCluster(kube, 'a', {
        cluster: kube.a,
        credential: 'X509Certificate',
        groups: ['system:masters'],
      });
      const { api } = kube.hub;
      const rules = [
        { apiGroups: ['cluster.core.oam.dev'], resources: ['clustergateways'], verbs: ['get', 'list'] },
      ];
      const metadata = { name: 'readers' };
      const rbac = `/apis/${apiGroup}/v1`;
      await api.expect(`${rbac}/clusterroles`, { method: 'POST', body: { metadata, rules } });
      await api.expect(`${rbac}/clusterrolebindings`, {
        method: 'POST',
        body: {
          metadata,
          roleRef: { apiGroup, kind: 'ClusterRole', name: 'readers' },
          subjects: [{ apiGroup, kind: 'User', name: 'jane' }],
        },
      });
      const { certificatePem, privateKeyPem: keyPem } = await certificateOf('jane');
      for (const [door, { url, caPem }] of Object.entries({ hub: kube.hub, direct: gateway })) {
        jane[door as Door] = createClient({ url, caPem, certificatePem, keyPem });
      }
      clients.push(...Object.values(jane));
    });
    afterAll(() => clients.forEach((client) => client.close()));

    async function certificateOf(name: string) {
      const { certificatePem, keyPem } = await world().kube.hub.user(name, ['people']);
      return { certificatePem, privateKeyPem: keyPem };
    }

    /** The events of a request in a log, as soon as its last one is there. */
    async function eventsOf(log: keyof ReturnType<typeof logs>, auditId: string, last = 'ResponseComplete') {
      const found = async () =>
        ((await auditSince(logs()[log], 0)) as Whole[]).filter(({ auditID }) => auditID === auditId);
      await expect
        .poll(async () => (await found()).map(({ stage }) => stage), { timeout: 10_000 })
        .toContain(last);
      return found();
    }

    const ask = (door: Client | undefined, auditId: string, path: string, more: readonly string[] = []) => {
      if (door === undefined) throw new Error('not begun');
      return door.call(path, { headers: ['Audit-ID', auditId, ...more] });
    };

    test('[65] the Audit-ID of a client stands in the logs of hub, gateway and cluster, and in the answer', async () => {
      const path = proxyPath('a', '/api/v1/namespaces/default');
      const answer = await ask(world().hub, 'check-65', path);
      expect(answer.status).toBe(200);
      expect([answer.headers['audit-id']].flat().join()).toMatch(/^check-65(?:, ?check-65)*$/);
      for (const log of ['hub', 'gateway', 'a'] as const) {
        const events = await eventsOf(log, 'check-65');
        expect(events.at(-1), log).toMatchObject({
          stage: 'ResponseComplete',
          responseStatus: { code: 200 },
        });
      }
      const [at] = await eventsOf('a', 'check-65');
      expect(at?.requestURI).toBe('/api/v1/namespaces/default');
      expect((await eventsOf('gateway', 'check-65'))[0]?.requestURI).toBe(path);
    });

    test('[65] so it does for a stream, whose begin is an event of its own', async () => {
      const path = proxyPath('a', '/api/v1/namespaces?watch=true&timeoutSeconds=1');
      expect((await ask(world().hub, 'check-65-watch', path)).status).toBe(200);
      for (const log of ['hub', 'gateway', 'a'] as const) {
        const stages = (await eventsOf(log, 'check-65-watch')).map(({ stage }) => stage);
        expect(stages, log).toEqual(['ResponseStarted', 'ResponseComplete']);
      }
    });

    test('[65] a new one is made where there is none, or none that a log should hold', async () => {
      for (const given of [[], ['Audit-ID', 'a b'], ['Audit-ID', 'x'.repeat(65)]]) {
        const answer = await world().direct.call('/version', { headers: given });
        const [auditId = ''] = [answer.headers['audit-id']].flat();
        expect(auditId).toMatch(/^[0-9a-f-]{36}$/);
        expect(await eventsOf('gateway', auditId)).toHaveLength(1);
      }
    });

    describe('an event of the gateway is that of the hub', () => {
      /** What both know of a request. */
      const essence = ({ user, ...event }: Whole) => ({
        verb: event.verb,
        requestURI: event.requestURI,
        objectRef: event.objectRef,
        userAgent: event.userAgent,
        username: user.username,
        groups: user.groups?.toSorted(),
        stage: event.stage,
        annotations: event.annotations,
        status: event.responseStatus,
        precision: event.requestReceivedTimestamp.length,
      });

      test.each([
        ['get', `${gateways}/a`, 200],
        ['list', `${gateways}?limit=500`, 200],
        ['a path', '/metrics', 403],
        ['no permission', proxyPath('a', '/api'), 403],
      ])('%s', async (name, path, status) => {
        const headers = ['User-Agent', 'scenario/1 (é)'];
        for (const door of ['hub', 'direct'] as const) {
          const auditId = `${name.replaceAll(' ', '-')}-${door}`;
          expect((await ask(jane[door], auditId, path, headers)).status).toBe(status);
        }
        const theirs = (await eventsOf('hub', `${name.replaceAll(' ', '-')}-hub`)).at(-1);
        const ours = (await eventsOf('gateway', `${name.replaceAll(' ', '-')}-direct`)).at(-1);
        if (!theirs || !ours) throw new Error('no event');
        expect(essence(ours)).toEqual(essence(theirs));
      });

      test('who is not authenticated', async () => {
        const { kube, gateway } = world();
        for (const [door, { url, caPem }] of Object.entries({ hub: kube.hub, direct: gateway })) {
          const client = createClient({ url, caPem, token: 'no-such-token' });
          clients.push(client);
          expect((await ask(client, `unknown-${door}`, gateways)).status).toBe(401);
        }
        const [theirs, ...noMore] = await eventsOf('hub', 'unknown-hub', 'ResponseStarted');
        const [ours, ...norOurs] = await eventsOf('gateway', 'unknown-direct', 'ResponseStarted');
        expect([noMore, norOurs]).toEqual([[], []]);
        if (!theirs || !ours) throw new Error('no event');
        expect(essence(ours)).toEqual(essence(theirs));
        expect(await readFile(ownLog, 'utf8')).not.toContain('no-such-token');
      });

      test('the chain of addresses goes through the hub', async () => {
        await ask(world().hub, 'chain', `${gateways}/a`, ['X-Forwarded-For', '192.0.2.7']);
        const [theirs] = await eventsOf('hub', 'chain');
        const [ours] = await eventsOf('gateway', 'chain');
        expect(theirs?.sourceIPs).toEqual(['192.0.2.7', '127.0.0.1']);
        expect(ours?.sourceIPs).toEqual(theirs?.sourceIPs);
      });
    });

    test('the policy decides: objects of the own API are written, proxied bodies and secrets never', async () => {
      const secret = 'very-secret-value';
      const path = proxyPath('a', '/api/v1/namespaces/default/secrets');
      const answer = await world().hub.call(path, {
        method: 'POST',
        headers: ['Audit-ID', 'body', 'Content-Type', 'application/json'],
        body: JSON.stringify({ metadata: { name: 'x' }, stringData: { password: secret } }),
      });
      expect(answer.status).toBe(201);
      const [proxied] = await eventsOf('gateway', 'body');
      expect(proxied).toMatchObject({ level: 'Metadata', verb: 'create' });
      expect(proxied).not.toHaveProperty('requestObject');
      expect(proxied).not.toHaveProperty('responseObject');
      await ask(world().hub, 'object', `${gateways}/a`);
      const [own] = await eventsOf('gateway', 'object');
      expect(own).toMatchObject({ level: 'RequestResponse', responseObject: { metadata: { name: 'a' } } });
      const text = await readFile(ownLog, 'utf8');
      expect(text).not.toContain(secret);
      expect(text).not.toContain('PRIVATE KEY');
      expect(text).not.toMatch(/bearer/i);
      expect(text).not.toContain('"requestURI":"/readyz');
    });

    test('what was answered before SIGTERM is written when the process has ended', async () => {
      const { kube } = world();
      const log = join(folder, 'stopping.log');
      const replica = await kube.startGateway({ registered: false, flags: [`--audit-log-path=${log}`] });
      const client = adminOf(kube, replica);
      const asked = Array.from({ length: 50 }, (_, n) => ask(client, `last-${n}`, '/version'));
      await Promise.all(asked);
      client.close();
      expect(await replica.stop()).toBe(0);
      const ids = (await auditSince(log, 0)).map(({ auditID }) => auditID);
      expect(ids.filter((id) => id.startsWith('last-'))).toHaveLength(50);
    });

    test('a policy with a fault ends the start, and says where it is', async () => {
      const faulty = join(folder, 'faulty.yaml');
      writeFileSync(
        faulty,
        'apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata, user: [x]}]\n',
      );
      const { kube } = world();
      const flags = [`--audit-log-path=-`, `--audit-policy-file=${faulty}`];
      await expect(kube.startGateway({ registered: false, flags })).rejects.toThrow(
        /faulty\.yaml: rules\[0\]: Unrecognized key: "user"/,
      );
    });

    test.runIf(process.getuid?.() === 0)(
      'a full disk blocks nobody, and what is lost is counted',
      async () => {
        const { kube } = world();
        const disk = join(folder, 'disk');
        mkdirSync(disk);
        execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=32k', 'tmpfs', disk]);
        try {
          const log = join(disk, 'audit.log');
          const replica = await kube.startGateway({ registered: false, flags: [`--audit-log-path=${log}`] });
          const direct = adminOf(kube, replica);
          clients.push(direct);
          for (let n = 0; n < 500; n += 1)
            expect((await ask(direct, `full-${n}`, '/version')).status).toBe(200);
          const count = (name: string) => metric({ ...world(), direct }, name);
          expect(await count('apiserver_audit_event_total')).toBeGreaterThanOrEqual(500);
          expect(await count('apiserver_audit_error_total{plugin="log"}')).toBe(0);
          const said = (await readFile(replica.log, 'utf8')).match(/audit events cannot be written/g);
          expect(said).toHaveLength(1);
          execFileSync('mount', ['-o', 'remount,size=8m', disk]);
          const ids = async () =>
            (await auditSince(log, 0)).map(({ auditID }) => auditID).filter((id) => id.startsWith('full-'));
          await expect
            .poll(ids, { timeout: 10_000 })
            .toEqual(Array.from({ length: 500 }, (_, n) => `full-${n}`));
          await replica.stop();
        } finally {
          execFileSync('umount', ['-l', disk]);
        }
      },
    );
  },
  { flags: [`--audit-log-path=${ownLog}`, `--audit-policy-file=${policyFile}`] },
);
