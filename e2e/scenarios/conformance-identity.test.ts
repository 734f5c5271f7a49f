import { createPrivateKey, sign, X509Certificate } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { issueCertificate } from '../../src/pki/issue.ts';
import { issueClient } from '../worlds/certificates.ts';
import { applySecret, registerCluster } from '../worlds/register.ts';
import { requestToken } from '../worlds/token.ts';
import { until } from '../worlds/wait.ts';
import { auditEnd, auditSince } from './audit-log.ts';
import { type RecordingTarget, startTarget } from './identity-target.ts';
import { type Client, type ClientIdentity, createClient } from './registration-client.ts';
import { describeGateway, proxyPath } from './registration-world.ts';
import { readWatch, type WatchReader } from './watch-reader.ts';

const group = 'cluster.core.oam.dev';
const path = `/apis/${group}/v1alpha1`;
const rbac = '/apis/rbac.authorization.k8s.io/v1';
const configMap = '/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication';

const servingCa = await issueCertificate({ commonName: 'serving-ca', ca: true });
const issueServing = () =>
  issueCertificate(
    {
      commonName: 'cluster-gateway',
      usages: ['serverAuth'],
      dnsNames: ['cluster-gateway.vela-system.svc', 'localhost'],
      ipAddresses: ['127.0.0.1'],
    },
    { issuer: servingCa },
  );
const certificate = { ...(await issueServing()), caPem: servingCa.certificatePem };

await describeGateway(
  'who callers are, while certificates, rights and tokens change',
  (world) => {
    let target: RecordingTarget;
    const clients: Client[] = [];
    const watches: WatchReader[] = [];
    beforeAll(async () => {
      target = await startTarget();
      await applySecret(world().kube, {
        name: 'target',
        labels: { 'cluster.core.oam.dev/cluster-credential-type': 'ServiceAccountToken' },
        data: { endpoint: target.url, 'ca.crt': target.caPem, token: 'token-of-the-gateway' },
      });
    });
    afterAll(async () => {
      for (const each of watches) each.end();
      for (const client of clients) client.close();
      await target.close();
    });

    /** A caller of his own, directly at the gateway. */
    function caller(identity: Omit<ClientIdentity, 'url' | 'caPem'>): Client {
      const { url, caPem } = world().gateway;
      const client = createClient({ url, caPem, ...identity });
      clients.push(client);
      return client;
    }

    /** Watches that run already; they must hear of a Secret that is written when all is over. */
    async function keepWatching(name: string): Promise<() => Promise<void>> {
      const { kube, hub, direct } = world();
      const open = (client: Client) => readWatch(client, `${path}/clustergateways?watch=1`);
      const opened = await Promise.all([open(hub), open(direct)]);
      watches.push(...opened);
      return async () => {
        await registerCluster(kube, name, { cluster: kube.a, credential: 'X509Certificate' });
        for (const each of opened) {
          await each.sees(`${name} in a watch`, ({ object }) => object.metadata?.name === name);
          expect(each.state()).toBe('open');
        }
      };
    }

    describe('[58] somebody with 300 groups and 20 extras, through the hub', () => {
      const groups = Array.from({ length: 300 }, (_, i) => `oidc:department-of-kubernetes-team-${i}`);
      const extras = Object.fromEntries(
        Array.from({ length: 20 }, (_, i) => [`example.dev-claim-${i}`, [`value ${i}`, 'x'.repeat(100)]]),
      );
      const lines = [
        ...['Impersonate-User', 'many'],
        ...groups.flatMap((each) => ['Impersonate-Group', each]),
        ...Object.entries(extras).flatMap(([key, values]) =>
          values.flatMap((value) => [`Impersonate-Extra-${key}`, value]),
        ),
      ];
      const head = lines.map((line, i) => (i % 2 === 0 ? `${line}: ` : `${line}\r\n`)).join('');

      beforeAll(async () => {
        const { api } = world().kube.hub;
        await api.expect(`${rbac}/clusterroles`, {
          method: 'POST',
          body: {
            metadata: { name: 'many' },
            rules: [{ apiGroups: [group], resources: ['clustergateways/proxy'], verbs: ['get', 'create'] }],
          },
        });
        await api.expect(`${rbac}/clusterrolebindings`, {
          method: 'POST',
          body: {
            metadata: { name: 'many' },
            roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'many' },
            // The last of them: all must have come through.
            subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'Group', name: groups.at(-1) }],
          },
        });
      });

      test('a plain request', async () => {
        const since = await auditEnd(world().kube.hub.auditLog);
        const answer = await world().hub.call(proxyPath('target', '/x'), { headers: lines });
        expect(answer.status).toBe(200);
        const [review] = (await auditSince(world().kube.hub.auditLog, since)).filter(
          ({ objectRef }) => objectRef?.resource === 'subjectaccessreviews',
        );
        const { spec } = review?.requestObject as { spec: Record<string, unknown> };
        expect(spec['user']).toBe('many');
        expect(spec['groups']).toEqual([...groups, 'system:authenticated']);
        expect(spec['extra']).toEqual(extras);
        expect(target.requests.at(-1)?.headers.join('\n')).not.toMatch(/oidc:|claim/);
      });

      test.each([
        ['GET', 'websocket'],
        ['POST', 'SPDY/3.1'],
      ])('an upgrade: %s to %s', async (method, protocol) => {
        const upgrade = `Host: x\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n`;
        const request = `${method} ${proxyPath('target', '/exec')} HTTP/1.1\r\n${upgrade}${head}\r\n`;
        expect(await world().hub.raw(request, 300)).toMatch(/^HTTP\/1\.1 101 /);
      });
    });

    test('[59] names, groups and extras of any letters are the same at the review', async () => {
      const { kube, hub } = world();
      const latin1 = (text: string): string => Buffer.from(text).toString('latin1');
      const since = await auditEnd(kube.hub.auditLog);
      const headers = [
        ...['Impersonate-User', latin1('jané用户 (extern)')],
        ...['Impersonate-Group', latin1('Köche, Kellner'), 'Impersonate-Group', 'a,b'],
        ...['Impersonate-Extra-example.dev%2fa%25b', latin1('100 %, ja')],
        ...['Impersonate-Extra-%e7%94%a8', 'x'],
      ];
      const answer = await hub.call(path, { headers });
      expect(answer.status).toBe(200);
      const [review] = (await auditSince(kube.hub.auditLog, since)).filter(
        ({ objectRef }) => objectRef?.resource === 'subjectaccessreviews',
      );
      const { spec } = review?.requestObject as { spec: Record<string, unknown> };
      expect(spec['user']).toBe('jané用户 (extern)');
      expect(spec['groups']).toEqual(['Köche, Kellner', 'a,b', 'system:authenticated']);
      expect(spec['extra']).toEqual({ 'example.dev/a%b': ['100 %, ja'], 用: ['x'] });
    });

    describe('[63] tokens that were signed by the hub itself', () => {
      /** The same token of a service account, with other times. */
      async function tokenUntil(expires: number): Promise<string> {
        const { kube } = world();
        const token = await requestToken(kube.hub, {
          ...{ namespace: 'default', name: 'default', seconds: 3600 },
        });
        const [header = '', payload = ''] = token.split('.');
        const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as object;
        const issued = Math.floor(Date.now() / 1000) - 7200;
        const changed = JSON.stringify({ ...claims, iat: issued, nbf: issued, exp: expires });
        const text = `${header}.${Buffer.from(changed).toString('base64url')}`;
        const key = createPrivateKey(await readFile(join(kube.directory, 'hub/sa.key')));
        // ES256 (RFC 7518 3.4): the two numbers, not their DER.
        const signature = sign('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' });
        return `${text}.${signature.toString('base64url')}`;
      }

      test.each([
        ['one that ends in an hour', 3600, 200],
        ['one that ended ten minutes ago', -600, 401],
      ])('%s', async (_, seconds, status) => {
        const token = await tokenUntil(Math.floor(Date.now() / 1000) + seconds);
        const { kube } = world();
        const since = await auditEnd(kube.hub.auditLog);
        const client = caller({ token });
        for (let i = 0; i < 3; i += 1) expect((await client.call(path)).status).toBe(status);
        const reviews = (await auditSince(kube.hub.auditLog, since)).filter(
          ({ objectRef }) => objectRef?.resource === 'tokenreviews',
        );
        expect(reviews).toHaveLength(1);
      });
    });

    describe.concurrent('what changes while the gateway runs', () => {
      test('[60] authorities of the ConfigMap come and go, and cut nobody off', async () => {
        const { kube, gateway } = world();
        const { pid } = gateway;
        const stillWatching = await keepWatching('after-authorities');
        const [clientCa, proxyCa] = await Promise.all(
          ['next-client-ca', 'next-proxy-ca'].map((commonName) => issueCertificate({ commonName, ca: true })),
        );
        if (clientCa === undefined || proxyCa === undefined) throw new Error('no authorities');
        const [user, proxy] = await Promise.all([
          issueClient(clientCa, 'jane', ['system:masters']),
          issueClient(proxyCa, 'front-proxy-client', []),
        ]);
        // One connection each: what was verified on it once must not last.
        const jane = caller({ certificatePem: user.certificatePem, keyPem: user.privateKeyPem });
        const front = caller({ certificatePem: proxy.certificatePem, keyPem: proxy.privateKeyPem });
        const statuses = async (): Promise<string> => {
          const headers = ['X-Remote-User', 'john', 'X-Remote-Group', 'system:masters'];
          const [one, other] = await Promise.all([
            jane.call(`${path}/clustergateways`),
            front.call(`${path}/clustergateways`, { headers }),
          ]);
          return `${one.status} ${other.status}`;
        };
        const become = (wanted: string): Promise<true> =>
          until(wanted, async () => (await statuses()) === wanted || undefined, { timeoutMs: 5000 });
        const { data } = (await kube.hub.api.expect(configMap)) as { data: Record<string, string> };
        const write = (changed: Record<string, string>): Promise<unknown> =>
          kube.hub.api.expect(configMap, {
            method: 'PATCH',
            contentType: 'application/merge-patch+json',
            body: { data: changed },
          });
        const [clients, proxies] = ['client-ca-file', 'requestheader-client-ca-file'] as const;
        expect(await statuses()).toBe('401 401');
        await write({
          [clients]: `${data[clients] ?? ''}\n${clientCa.certificatePem}`,
          [proxies]: `${data[proxies] ?? ''}\n${proxyCa.certificatePem}`,
        });
        await become('200 200');
        // The hub adds its own again if they go; ours stay away.
        await write({ [clients]: data[clients] ?? '', [proxies]: data[proxies] ?? '' });
        await become('401 401');
        await stillWatching();
        expect(gateway.pid).toBe(pid);
        expect(() => process.kill(pid, 0)).not.toThrow();
      });

      test('[61] a new serving certificate is shown within a minute, and cuts nobody off', async () => {
        const { kube, gateway, hub } = world();
        const stillWatching = await keepWatching('after-certificate');
        const shown = async (): Promise<string> => {
          const socket = await caller({}).connect();
          const { raw } = socket.getPeerCertificate();
          socket.destroy();
          return new X509Certificate(raw).fingerprint256;
        };
        const next = await issueServing();
        const wanted = new X509Certificate(next.certificatePem).fingerprint256;
        expect(await shown()).toBe(new X509Certificate(certificate.certificatePem).fingerprint256);
        await writeFile(gateway.certificateFile, next.certificatePem);
        await writeFile(gateway.keyFile, next.privateKeyPem);
        await until('the new one', async () => (await shown()) === wanted || undefined, {
          ...{ timeoutMs: 60_000, intervalMs: 250 },
        });
        await stillWatching();
        // An upgrade is a new connection of the hub.
        const line = `GET ${proxyPath('target', '/exec')} HTTP/1.1\r\nHost: x\r\n`;
        const upgraded = await hub.raw(`${line}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`, 300);
        expect(upgraded).toMatch(/^HTTP\/1\.1 101 /);
        expect((await kube.hub.api.call(`${path}/clustergateways`)).status).toBe(200);
      });

      test('[62] a right that was taken away is gone within ten seconds', async () => {
        const { kube } = world();
        const { api } = kube.hub;
        const user = await kube.hub.user('leaver');
        const binding = `${rbac}/clusterrolebindings`;
        await api.expect(binding, {
          method: 'POST',
          body: {
            metadata: { name: 'leaver' },
            roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
            subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'leaver' }],
          },
        });
        const client = caller(user);
        const status = async (): Promise<number> => (await client.call(`${path}/clustergateways`)).status;
        await until('200', async () => (await status()) === 200 || undefined, { timeoutMs: 5000 });
        await api.expect(`${binding}/leaver`, { method: 'DELETE' });
        const removed = performance.now();
        // Reviews are kept for a while; without that the hub would be asked for each request.
        expect(await status()).toBe(200);
        await until('403', async () => (await status()) === 403 || undefined, { timeoutMs: 15_000 });
        expect(performance.now() - removed).toBeLessThan(11_000);
      });
    });
  },
  { certificate },
);
