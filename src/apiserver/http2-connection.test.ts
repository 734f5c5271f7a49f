import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { Exchange } from './exchange.ts';
import type { ListenerLimits } from './listener-limits.ts';
import { answerPings, connectRawHttp2, frameTypes, goaways, request } from './testing/raw-http2-client.ts';
import { startListener } from './testing/served.ts';

const ok = (exchange: Exchange) => exchange.respond(200, [], 'ok');
const start = (handle: (exchange: Exchange) => void, limits: Partial<ListenerLimits>) =>
  startListener(handle, { limits });

describe('HTTP/2 peers that are gone', () => {
  test('one that answers no PING is cut with all its streams', async () => {
    let aborted = false;
    const { port } = await start(
      (exchange) => {
        exchange.signal.addEventListener('abort', () => (aborted = true));
        exchange.stream(200, [], { body: new Readable({ read() {} }) });
      },
      { pingIntervalMs: 200 },
    );
    const client = await connectRawHttp2({ port });
    await client.send(request(1));
    expect(await client.ended(3_000)).toBe(true);
    expect(aborted).toBe(true);
  });

  test('one that does, keeps a watch that has no events', async () => {
    const { port } = await start(
      (exchange) => exchange.stream(200, [], { body: new Readable({ read() {} }) }),
      { pingIntervalMs: 100, http2IdleTimeoutMs: 200, headersTimeoutMs: 200, unreadAnswerTimeoutMs: 100 },
    );
    const client = await connectRawHttp2({ port });
    answerPings(client);
    await client.send(request(1));
    await sleep(1_500);
    expect(client.socket.closed).toBe(false);
    expect(goaways(client)).toEqual([]);
    client.close();
  });
});

describe('the end of an HTTP/2 connection loses no request', () => {
  test('--goaway-chance: what runs is answered, and what comes behind is never begun', async () => {
    const exchanges: Exchange[] = [];
    const { port } = await start((exchange) => exchanges.push(exchange), { goawayChance: 1 });
    const client = await connectRawHttp2({ port });
    await client.send(request(1), request(3));
    await expect.poll(() => goaways(client)).toEqual([{ lastStream: 1, code: 0 }]);
    await client.send(request(5, { method: 'POST', endStream: false }));
    await sleep(100);
    expect(exchanges).toHaveLength(1);
    exchanges[0]?.respond(200, [], 'whole');
    expect((await client.next(({ type }) => type === frameTypes.data))?.payload.toString()).toBe('whole');
    expect(await client.ended()).toBe(true);
    expect(exchanges).toHaveLength(1);
  });

  test('--goaway-chance is a chance', async () => {
    const { port } = await start(ok, { goawayChance: 0.02 });
    let [ended, asked] = [0, 0];
    for (; ended < 3 && asked < 5_000; asked += 100) {
      const client = await connectRawHttp2({ port });
      for (let i = 0; i < 100; i += 1) await client.send(request(1 + 2 * i));
      if (await client.next(({ type }) => type === frameTypes.goaway, { timeoutMs: 50 })) ended += 1;
      client.close();
    }
    expect(ended).toBe(3);
  });

  test('a client that calls all the time has each request done once, while its connections grow old', async () => {
    const done = new Map<string, number>();
    const count = (exchange: Exchange) => {
      done.set(exchange.target, (done.get(exchange.target) ?? 0) + 1);
      ok(exchange);
    };
    const { port } = await start(count, { maxConnectionAgeMs: 200, pingIntervalMs: 100 });
    let connections = 0;
    let session: http2.ClientHttp2Session | undefined;
    const post = async (path: string): Promise<boolean> => {
      if (!session || session.closed || session.destroyed) {
        session = http2.connect(`https://localhost:${port}`, { rejectUnauthorized: false });
        session.on('error', () => {});
        connections += 1;
      }
      const stream = session.request({ ':path': path, ':method': 'POST' });
      const answered = once(stream, 'response').then(
        () => true,
        () => false,
      );
      stream.end('x');
      stream.resume();
      if (await answered) return true;
      // The one failure after which a request may be sent again whatever its method (RFC 9113 8.7).
      expect(stream.rstCode).toBe(http2.constants.NGHTTP2_REFUSED_STREAM);
      return false;
    };
    const deadline = performance.now() + 2_000;
    let asked = 0;
    for (; performance.now() < deadline; asked += 1) while (!(await post(`/${asked}`)));
    session?.destroy();
    expect(connections).toBeGreaterThan(3);
    expect([...done.values()].filter((times) => times !== 1)).toEqual([]);
    expect(done.size).toBe(asked);
  });

  test('an old HTTP/1.1 connection ends with its next answer', async () => {
    const { port } = await start(ok, { maxConnectionAgeMs: 150 });
    const agent = new https.Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false });
    const connectionHeader = async () => {
      const [response] = (await once(https.get({ host: '127.0.0.1', port, agent }), 'response')) as [
        IncomingMessage,
      ];
      response.resume();
      await once(response, 'end');
      return response.headers.connection;
    };
    expect(await connectionHeader()).toBe('keep-alive');
    await sleep(200);
    expect(await connectionHeader()).toBe('close');
    expect(await connectionHeader()).toBe('keep-alive');
    agent.destroy();
  });
});
