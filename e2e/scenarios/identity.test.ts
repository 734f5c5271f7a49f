import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { type IssuedCertificate, issueCertificate } from '../../src/pki/issue.ts';
import type { GatewayProcess } from '../worlds/kube.ts';
import { applySecret, registerCluster } from '../worlds/register.ts';
import { requestToken } from '../worlds/token.ts';
import { auditEnd, auditSince } from './audit-log.ts';
import { describeHeaders } from './identity-headers.ts';
import { startTarget, type TargetOptions } from './identity-target.ts';
import { type Client, type ClientIdentity, createClient } from './registration-client.ts';
import { describeGateway, proxyPath } from './registration-world.ts';

const rbac = '/apis/rbac.authorization.k8s.io/v1';

await describeGateway('identity', (world) => {
  const clients: Client[] = [];
  afterAll(() => clients.forEach((client) => client.close()));

  /** A caller of his own, directly at a gateway. */
  function caller(identity: Omit<ClientIdentity, 'url' | 'caPem'>, gateway?: GatewayProcess): Client {
    const { url, caPem } = gateway ?? world().gateway;
    const client = createClient({ url, caPem, ...identity });
    clients.push(client);
    return client;
  }

  const path = proxyPath('a', '/api/v1/namespaces');
  const asAdmin = ['X-Remote-User', 'admin', 'X-Remote-Group', 'system:masters'];

  beforeAll(async () => {
    const { kube } = world();
    await registerCluster(kube, 'a', {
      cluster: kube.a,
      credential: 'X509Certificate',
      user: 'gateway-at-a',
      groups: ['system:masters'],
    });
    const role = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'proxy-a' };
    await kube.hub.api.expect(`${rbac}/clusterroles`, {
      method: 'POST',
      body: {
        metadata: { name: 'proxy-a' },
        rules: [
          {
            apiGroups: ['cluster.core.oam.dev'],
            resources: ['clustergateways/proxy'],
            resourceNames: ['a'],
            verbs: ['get'],
          },
        ],
      },
    });
    await kube.hub.api.expect(`${rbac}/clusterrolebindings`, {
      method: 'POST',
      body: {
        metadata: { name: 'proxy-a' },
        roleRef: role,
        subjects: [
          { kind: 'User', name: 'jané用户', apiGroup: role.apiGroup },
          { kind: 'ServiceAccount', name: 'robot', namespace: 'default' },
        ],
      },
    });
    await kube.hub.api.expect('/api/v1/namespaces/default/serviceaccounts', {
      method: 'POST',
      body: { metadata: { name: 'robot' } },
    });
  });

  describe('a caller who comes directly', () => {
    test('[56] with identity headers and no certificate is anonymous', async () => {
      const answer = await caller({}).call(path, { headers: asAdmin });
      expect(answer.status).toBe(403);
      expect(answer.json().message).toContain('User "system:anonymous" cannot get');
    });

    test("[56] with a certificate of the hub's users is that user, whatever the headers say", async () => {
      const { kube } = world();
      const jane = caller(await kube.hub.user('jané用户', ['dev']));
      expect((await jane.call(path, { headers: asAdmin })).status).toBe(200);
      const refused = await jane.call(path, { method: 'DELETE', headers: asAdmin });
      expect(refused.status).toBe(403);
      expect(refused.json().message).toContain('User "jané用户" cannot delete');
      expect((await jane.call(proxyPath('other'), { headers: asAdmin })).status).toBe(403);
    });

    test("with the front proxy's certificate speaks for its callers", async () => {
      const [certificatePem, keyPem] = await Promise.all(
        ['crt', 'key'].map((end) =>
          readFile(join(world().kube.directory, `hub/front-proxy-client.${end}`), 'utf8'),
        ),
      );
      const proxy = caller({ certificatePem: certificatePem ?? '', keyPem: keyPem ?? '' });
      const jane = Buffer.from('jané用户').toString('latin1');
      expect((await proxy.call(path, { headers: ['X-Remote-User', jane] })).status).toBe(200);
      const nobody = await proxy.call(path, { headers: ['X-Remote-User', 'nobody'] });
      expect(nobody.json().message).toContain('User "nobody" cannot get');
      // The certificate itself is nobody's.
      expect((await proxy.call(path)).status).toBe(401);
    });

    test('[56] with a certificate that nobody knows is refused', async () => {
      const ca = await issueCertificate({ commonName: 'front-proxy-ca', ca: true });
      const stranger = await issueCertificate(
        { commonName: 'front-proxy-client', organizations: ['system:masters'], usages: ['clientAuth'] },
        { issuer: ca },
      );
      const { certificatePem, privateKeyPem: keyPem } = stranger;
      const answer = await caller({ certificatePem, keyPem }).call(path, { headers: asAdmin });
      expect(answer.status).toBe(401);
      expect(answer.json()).toMatchObject({
        kind: 'Status',
        reason: 'Unauthorized',
        message: 'Unauthorized',
      });
    });

    test('[63] with a token of a service account is that account; the hub is asked once', async () => {
      const { kube } = world();
      const token = await requestToken(kube.hub, { namespace: 'default', name: 'robot', seconds: 3600 });
      const since = await auditEnd(kube.hub.auditLog);
      const robot = caller({ token });
      for (let i = 0; i < 5; i += 1) expect((await robot.call(path)).status).toBe(200);
      const refused = await robot.call(proxyPath('other'));
      expect(refused.json().message).toContain('User "system:serviceaccount:default:robot" cannot get');
      const reviews = (await auditSince(kube.hub.auditLog, since)).filter(
        ({ objectRef }) => objectRef?.resource === 'tokenreviews',
      );
      expect(reviews).toHaveLength(1);
    });

    test.each([
      ['garbage', 'Bearer garbage', 401],
      ['the token of another cluster', 'other', 401],
      ['an empty token', 'Bearer ', 403],
      ['another scheme', 'Basic YTpi', 403],
    ])('[63] with %s', async (_, authorization, status) => {
      const { kube } = world();
      const value =
        authorization === 'other'
          ? `Bearer ${await requestToken(kube.a, { namespace: 'default', name: 'default', seconds: 3600 })}`
          : authorization;
      const since = await auditEnd(kube.a.auditLog);
      const answer = await caller({}).call(path, {
        headers: ['Authorization', value, 'User-Agent', 'stranger'],
      });
      expect(answer.status).toBe(status);
      const seen = await auditSince(kube.a.auditLog, since);
      expect(seen.filter(({ userAgent }) => userAgent === 'stranger')).toEqual([]);
    });
  });

  describe('a front proxy of flags', () => {
    let ca: IssuedCertificate;
    let gateway: GatewayProcess;
    beforeAll(async () => {
      ca = await issueCertificate({ commonName: 'own-front-proxy-ca', ca: true });
      const file = join(world().kube.directory, 'own-front-proxy-ca.crt');
      await writeFile(file, ca.certificatePem);
      gateway = await world().kube.startGateway({
        registered: false,
        flags: [`--requestheader-client-ca-file=${file}`, '--requestheader-allowed-names=own-proxy'],
      });
      return async () => {
        await gateway.stop();
      };
    });

    test.each([
      ['own-proxy', 'clientAuth', 200],
      ['another-name', 'clientAuth', 401],
      ['own-proxy', 'serverAuth', 401],
    ] as const)('%s with %s is %i', async (commonName, usage, status) => {
      const issued = await issueCertificate({ commonName, usages: [usage] }, { issuer: ca });
      const client = caller({ certificatePem: issued.certificatePem, keyPem: issued.privateKeyPem }, gateway);
      expect((await client.call(path, { headers: asAdmin })).status).toBe(status);
    });
  });

  test('at the cluster the gateway is who its Secret says, under the audit id of the caller', async () => {
    const { kube, hub, direct } = world();
    const since = await auditEnd(kube.a.auditLog);
    for (const [door, auditId] of [
      [hub, 'audit-through-hub'],
      [direct, 'audit-directly'],
    ] as const)
      expect((await door.call(path, { headers: ['Audit-Id', auditId] })).status).toBe(200);
    const events = await auditSince(kube.a.auditLog, since);
    for (const auditId of ['audit-through-hub', 'audit-directly']) {
      const users = events.filter(({ auditID }) => auditID === auditId).map(({ user }) => user.username);
      expect(users).toEqual(['gateway-at-a']);
    }
  });

  describeHeaders(world);

  async function withTarget<T>(
    options: TargetOptions,
    use: (target: Awaited<ReturnType<typeof startTarget>>) => Promise<T>,
  ): Promise<T> {
    const target = await startTarget(options);
    try {
      await applySecret(world().kube, {
        name: 'target',
        labels: { 'cluster.core.oam.dev/cluster-credential-type': 'ServiceAccountToken' },
        data: { endpoint: target.url, 'ca.crt': target.caPem, token: 'token-of-the-gateway' },
      });
      await expect
        .poll(async () => (await world().direct.call(proxyPath('target', '/ready'))).status)
        .toBeLessThan(503);
      target.requests.length = 0;
      return await use(target);
    } finally {
      await target.close();
    }
  }

  describe('[74] an upgrade that the target refuses', () => {
    test.each([
      ['403 Forbidden', 403],
      ['200 OK', 200],
      ['302 Found\r\nLocation: https://elsewhere.test/', 502],
      ['426 Upgrade Required', 426],
    ])('with %j: what is pipelined behind it never reaches the target', async (statusLine, status) => {
      // The target leaves the connection open: whatever the gateway still sent on it would be noted.
      const upgrade: TargetOptions['upgrade'] = (_, socket) =>
        socket.write(`HTTP/1.1 ${statusLine}\r\nContent-Length: 4\r\n\r\nnope`);
      await withTarget({ upgrade }, async (target) => {
        for (const protocol of ['websocket', 'SPDY/3.1']) {
          const socket = await world().direct.connect();
          let said = '';
          socket.on('data', (chunk: Buffer) => (said += chunk.toString()));
          const second = `GET ${proxyPath('target', '/second')} HTTP/1.1\r\nHost: x\r\n\r\n`;
          const head = `GET ${proxyPath('target', '/exec')} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`;
          socket.write(head + second);
          await sleep(100);
          socket.write(second);
          await expect.poll(() => socket.closed).toBe(true);
          expect(said).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
          expect(said.match(/HTTP\/1\.1 /g)).toHaveLength(1);
          if (status !== 502) expect(said.endsWith('\r\n\r\nnope')).toBe(true);
        }
        expect(target.requests.map(({ path: asked }) => asked)).toEqual(['/exec', '/exec']);
        expect(target.upgradedBytes()).toBe('');
        await expect.poll(() => target.running()).toBe(0);
      });
    });
  });

  test.each(['hub', 'direct'] as const)(
    '[75] a redirect is 502, and nobody follows it (%s)',
    async (door) => {
      const elsewhere = await startTarget();
      const answer: TargetOptions['answer'] = (request, response) => {
        if (request.url === '/same') response.writeHead(304, { etag: '"1"' }).end();
        else response.writeHead(302, { location: `${elsewhere.url}/stolen` }).end();
      };
      try {
        await withTarget({ answer }, async (target) => {
          for (const method of ['GET', 'POST']) {
            const refused = await world()[door].call(proxyPath('target', '/x'), { method });
            expect(refused.status).toBe(502);
            expect(refused.headers.location).toBeUndefined();
            expect(refused.text).not.toContain('stolen');
          }
          expect((await world()[door].call(proxyPath('target', '/same'))).status).toBe(304);
          expect(target.requests).toHaveLength(3);
        });
        expect(elsewhere.accepted()).toBe(0);
      } finally {
        await elsewhere.close();
      }
    },
  );

  test.each(['hub', 'direct'] as const)(
    "a cluster's cookies and other services are for nobody (%s)",
    async (door) => {
      const answer: TargetOptions['answer'] = (_, response) => {
        response
          .writeHead(200, { 'set-cookie': ['a=b', 'c=d'], 'alt-svc': 'h2="evil:1"', warning: '299 - "kept"' })
          .end();
      };
      await withTarget({ answer }, async () => {
        const { headers } = await world()[door].call(proxyPath('target', '/x'));
        expect(headers['set-cookie']).toBeUndefined();
        expect(headers['alt-svc']).toBeUndefined();
        expect(headers.warning).toBe('299 - "kept"');
      });
    },
  );
});
