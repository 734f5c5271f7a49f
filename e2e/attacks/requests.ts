import { beforeAll, describe, expect, test } from 'vitest';

import { type Client, createClient } from '../scenarios/registration-client.ts';
import { type GatewayWorld, proxyPath } from '../scenarios/registration-world.ts';
import { requestToken } from '../worlds/token.ts';
import { markedPath, newMark, type Witness } from './witness.ts';

const group = '/apis/cluster.core.oam.dev/v1alpha1';

/** Paths that one server might read as the proxy of cluster a and another as something else; `*` is the mark. */
const confusing: readonly string[] = [
  'clustergateways/a/health/../proxy/api/v1/namespaces/*',
  'clustergateways/a/health/%2e%2e/proxy/api/v1/namespaces/*',
  'clustergateways/x/proxy/../../a/proxy/api/v1/namespaces/*',
  'clustergateways/x/proxy/%2E%2E/%2e./a/proxy/api/v1/namespaces/*',
  'clustergateways//a/proxy/api/v1/namespaces/*',
  'clustergateways/a//proxy/api/v1/namespaces/*',
  'clustergateways/a/proxy//api/v1/namespaces/*',
  'clustergateways/a%2Fproxy/api/v1/namespaces/*',
  'clustergateways/a%2fproxy%2fapi/v1/namespaces/*',
  'clustergateways/a/PROXY/api/v1/namespaces/*',
  'clustergateways/a/Proxy/api/v1/namespaces/*',
  'clustergateways/a/proxy;x/api/v1/namespaces/*',
  'clustergateways/a;x/proxy/api/v1/namespaces/*',
  'clustergateways/a%00/proxy/api/v1/namespaces/*',
  'clustergateways/a/proxy%00/api/v1/namespaces/*',
  'clustergateways/a%20/proxy/api/v1/namespaces/*',
  'clustergateways/%61%2e/proxy/api/v1/namespaces/*',
  'clustergateways/./a/proxy/api/v1/namespaces/*',
  'clustergateways/a/./proxy/api/v1/namespaces/*',
  'clustergateways/a/proxy/./api/v1/namespaces/*',
  'clustergateways/a/proxy/api/v1/namespaces/x/../*',
  'clustergateways/a/proxy/api/v1/namespaces/x/%2e%2e/*',
  'clustergateways/a/proxy/api/v1/namespaces/x%2f..%2f*',
  'clustergateways/a/proxy\\api\\v1\\namespaces\\*',
  'clustergateways/a\\proxy/api/v1/namespaces/*',
  'namespaces/n/clustergateways/a/proxy/api/v1/namespaces/*',
  'watch/clustergateways/a/proxy/api/v1/namespaces/*',
  'proxy/clustergateways/a/api/v1/namespaces/*',
  'clustergateways/proxy/api/v1/namespaces/*',
  'ClusterGateways/a/proxy/api/v1/namespaces/*',
  '../v1alpha1/clustergateways/a/proxy/api/v1/namespaces/*',
  'clustergateways/a/proxy%252e%252e/api/v1/namespaces/*',
];

/** Requests that a server must not take for what they look like. */
export function describeRequests(world: () => GatewayWorld, a: Witness): void {
  describe.each(['hub', 'direct'] as const)('what can be read in two ways (%s)', (door) => {
    test.each(confusing)('%s never arrives at the cluster', async (shape) => {
      const mark = newMark();
      const path = `${group}/${shape.replace('*', mark)}`;
      for (const upgrade of ['', 'Connection: Upgrade\r\nUpgrade: websocket\r\n']) {
        const said = await world()[door].raw(`GET ${path} HTTP/1.1\r\nHost: x\r\n${upgrade}\r\n`, 300);
        const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(said)?.[1]);
        // The hub mends some of the shapes with a redirect of its own, to a path that it then authorizes.
        expect(door === 'hub' ? [301, 307, 400, 403, 404] : [400, 403, 404]).toContain(status);
      }
      const arrived = await a.arrivedBefore(world().direct, mark);
      // kube-aggregator decodes %2F before it sends; the path that its hub authorized is the decoded one, too.
      if (door === 'hub' && /a%2Fproxy/i.test(shape))
        for (const { uri } of arrived) expect(uri).toBe(markedPath(mark));
      else expect(arrived).toEqual([]);
    });
  });

  describe.each(['hub', 'direct'] as const)('an upgrade that the cluster refuses (%s)', (door) => {
    test.each(['websocket', 'SPDY/3.1'])('%s: nothing behind it arrives', async (protocol) => {
      const [refused, pipelined, late] = [newMark(), newMark(), newMark()];
      const exec = `${markedPath(refused)}/pods/p/exec?command=id`;
      const upgrade = `Connection: Upgrade\r\nUpgrade: ${protocol}\r\nSec-WebSocket-Version: 13\r\n`;
      // For the connection to the gateway, and for the one behind it.
      const next = (mark: string): string =>
        [proxyPath('a', markedPath(mark)), markedPath(mark)]
          .map((path) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`)
          .join('');
      const method = protocol === 'websocket' ? 'GET' : 'POST';
      const socket = await world()[door].connect();
      let said = '';
      socket.on('data', (chunk: Buffer) => (said += chunk.toString('latin1')));
      const key = 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n';
      socket.write(
        `${method} ${proxyPath('a', exec)} HTTP/1.1\r\nHost: x\r\n${upgrade}${key}\r\n${next(pipelined)}`,
      );
      await expect.poll(() => said).toMatch(/^HTTP\/1\.1 40[034] /);
      socket.write(next(late));
      await new Promise((resolve) => setTimeout(resolve, 200));
      socket.destroy();
      expect(await a.arrivedBefore(world().direct, refused)).toHaveLength(1);
      for (const mark of [pipelined, late]) {
        const arrived = await a.arrivedBefore(world().direct, mark);
        // The hub may take what comes after its own answer for the caller's next request: through the gateway.
        if (door === 'direct') expect(arrived).toEqual([]);
        for (const { user } of arrived) expect(user).not.toBeUndefined();
      }
    });
  });

  describe('somebody who is nobody', () => {
    let anonymous: Client;
    beforeAll(() => {
      const { url, caPem } = world().gateway;
      anonymous = createClient({ url, caPem });
      return () => anonymous.close();
    });

    const tokens: readonly (readonly [string, () => readonly string[] | Promise<readonly string[]>])[] = [
      ['no token', () => []],
      ['an empty token', () => ['Authorization', 'Bearer ']],
      ['an empty token twice', () => ['Authorization', 'Bearer  ', 'Authorization', 'Bearer']],
      ['a scheme alone', () => ['Authorization', 'Bearer']],
      ['garbage', () => ['Authorization', 'Bearer x.y.z']],
      ['garbage behind spaces', () => ['Authorization', 'Bearer   x']],
      ['null', () => ['Authorization', 'Bearer null']],
      ['a JWT of no algorithm', () => ['Authorization', `Bearer ${unsigned()}`]],
      ["another cluster's token", async () => bearer(await tokenAt('a'))],
      ['a token for another audience', async () => bearer(await tokenAt('hub', ['elsewhere']))],
      ["a deleted account's token", async () => bearer(await deletedAccount())],
      ['two lines, the second garbage', async () => [...bearer(await tokenAt('hub')), ...bearer('garbage')]],
      ['identity headers', () => ['X-Remote-User', 'admin', 'X-Remote-Group', 'system:masters']],
      ['impersonation', () => ['Impersonate-User', 'admin', 'Impersonate-Group', 'system:masters']],
    ];

    const bearer = (token: string): readonly string[] => ['Authorization', `Bearer ${token}`];

    function unsigned(): string {
      const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
      const claims = {
        iss: 'https://kubernetes.default.svc',
        sub: 'system:serviceaccount:kube-system:default',
      };
      return `${part({ alg: 'none' })}.${part({ ...claims, exp: 4_000_000_000 })}.`;
    }

    async function tokenAt(name: 'hub' | 'a', audiences?: readonly string[]): Promise<string> {
      const cluster = world().kube[name];
      if (audiences === undefined)
        return requestToken(cluster, { namespace: 'default', name: 'default', seconds: 3600 });
      const path = '/api/v1/namespaces/default/serviceaccounts/default/token';
      const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { audiences } };
      const answer = (await cluster.api.expect(path, { method: 'POST', body })) as {
        status: { token: string };
      };
      return answer.status.token;
    }

    async function deletedAccount(): Promise<string> {
      const { hub } = world().kube;
      const accounts = '/api/v1/namespaces/default/serviceaccounts';
      const name = newMark();
      await hub.api.expect(accounts, { method: 'POST', body: { metadata: { name } } });
      const token = await requestToken(hub, { namespace: 'default', name, seconds: 3600 });
      await hub.api.expect(`${accounts}/${name}`, { method: 'DELETE' });
      return token;
    }

    test.each(tokens)('%s opens nothing, plain or as an upgrade', async (_, make) => {
      const lines = await make();
      const mark = newMark();
      const head = lines.map((each, i) => (i % 2 === 0 ? `${each}: ` : `${each}\r\n`)).join('');
      const protocols = lines[0] === 'Authorization' ? lines[1]?.replace(/^Bearer ?/, '') : undefined;
      const subprotocol = `base64url.bearer.authorization.k8s.io.${Buffer.from(protocols ?? '').toString('base64url')}`;
      for (const rest of [
        head,
        `${head}Connection: Upgrade\r\nUpgrade: websocket\r\n`,
        `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: ${subprotocol}, v5.channel.k8s.io\r\n`,
      ]) {
        const path = proxyPath('a', markedPath(mark));
        const said = await anonymous.raw(`GET ${path} HTTP/1.1\r\nHost: x\r\n${rest}\r\n`, 1000);
        expect(said).toMatch(/^HTTP\/1\.1 (400|401|403) /);
      }
      expect(await a.arrivedBefore(world().direct, mark)).toEqual([]);
    });

    test.each([
      ...['/', '/apis', group, `${group}/clustergateways`, `${group}/clustergateways?watch=1`],
      ...[
        `${group}/clustergateways/a`,
        `${group}/clustergateways/a/health`,
        `${group}/clustergateways/a/proxy`,
      ],
      ...['/openapi/v2', '/openapi/v3', '/metrics', '/metrics/slis', '/debug/pprof', '/configz', '/logs'],
      ...[
        '/api',
        '/api/v1/secrets',
        '/statusz',
        '/flagz',
        '/proxy',
        '/index.html',
        '/livez/hub',
        '/readyz/hub',
      ],
    ])('%s is not for somebody who is nobody', async (path) => {
      for (const method of ['GET', 'POST', 'OPTIONS', 'DELETE'])
        expect([401, 403]).toContain((await anonymous.call(path, { method })).status);
    });
  });
}
