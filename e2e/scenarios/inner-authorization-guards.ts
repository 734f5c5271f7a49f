import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import type { GatewayProcess } from '../worlds/kube.ts';
import { applySecret, registerCluster } from '../worlds/register.ts';
import { auditEnd, auditSince } from './audit-log.ts';
import { type RecordingTarget, startTarget } from './identity-target.ts';
import { untilAnswered } from './inner-authorization-rights.ts';
import { type Client } from './registration-client.ts';
import { adminOf, type GatewayWorld, proxyPath } from './registration-world.ts';

/** Clusters that lead back to the gateway, and endpoints at addresses that are denied. */
export function describeGuards(world: () => GatewayWorld): void {
  describe('a cluster that leads back', () => {
    beforeAll(async () => {
      const { kube } = world();
      const { hub } = kube;
      await registerCluster(kube, 'hub-itself', { cluster: hub, credential: 'X509Certificate' });
      for (const [name, next] of [
        ['circle', 'circle'],
        ['ping', 'pong'],
        ['pong', 'ping'],
      ] as const) {
        const endpoint = `${hub.url}${proxyPath(next)}`;
        await registerCluster(kube, name, { cluster: hub, credential: 'X509Certificate', endpoint });
      }
      await untilAnswered(world().direct, proxyPath('pong', '/'), 508);
    });

    test('is legal: the hub as a cluster of its own, and a cluster behind that', async () => {
      const { hub, direct } = world();
      for (const client of [hub, direct]) {
        const own = await client.call(
          proxyPath('hub-itself', '/apis/cluster.core.oam.dev/v1alpha1/clustergateways'),
        );
        expect(own.status).toBe(200);
        const nested = await client.call(proxyPath('hub-itself', proxyPath('foo', '/api/v1/namespaces')));
        expect(nested.json()).toMatchObject({ kind: 'NamespaceList' });
      }
    });

    test.each([
      ['circle', []],
      ['ping', []],
      ['circle', ['X-Cluster-Gateway-Hops', '0']],
      ['circle', ['X-Cluster-Gateway-Hops', '0', 'Connection', 'X-Cluster-Gateway-Hops']],
    ] as const)('%s without an end is 508, in bounded time: %j', async (name, headers) => {
      const { kube, hub, direct } = world();
      for (const client of [hub, direct]) {
        const since = await auditEnd(kube.hub.auditLog);
        const auditId = `circle-${Math.random().toString(36).slice(2)}`;
        const answer = await client.call(proxyPath(name, '/api/v1/pods'), {
          headers: [...headers, 'Audit-Id', auditId],
        });
        expect(answer.json()).toMatchObject({
          ...{ kind: 'Status', code: 508, status: 'Failure' },
          message: expect.stringMatching(
            /passed through cluster gateways 5 times: the endpoint of cluster/,
          ) as string,
        });
        expect(answer.status).toBe(508);
        expect(answer.ms).toBeLessThan(5000);
        const passed = async (): Promise<number> =>
          (await auditSince(kube.hub.auditLog, since)).filter(
            ({ auditID, stage }) => auditID === auditId && stage === 'ResponseComplete',
          ).length;
        // The hub's own caller is one more of its requests.
        await expect.poll(passed).toBe(client === hub ? 6 : 5);
      }
    });

    test('an upgrade in a circle ends, too', async () => {
      const { direct } = world();
      const said = await direct.raw(
        [
          `GET ${proxyPath('circle', '/api/v1/namespaces/n/pods/p/exec?command=sh')} HTTP/1.1`,
          ...['Host: gateway', 'Connection: Upgrade, X-Cluster-Gateway-Hops', 'Upgrade: websocket'],
          ...['Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==', '', ''],
        ].join('\r\n'),
      );
      expect(said).toMatch(/^HTTP\/1\.1 508 /);
    });

    test('a number that a caller makes up harms that caller alone', async () => {
      const { direct } = world();
      const call = async (hops: string): Promise<number> =>
        (await direct.call(proxyPath('foo', '/version'), { headers: ['X-Cluster-Gateway-Hops', hops] }))
          .status;
      expect([await call('4'), await call('5'), await call('x'), await call('')]).toEqual([
        200, 508, 400, 400,
      ]);
    });
  });

  describe('--deny-endpoint-addresses', () => {
    let gateway: GatewayProcess;
    let client: Client;
    let target: RecordingTarget;
    beforeAll(async () => {
      const { kube } = world();
      target = await startTarget();
      gateway = await kube.startGateway({ registered: false, flags: ['--deny-endpoint-addresses=loopback'] });
      client = adminOf(kube, gateway);
      const secret = {
        labels: { 'cluster.core.oam.dev/cluster-credential-type': 'ServiceAccountToken' },
        data: { 'ca.crt': target.caPem, token: 'token' },
        direct: 'it is denied where the gateway itself connects',
      };
      for (const [i, host] of ['127.0.0.1', 'localhost', '2130706433', '[::ffff:127.0.0.1]', '0'].entries()) {
        const endpoint = `https://${host}:${target.port}`;
        await applySecret(kube, { ...secret, name: `denied-${i}`, data: { ...secret.data, endpoint } });
      }
      const proxied = { endpoint: 'https://some.example', 'proxy-url': `http://localhost:${target.port}` };
      await applySecret(kube, { ...secret, name: 'denied-5', data: { ...secret.data, ...proxied } });
      await untilAnswered(client, proxyPath('denied-5', '/'), 503);
    });
    afterAll(async () => {
      client.close();
      await target.close();
      await gateway.stop();
    });

    test('refuses loopback, however it is written, and connects to nothing there', async () => {
      for (const i of [0, 1, 2, 3, 4, 5]) {
        const answer = await client.call(proxyPath(`denied-${i}`, '/version'));
        expect(answer.status).toBe(503);
        expect(answer.json().message).toMatch(
          /^error trying to reach cluster "denied-\d": .*(?:may not be connected to|no address that may be)/,
        );
      }
      expect(target.accepted()).toBe(0);
    });
  });
}
