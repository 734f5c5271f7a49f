import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';

import { registerCluster } from '../worlds/register.ts';
import { type RecordingTarget, startTarget } from './identity-target.ts';
import { type GatewayWorld, proxyPath } from './registration-world.ts';

const clusters = '/apis/cluster.core.oam.dev/v1alpha1/clustergateways';
const group = '/apis/cluster.core.oam.dev/v1alpha1';

/** Paths that two servers could read in two ways: `CLUSTER` is a name that leads to a target which takes note. */
const paths = [
  `${clusters}/CLUSTER/proxy/..%2f..`,
  `${clusters}/CLUSTER/proxy/../x`,
  `${clusters}/CLUSTER/proxy/a/..`,
  `${clusters}/CLUSTER/proxy/..`,
  `${clusters}/CLUSTER/proxy/.`,
  `${clusters}/CLUSTER/proxy/./x`,
  `${clusters}/CLUSTER/proxy/%2e%2e/x`,
  `${clusters}/CLUSTER/proxy/%2E./x`,
  `${clusters}/CLUSTER/proxy/a/%2e%2e%2fb`,
  `${clusters}/CLUSTER/proxy/a%5c..%5cb`,
  `${clusters}/CLUSTER/proxy/..\\x`,
  `${clusters}/CLUSTER/proxy//x`,
  `${clusters}/CLUSTER/proxy/x//`,
  `${clusters}/CLUSTER//proxy/x`,
  `${clusters}//CLUSTER/proxy/x`,
  `/${clusters}/CLUSTER/proxy/x`,
  `${group}/namespaces/a/clustergateways/CLUSTER/proxy/x`,
  `${group}/watch/clustergateways/CLUSTER/proxy/x`,
  `${group}/proxy/clustergateways/CLUSTER/x`,
  `${clusters}/CLUSTER/health/../proxy/x`,
  `${clusters}/other/../CLUSTER/proxy/x`,
  `${clusters}/CLUSTER/PROXY/x`,
  `${clusters}/CLUSTER/proxy;a/x`,
  `${clusters}/CLUSTER;a/proxy/x`,
  `${clusters}/CLUSTER/proxyx`,
  `${clusters}//proxy/x`,
  `${clusters}/proxy/x`,
  `${clusters}/CLUSTER/proxy/%00`,
  `${clusters}/CLUSTER/proxy/x%00.`,
  `${clusters}/CLUSTER%00/proxy/x`,
  `${clusters}/CLUSTER/proxy/%zz`,
  `${clusters}/CLUSTER/proxy/%`,
  `${group}/../v1alpha1/clustergateways/CLUSTER/proxy/x`,
  `/api/../apis/cluster.core.oam.dev/v1alpha1/clustergateways/CLUSTER/proxy/x`,
  `${group}2/clustergateways/CLUSTER/proxy/x`,
];

/** Encoded where nothing has to be: the hub decodes such a path, and authorizes and sends what that gives. */
const encodedPaths = [
  `${clusters}/CLUSTER%2Fproxy/x`,
  `${clusters}/CLUSTER%2fproxy%2fx`,
  `${clusters}/CLUSTER/%70roxy/x`,
  `${clusters}/%43LUSTER/proxy/x`,
];

/** Heads that are refused whatever the path: by the gateway itself, which nobody in front of it protects. */
const heads: readonly (readonly [string, string])[] = [
  ['absolute form', 'GET https://elsewhere.test/PATH HTTP/1.1\r\nHost: elsewhere.test\r\n\r\n'],
  ['absolute form of ours', 'GET https://127.0.0.1PATH HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'],
  ['asterisk form', 'OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n'],
  ['two Host lines', 'GET PATH HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n'],
  ['a fragment', 'GET PATH#x HTTP/1.1\r\nHost: x\r\n\r\n'],
  ['a space in the path', 'GET PATH/a b HTTP/1.1\r\nHost: x\r\n\r\n'],
  ['bytes that are no ASCII', 'GET PATH/\u00e9 HTTP/1.1\r\nHost: x\r\n\r\n'],
  ['two lengths', 'POST PATH HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab'],
  [
    'a length and chunks',
    'POST PATH HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ],
  ['an upgrade to h2c', upgradeTo('h2c', 'Upgrade, HTTP2-Settings', 'HTTP2-Settings: AAMAAABkAAQAAP__')],
  ['an upgrade to TLS', upgradeTo('TLS/1.0', 'Upgrade')],
  ['an upgrade to two protocols', upgradeTo('websocket, SPDY/3.1', 'Upgrade')],
  ['an upgrade to another SPDY', upgradeTo('SPDY/3', 'Upgrade')],
  ['an upgrade to nothing known', upgradeTo('pigeon', 'Upgrade')],
  ['an upgrade with a body', upgradeTo('websocket', 'Upgrade', 'Content-Length: 4').concat('GET ')],
];

function upgradeTo(protocol: string, connection: string, more = 'X: y'): string {
  return `GET PATH HTTP/1.1\r\nHost: x\r\nConnection: ${connection}\r\nUpgrade: ${protocol}\r\n${more}\r\n\r\n`;
}

/** Requests whose shape is bad, through the hub and directly: refused, and nothing of them reaches the cluster. */
export function describeShapes(world: () => GatewayWorld): void {
  describe('requests of a bad shape', () => {
    let target: RecordingTarget;
    beforeAll(async () => {
      target = await startTarget();
      await registerCluster(world().kube, 'shapes', {
        ...{ cluster: world().kube.a, credential: 'ServiceAccountToken' },
        ...{ endpoint: target.url, caPem: target.caPem },
      });
      return () => target.close();
    });

    beforeEach(() => {
      target.requests.length = 0;
    });
    const reached = () => target.requests.map(({ method, path }) => `${method} ${path}`);
    const statusIn = (said: string) => Number(/^HTTP\/1\.1 (\d{3}) /.exec(said)?.[1] ?? NaN);

    test('the target takes note of a good one', async () => {
      expect((await world().hub.call(proxyPath('shapes', '/x/'))).status).toBe(200);
      expect(target.requests.map(({ path }) => path)).toEqual(['/x/']);
    });

    test.each(['hub', 'direct'] as const)('[51] paths that can be read in two ways (%s)', async (door) => {
      const wrong: string[] = [];
      for (const path of door === 'hub' ? paths : [...paths, ...encodedPaths]) {
        const asked = path.replace('%43LUSTER', '%73hapes').replace('CLUSTER', 'shapes');
        const head = `GET ${asked} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`;
        const status = statusIn(await world()[door].raw(head));
        if (status !== 400 && status !== 404) wrong.push(`${asked}: ${status}`);
      }
      expect(wrong).toEqual([]);
      expect(reached()).toEqual([]);
    });

    test('paths that the hub decodes are what it authorized', async () => {
      for (const path of encodedPaths) {
        const asked = path.replace('%43LUSTER', '%73hapes').replace('CLUSTER', 'shapes');
        expect((await world().hub.call(asked)).status).toBe(200);
      }
      expect(reached()).toEqual(encodedPaths.map(() => 'GET /x'));
    });

    test.each(['GET', 'POST'])('[51] the same as upgrades (%s)', async (method) => {
      const wrong: string[] = [];
      for (const path of [...paths, ...encodedPaths]) {
        const asked = path.replace('%43LUSTER', '%73hapes').replace('CLUSTER', 'shapes');
        const head = `${method} ${asked} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n`;
        const status = statusIn(await world().direct.raw(head));
        if (status !== 400 && status !== 404) wrong.push(`${asked}: ${status}`);
      }
      expect(wrong).toEqual([]);
      expect(reached()).toEqual([]);
    });

    test.each(heads)('%s', async (_, head) => {
      const said = await world().direct.raw(head.replace('PATH', proxyPath('shapes', '/x')), 200);
      expect(statusIn(said), said).toBe(400);
      await sleep(20);
      expect(reached()).toEqual([]);
      expect(target.upgradedBytes()).toBe('');
    });

    test('a cluster whose endpoint has a path is not left by dot segments', async () => {
      const { kube, direct } = world();
      await registerCluster(kube, 'nested', {
        ...{ cluster: kube.a, credential: 'ServiceAccountToken' },
        ...{ endpoint: `${target.url}/k8s/clusters/c-1/`, caPem: target.caPem },
      });
      expect((await direct.call(proxyPath('nested', '/api?a=b&a=%zz'))).status).toBe(200);
      for (const path of ['/../c-2/api', '/..', '/%2e%2e/c-2', '/a/../../c-2'])
        expect(
          statusIn(await direct.raw(`GET ${proxyPath('nested', path)} HTTP/1.1\r\nHost: x\r\n\r\n`, 300)),
        ).toBe(400);
      expect(target.requests.map(({ path }) => path)).toEqual(['/k8s/clusters/c-1/api?a=b&a=%zz']);
    });

    test('the query is carried byte for byte', async () => {
      for (const query of [
        '?a=1;b=2',
        '?%zz',
        '?dryRun=All&dryRun=',
        '?',
        '?a=%2e%2e/%2f',
        `?${'a&'.repeat(10_001)}`,
      ]) {
        expect((await world().direct.call(proxyPath('shapes', `/q${query}`))).status).toBe(200);
        expect(target.requests.at(-1)?.path).toBe(`/q${query}`);
      }
    });
  });
}
