import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { onProxy, userWith } from '../scenarios/inner-authorization-rights.ts';
import type { Client } from '../scenarios/registration-client.ts';
import { type GatewayWorld, proxyPath } from '../scenarios/registration-world.ts';
import { markedPath, newMark, type Witness } from './witness.ts';

/** How a request goes: as an ordinary one, or with its upgrade. */
const ways = ['plain', 'websocket', 'SPDY/3.1'] as const;
type Way = (typeof ways)[number];

/** Lines that ask for headers to be taken away: `Upgrade` stands in `*`, where the request is one. */
const nominations: readonly (readonly string[])[] = [
  ['Impersonate-User*'],
  ['', 'Impersonate-User*'],
  ['*', 'Impersonate-User', 'Impersonate-Group'],
  [' \t, impersonate-USER ,\t,IMPERSONATE-GROUP,*'],
  ['Authorization, Impersonate-User, Impersonate-Group, Impersonate-Uid, Impersonate-Extra-Scopes*'],
  ['authorization*', 'authorization'],
  ['Audit-Id, X-Cluster-Gateway-Hops, X-Forwarded-For, Host, Transfer-Encoding, Content-Length*'],
];

/** Headers with which jane, who may impersonate nobody, would be somebody else. */
const borrowed: readonly (readonly string[])[] = [
  ['Impersonate-User', 'system:admin'],
  ['iMPERSONATE-uSER', 'system:admin'],
  ['Impersonate-Group', 'system:masters'],
  ['Impersonate-User', '', 'Impersonate-Group', 'system:masters'],
  ['Impersonate-User', 'jane', 'Impersonate-Group', 'system:masters'],
  ['Impersonate-Uid', '0'],
  ['Impersonate-Extra-Foo', 'evil'],
  ['Impersonate-Extra-', 'evil'],
  ['Impersonate-Future', 'evil'],
  ['Impersonate-', 'evil'],
];

/** Lines that no server of Kubernetes reads, and that harm nobody as long as none does. */
const lookalikes: readonly (readonly string[])[] = [
  ['Impersonate_User', 'system:admin', 'Impersonate_Group', 'system:masters'],
  ['X-Remote-User', 'system:admin', 'X-Remote-Group', 'system:masters', 'X-Remote-Uid', '0'],
  ['X_Remote_User', 'system:admin'],
  ['X-Original-User', 'system:admin', 'X-Forwarded-User', 'system:admin'],
  [
    'X-HTTP-Method-Override',
    'DELETE',
    'X-Original-URL',
    '/api/v1/secrets',
    'X-Rewrite-URL',
    '/api/v1/secrets',
  ],
  ['Cookie', 'Impersonate-User=system:admin'],
];

/** Sends a request as somebody would who writes it by hand; gives its status. */
async function send(client: Client, way: Way, path: string, lines: readonly string[]): Promise<number> {
  const upgrade = [
    'Upgrade',
    way,
    'Sec-WebSocket-Key',
    'AAAAAAAAAAAAAAAAAAAAAA==',
    'Sec-WebSocket-Version',
    '13',
  ];
  const all = ['Host', 'x', ...lines, ...(way === 'plain' ? [] : upgrade)];
  const text = all.map((each, i) => (i % 2 === 0 ? `${each}: ` : `${each}\r\n`)).join('');
  const said = await client.raw(
    `${way === 'SPDY/3.1' ? 'POST' : 'GET'} ${path} HTTP/1.1\r\n${text}\r\n`,
    400,
  );
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(said)?.[1]);
}

const connection = (way: Way): readonly string[] => (way === 'plain' ? [] : ['Connection', 'Upgrade']);

/** Callers who try to lose or to change who they are at the cluster. */
export function describeImpersonation(world: () => GatewayWorld, a: Witness): void {
  describe('jane, who is impersonated at the cluster', () => {
    const jane = { credential: 'gateway-at-a', user: 'jane', groups: [] };
    const clients = new Map<string, Client>();
    beforeAll(async () => {
      for (const { door, client } of await userWith(world(), 'jane', [onProxy(['get', 'create'])]))
        clients.set(door, client);
    });
    afterAll(() => {
      for (const client of clients.values()) client.close();
    });

    describe.each(['hub', 'direct'])('through %s', (door) => {
      const caller = (): Client => {
        const client = clients.get(door);
        if (client === undefined) throw new Error(`jane has no client for ${door}`);
        return client;
      };

      describe.each(ways)('%s', (way) => {
        test.each(nominations.map((lines) => [lines]))(
          'Connection: %j takes nothing of her identity away',
          async (lines) => {
            const mark = newMark();
            const named = lines.map((line) => line.replace('*', way === 'plain' ? '' : ', Upgrade'));
            await send(
              ...([caller(), way, proxyPath('a', markedPath(mark))] as const),
              named.flatMap((line) => ['Connection', line]),
            );
            const arrived = await a.arrivedBefore(world().direct, mark);
            expect(arrived).toMatchObject([jane]);
          },
        );

        test.each(borrowed.map((lines) => [lines]))('%j makes her nobody else', async (lines) => {
          const mark = newMark();
          const status = await send(caller(), way, proxyPath('a', markedPath(mark)), [
            ...connection(way),
            ...lines,
          ]);
          const arrived = await a.arrivedBefore(world().direct, mark);
          // The hub passes what it does not know of; then the gateway leaves it out. All else is refused.
          if (arrived.length > 0) expect(door).toBe('hub');
          else expect([400, 403, 500]).toContain(status);
          for (const each of arrived) expect(each).toMatchObject(jane);
          if (door === 'direct') expect([400, 403]).toContain(status);
        });

        test.each(lookalikes.map((lines) => [lines]))('%j means nothing', async (lines) => {
          const mark = newMark();
          await send(caller(), way, proxyPath('a', markedPath(mark)), [...connection(way), ...lines]);
          const arrived = await a.arrivedBefore(world().direct, mark);
          expect(arrived).toMatchObject([
            { ...jane, uri: expect.stringContaining(markedPath(mark)) as string },
          ]);
        });
      });
    });
  });
}
