import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';

import { applySecret } from '../worlds/register.ts';
import { type RecordingTarget, startTarget } from './identity-target.ts';
import { type GatewayWorld, proxyPath } from './registration-world.ts';

const bearer = (token: string) =>
  `base64url.bearer.authorization.k8s.io.${Buffer.from(token).toString('base64url')}`;

/** What a caller may try to be taken for somebody else, or to talk the gateway out of its own credential. */
const evilLines = [
  ...['Authorization', 'Bearer evil', 'authorization', 'Basic evil', 'Proxy-Authorization', 'Basic evil'],
  ...['Cookie', 'session=evil', 'cookie', 'evil=1'],
  ...['X-Remote-User', 'evil', 'x-remote-group', 'system:masters', 'X-REMOTE-EXTRA-Evil', 'evil'],
  ...['X-Remote-Uid', 'evil', 'X-Remote-Future', 'evil'],
  ...['X-Nominated', 'evil', 'Keep-Alive', 'evil', 'Proxy-Connection', 'evil', 'TE', 'evil'],
  ...['Forwarded', 'for=evil', 'X-Real-Ip', 'evil', 'X-Forwarded-Proto', 'evil', 'X-Forwarded-Port', 'evil'],
  ...['Audit-Id', 'audit-of-the-caller', 'X-Kept', 'kept'],
];

const nominations =
  'X-Nominated, Authorization,AUTHORIZATION , Audit-Id, X-Forwarded-For, Impersonate-User, Host, Content-Length';

const ownLines = new Set([
  ...['accept-encoding', 'audit-id', 'authorization', 'host', 'user-agent', 'x-forwarded-for', 'x-kept'],
  // An upgrade's own; a POST says that it has no body.
  ...[
    'content-length',
    'connection',
    'upgrade',
    'sec-websocket-key',
    'sec-websocket-version',
    'sec-websocket-protocol',
  ],
  'x-cluster-gateway-hops',
  // What the hub says of the way.
  ...['x-forwarded-host', 'x-forwarded-uri', 'x-forwarded-proto'],
]);

/** What callers send to prove who they are, and what they send to be taken for others, ends at the gateway. */
export function describeHeaders(world: () => GatewayWorld): void {
  describe.each(['h2', 'http/1.1'] as const)('what a target that speaks %s gets of a caller', (protocol) => {
    const name = `recorder-${protocol.replace(/\W/g, '')}`;
    let target: RecordingTarget;
    beforeAll(async () => {
      // Upgrades are HTTP/1.1 whatever else the target speaks.
      target = await startTarget(protocol === 'h2' ? {} : { protocol });
      await applySecret(world().kube, {
        name,
        labels: { 'cluster.core.oam.dev/cluster-credential-type': 'ServiceAccountToken' },
        data: { endpoint: target.url, 'ca.crt': target.caPem, token: 'token-of-the-gateway' },
      });
      await reachable(`${proxyPath(name)}/x`);
    });
    afterAll(() => target.close());
    beforeEach(() => {
      target.requests.length = 0;
    });

    async function reachable(path: string): Promise<void> {
      expect((await world().direct.call(path)).status).toBe(200);
    }

    /** Checks the one request that came. */
    function check(door: 'hub' | 'direct'): ReadonlyMap<string, string> {
      expect(target.requests).toHaveLength(1);
      const { headers = [] } = target.requests[0] ?? {};
      const pairs = headers.flatMap((line, i) =>
        i % 2 === 0 ? [[line.toLowerCase(), headers[i + 1] ?? ''] as const] : [],
      );
      const authorizations = pairs.filter(([line]) => line === 'authorization');
      expect(authorizations).toEqual([['authorization', 'Bearer token-of-the-gateway']]);
      expect(pairs.filter(([line]) => line === 'audit-id')).toEqual([['audit-id', 'audit-of-the-caller']]);
      const lines = new Map(pairs);
      for (const [line, value] of lines) {
        expect(ownLines.has(line), line).toBe(true);
        expect(value, line).not.toContain('evil');
        expect(value, line).not.toContain('system:masters');
      }
      expect(lines.get('x-kept')).toBe('kept');
      expect(lines.get('x-forwarded-for')).toBe(door === 'hub' ? '127.0.0.1, 127.0.0.1' : '127.0.0.1');
      // Behind a tunnel a cluster's address is its name.
      const authority = world().kube.tunnel === undefined ? new URL(target.url).host : name;
      if (protocol === 'http/1.1') expect(lines.get('host')).toBe(authority);
      return lines;
    }

    test.each([
      ['hub', 'nominated'],
      ['hub', 'plain'],
      ['direct', 'nominated'],
      ['direct', 'plain'],
    ] as const)('[54] of an ordinary request (%s, %s)', async (door, how) => {
      // The hub itself takes a nominated Audit-Id away, and then there is none to be carried.
      const nominated = door === 'hub' ? nominations.replace('Audit-Id, ', '') : nominations;
      const connection = ['Connection', nominated, 'connection', '', 'Connection', ' , x-nominated'];
      const headers = how === 'nominated' ? [...evilLines, ...connection] : withoutNominated(evilLines);
      const answer = await world()[door].call(proxyPath(name, '/api'), { headers });
      expect(answer.status).toBe(200);
      expect(check(door).has('connection')).toBe(protocol === 'http/1.1');
    });

    test.each([
      ['hub', 'GET', 'websocket', 'nominated'],
      ['hub', 'POST', 'SPDY/3.1', 'plain'],
      ['direct', 'GET', 'WebSocket', 'nominated'],
      ['direct', 'GET', 'websocket', 'plain'],
      ['direct', 'POST', 'SPDY/3.1', 'nominated'],
      ['direct', 'POST', 'SPDY/3.1', 'plain'],
    ] as const)('[54] of an upgrade (%s, %s to %s, %s)', async (door, method, upgrade, how) => {
      const more = how === 'nominated' ? `, ${nominations}` : '';
      const lines = [
        ...['Host', 'x', 'Connection', `Upgrade${more}`, 'Upgrade', upgrade],
        ...(how === 'nominated' ? evilLines : withoutNominated(evilLines)),
        ...['Sec-WebSocket-Key', 'AAAAAAAAAAAAAAAAAAAAAA==', 'Sec-WebSocket-Version', '13'],
        ...['Sec-WebSocket-Protocol', `${bearer('evil')}, v5.channel.k8s.io`],
      ];
      const said = await world()[door].raw(
        `${method} ${proxyPath(name, '/exec')} HTTP/1.1\r\n${head(lines)}`,
        300,
      );
      expect(said).toMatch(/^HTTP\/1\.1 101 /);
      const seen = check(door);
      expect(seen.get('content-length') ?? '0').toBe('0');
      expect(seen.get('sec-websocket-protocol')).toBe('v5.channel.k8s.io');
      expect(seen.get('connection')?.toLowerCase()).toBe('upgrade');
    });

    test.each([
      ['Impersonate-User', 403],
      ['impersonate-group', 400],
      ['IMPERSONATE-Extra-x', 400],
      ['Impersonate-Future', 400],
    ])('%s of a direct caller who may not is refused, plain and as an upgrade', async (line, code) => {
      const path = proxyPath(name, '/api');
      const lines = [line, 'evil', 'Connection', line];
      expect((await world().direct.call(path, { headers: lines })).status).toBe(code);
      const upgrade = ['Host', 'x', 'Upgrade', 'websocket', 'Connection', `Upgrade, ${line}`, line, 'evil'];
      expect(await world().direct.raw(`GET ${path} HTTP/1.1\r\n${head(upgrade)}`)).toMatch(
        new RegExp(`^HTTP/1\\.1 ${code} `),
      );
      expect(target.requests).toEqual([]);
    });

    test('[55] what the hub has impersonated is not carried on', async () => {
      const headers = [
        ...['Impersonate-User', 'evil', 'Impersonate-Group', 'system:masters', 'Impersonate-Uid', 'evil'],
        ...['Impersonate-Extra-Evil', 'evil', 'Impersonate-Future', 'evil', 'X-Kept', 'kept'],
        ...['Audit-Id', 'audit-of-the-caller'],
      ];
      expect((await world().hub.call(proxyPath(name, '/api'), { headers })).status).toBe(200);
      check('hub');
    });
  });
}

/** The line that only a nomination keeps from the target is left out. */
function withoutNominated(lines: readonly string[]): readonly string[] {
  return lines.filter((_, i) => lines[i - (i % 2)] !== 'X-Nominated');
}

function head(lines: readonly string[]): string {
  const text = lines.map((line, i) => (i % 2 === 0 ? `${line}: ` : `${line}\r\n`));
  return `${text.join('')}\r\n`;
}
