import { once } from 'node:events';
import https from 'node:https';
import type { IncomingMessage } from 'node:http';
import { describe, expect, test } from 'vitest';
import { StatusError } from '../kube/status.ts';
import { ANONYMOUS } from '../kube/user-info.ts';
import type { AuthenticatedCaller } from './authenticator.ts';
import { admitting } from './testing/admitting.ts';
import { connectRawHttp2, frameTypes, goaways, request } from './testing/raw-http2-client.ts';
import { startListener } from './testing/served.ts';

const jane = { user: { name: 'jane', groups: ['system:authenticated'] }, frontProxy: false };
const anonymous = { user: ANONYMOUS, frontProxy: false };
const anonymousAtHub = { user: ANONYMOUS, frontProxy: true };
const byHub = { ...jane, frontProxy: true };

/** Authenticates each request as its path says. */
const callers: Record<string, AuthenticatedCaller> = {
  '/jane': jane,
  '/anonymous': anonymous,
  '/anonymous-at-hub': anonymousAtHub,
  '/by-hub': byHub,
};
const start = () =>
  startListener(
    admitting(
      (exchange) => exchange.respond(200, [], exchange.target),
      ({ target }) => {
        const caller = callers[target];
        return caller
          ? Promise.resolve(caller)
          : Promise.reject(new StatusError('Unauthorized', 'Unauthorized'));
      },
    ),
  );

describe('HTTP/2 of callers who have shown nothing (UnauthenticatedHTTP2DOSMitigation)', () => {
  test.each([
    ['/anonymous', '200'],
    ['/nobody', '401'],
  ])('%s is answered %s, and the connection ends', async (path) => {
    const { port } = await start();
    const client = await connectRawHttp2({ port });
    await client.send(request(1, { path }));
    expect(await client.ended()).toBe(true);
    expect(goaways(client)[0]).toEqual({ lastStream: 1, code: 0 });
    const answered = client.received.filter(
      ({ type, flags }) => type === frameTypes.data && (flags & 1) === 1,
    );
    expect(answered).toHaveLength(1);
  });

  test.each([
    ['somebody known', ['/jane', '/jane']],
    ['the hub, also when its user is anonymous', ['/by-hub', '/anonymous-at-hub', '/by-hub']],
    ['the hub, also when a request of its own says nothing', ['/by-hub', '/anonymous', '/nobody', '/by-hub']],
  ])('%s keeps the connection', async (_, paths) => {
    const { port } = await start();
    const client = await connectRawHttp2({ port });
    for (const [i, path] of paths.entries()) {
      const stream = 1 + 2 * i;
      await client.send(request(stream, { path }));
      expect(
        await client.next((each) => each.type === frameTypes.data && each.stream === stream),
      ).toBeDefined();
    }
    expect(goaways(client)).toEqual([]);
    client.close();
  });

  test('over HTTP/1.1 an anonymous caller keeps it, as with kube-apiserver', async () => {
    const { port } = await start();
    const agent = new https.Agent({ keepAlive: true, rejectUnauthorized: false });
    const sent = https.get({ host: '127.0.0.1', port, agent, path: '/anonymous' });
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    response.resume();
    expect(response.headers.connection).toBe('keep-alive');
    agent.destroy();
  });
});
