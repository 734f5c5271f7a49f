import { once } from 'node:events';
import { connect, constants, createServer } from 'node:http2';
import type { ClientHttp2Session, ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import { connect as connectTcp, createServer as createTcpServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { afterEach, describe, expect, test } from 'vitest';
import type { Http2Connection } from './connection.ts';
import { errorCode } from './frame.ts';
import type { Http2Stream } from './stream.ts';
import { seededRandom } from './testing/hpack-random.ts';
import { until } from './testing/joined-sockets.ts';
import { clientOn, serverOn } from './testing/sides.ts';
import type { ClientSide, ServedRequest, SideOptions } from './testing/sides.ts';

const { NGHTTP2_CANCEL, NGHTTP2_REFUSED_STREAM } = constants;
const atEnd: (() => void)[] = [];
afterEach(() => {
  for (const end of atEnd.splice(0)) end();
});

/** Our server, on TCP, and a session of Node's client with it. */
async function nodeClient(
  options: SideOptions,
  onRequest: (request: ServedRequest) => void,
  settings: object = {},
): Promise<{ session: ClientHttp2Session; connections: Http2Connection[] }> {
  const connections: Http2Connection[] = [];
  const server = createTcpServer((socket) => {
    connections.push(serverOn(socket, options, onRequest).connection);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, { settings });
  session.on('error', () => {});
  atEnd.push(
    () => session.destroy(),
    () => server.close(),
  );
  await Promise.all([once(session, 'remoteSettings'), once(session, 'localSettings')]);
  return { session, connections };
}

/** Node's server, on TCP, and our client with it. */
async function nodeServer(
  options: SideOptions,
  onStream: (stream: ServerHttp2Stream, headers: Record<string, unknown>) => void,
  settings: object = {},
): Promise<{ client: ClientSide; sessions: ServerHttp2Session[] }> {
  const server = createServer({ settings });
  const sessions: ServerHttp2Session[] = [];
  server.on('session', (session) => {
    session.on('error', () => {});
    sessions.push(session);
  });
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {});
    onStream(stream, headers);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = connectTcp((server.address() as AddressInfo).port, '127.0.0.1');
  await once(socket, 'connect');
  const client = clientOn(socket, options);
  atEnd.push(
    () => socket.destroy(),
    () => server.close(),
  );
  await until(() => client.owner.settings > 0);
  return { client, sessions };
}

function randomOf(seed: number) {
  const random = seededRandom(seed);
  const below = (count: number) => Math.floor(random() * count);
  const bytes = () => {
    const length = below(random() < 0.2 ? 200_000 : 3_000);
    const body = Buffer.alloc(length);
    for (let at = 0; at < length; at += 1) body[at] = below(256);
    return body;
  };
  return { random, below, bytes };
}

const sum = (body: Buffer) => body.reduce((all, byte) => (all * 31 + byte) >>> 0, body.length);
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits for what is asked, at most so many at once. */
async function someAtOnce(count: number, atOnce: number, ask: (i: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async () => {
    for (let i = (next += 1); i <= count; i = next += 1) await ask(i);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

describe('our server and Node’s client', () => {
  /** Answers with the body it got, and its sum behind it. */
  const echo = ({ stream, recorder, lines }: ServedRequest) => {
    const answer = () => {
      if (stream.closed) return;
      const trailers = ['x-sum', String(sum(recorder.body)), 'x-trailers', recorder.trailers?.join() ?? ''];
      stream.sendHead([':status', '200', 'x-path', lines[lines.indexOf(':path') + 1] ?? ''], false);
      stream.end(recorder.body, trailers);
    };
    const timer = setInterval(() => {
      if (recorder.closed) clearInterval(timer);
      else if (recorder.ended) {
        clearInterval(timer);
        answer();
      }
    }, 1);
  };

  test.each([
    ['as Node has it', {}, {}],
    [
      'with short windows',
      { streamWindowBytes: 2_000, connectionWindowBytes: 65_535, maxUnreadBytes: 1_000 },
      { initialWindowSize: 1_500 },
    ],
    [
      'with large frames and no table',
      {},
      { maxFrameSize: 100_000, headerTableSize: 0, initialWindowSize: 1 << 20 },
    ],
  ])(
    '200 random exchanges on one connection, some of them reset: %s',
    async (_, options, settings) => {
      const { random, below, bytes } = randomOf(7);
      const resets: (number | undefined)[] = [];
      const { session, connections } = await nodeClient(
        options,
        (request) => {
          echo(request);
          request.recorder.onClosed = () => {
            const { code } = request.recorder.closed ?? {};
            if (code !== undefined) resets.push(code);
          };
        },
        settings,
      );
      let cut = 0;
      await someAtOnce(200, 20, async (i) => {
        const body = random() < 0.2 ? undefined : bytes();
        const withTrailers = body !== undefined && random() < 0.3;
        const stream = session.request(
          { ':method': body ? 'POST' : 'GET', ':path': `/${i}`, 'x-some': `line ${below(20)}` },
          { endStream: body === undefined, waitForTrailers: withTrailers },
        );
        stream.on('error', () => {});
        const closed = new Promise((resolve) => stream.on('close', resolve));
        if (withTrailers) stream.on('wantTrailers', () => stream.sendTrailers({ 'x-t': String(i) }));
        if (random() < 0.1) {
          cut += 1;
          if (body) stream.write(body);
          await pause(below(3));
          stream.close(NGHTTP2_CANCEL);
          await closed;
          return;
        }
        const trailers: Record<string, unknown>[] = [];
        stream.on('trailers', (lines: Record<string, unknown>) => trailers.push(lines));
        const answered = once(stream, 'response') as Promise<[Record<string, unknown>]>;
        if (body) stream.end(body);
        const [headers] = await answered;
        const given = await buffer(stream);
        expect([headers[':status'], headers['x-path']]).toEqual([200, `/${i}`]);
        expect(given.equals(body ?? Buffer.alloc(0))).toBe(true);
        expect(trailers[0]).toMatchObject({
          'x-sum': String(sum(given)),
          'x-trailers': withTrailers ? `x-t,${i}` : '',
        });
      });
      await until(() => connections[0]?.openStreams === 0);
      expect(connections).toHaveLength(1);
      expect(connections[0]?.error).toBeUndefined();
      expect(resets.length).toBeLessThanOrEqual(cut);
      expect(new Set(resets)).toEqual(new Set([errorCode.cancel]));
    },
    20_000,
  );

  test('1xx, HEAD, 204, our resets, and too many at once', async () => {
    const { session } = await nodeClient({ maxConcurrentStreams: 4 }, ({ stream, lines }) => {
      const path = lines[lines.indexOf(':path') + 1];
      if (path === '/reset') stream.reset(errorCode.internalError);
      if (path === '/204') stream.sendHead([':status', '204'], true);
      if (path === '/head') stream.sendHead([':status', '200', 'content-length', '77'], true);
      if (path !== '/informed') return;
      stream.sendHead([':status', '103', 'link', '</x>'], false);
      stream.sendHead([':status', '200'], false);
      stream.end(Buffer.from('done'));
    });
    const ask = (path: string, method = 'GET') => session.request({ ':path': path, ':method': method });
    const reset = ask('/reset').on('error', () => {});
    await new Promise((resolve) => reset.on('close', resolve));
    expect(reset.rstCode).toBe(constants.NGHTTP2_INTERNAL_ERROR);
    const informed = ask('/informed');
    const [early] = (await once(informed, 'headers')) as [Record<string, unknown>];
    expect([early[':status'], (await buffer(informed)).toString()]).toEqual([103, 'done']);
    for (const [path, method] of [
      ['/204', 'GET'],
      ['/head', 'HEAD'],
    ] as const) {
      const stream = ask(path, method);
      await once(stream, 'response');
      expect(await buffer(stream)).toHaveLength(0);
    }
    // Node keeps to the limit by itself once it knows it: the fifth waits for a place.
    const held = Array.from({ length: 4 }, () => ask('/silent').on('error', () => {}));
    let isAnswered = false;
    const fifth = ask('/204').on('response', () => (isAnswered = true));
    await pause(30);
    expect(isAnswered).toBe(false);
    held[0]?.close(NGHTTP2_CANCEL);
    await until(() => isAnswered);
    fifth.resume();
    await new Promise((resolve) => session.ping(Buffer.alloc(8), resolve));
    for (const stream of held) stream.close(NGHTTP2_CANCEL);
  });

  test('our GOAWAY lets what runs finish', async () => {
    const streams: Http2Stream[] = [];
    const { session, connections } = await nodeClient({}, ({ stream }) => streams.push(stream));
    const running = session.request({ ':path': '/' });
    const body = buffer(running);
    await until(() => streams.length === 1);
    connections[0]?.finish();
    await once(session, 'goaway');
    streams[0]?.sendHead([':status', '200'], false);
    streams[0]?.end(Buffer.alloc(100_000));
    expect(await body).toHaveLength(100_000);
    await until(() => connections[0]?.closed === true);
  });
});

describe('our client and Node’s server', () => {
  test.each([
    ['as Node has it', {}, {}],
    [
      'with short windows',
      { streamWindowBytes: 2_000, connectionWindowBytes: 65_535, maxUnreadBytes: 1_000 },
      { initialWindowSize: 1_500 },
    ],
    [
      'with large frames and no table',
      {},
      { maxFrameSize: 100_000, headerTableSize: 0, initialWindowSize: 1 << 20 },
    ],
  ])(
    '200 random exchanges on one connection, some of them reset: %s',
    async (_, options, settings) => {
      const { random, below, bytes } = randomOf(8);
      const { client, sessions } = await nodeServer(
        options,
        (stream, headers) => {
          void buffer(stream).then(
            (body) => {
              if (stream.destroyed) return;
              if (headers['x-refuse']) {
                stream.close(NGHTTP2_REFUSED_STREAM);
                return;
              }
              if (random() < 0.3) stream.additionalHeaders({ ':status': 103, link: '</x>' });
              stream.respond(
                { 'x-path': headers[':path'] as string, 'content-length': body.length },
                { waitForTrailers: true },
              );
              stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': String(sum(body)) }));
              stream.end(body);
            },
            () => {},
          );
        },
        settings,
      );
      await someAtOnce(200, 20, async (i) => {
        const kind = random();
        const body = bytes();
        const pseudo = [':method', 'POST', ':scheme', 'http', ':authority', 'x', ':path', `/${i}`];
        const more = kind < 0.05 ? ['x-refuse', 'yes'] : ['x-some', `line ${below(20)}`];
        const { stream, recorder } = client.request([...pseudo, ...more], { endStream: false });
        const closed = new Promise<void>((resolve) => (recorder.onClosed = resolve));
        stream.end(body, random() < 0.3 ? ['x-t', 'u'] : undefined);
        if (kind > 0.9) {
          await pause(below(3));
          stream.reset(errorCode.cancel);
          return;
        }
        await closed;
        if (kind < 0.05) {
          expect(recorder.closed).toEqual({ code: errorCode.refusedStream, byPeer: true });
          return;
        }
        expect(recorder.closed).toEqual({ code: undefined, byPeer: false });
        expect([recorder.status, recorder.lines.slice(0, 2)]).toEqual([200, ['x-path', `/${i}`]]);
        expect(recorder.body.equals(body)).toBe(true);
        expect(recorder.trailers).toEqual(['x-sum', String(sum(body))]);
      });
      expect([client.connection.openStreams, client.connection.error, sessions.length]).toEqual([
        0,
        undefined,
        1,
      ]);
    },
    20_000,
  );

  test('its GOAWAY, and its end', async () => {
    const { client, sessions } = await nodeServer({}, (stream, headers) => {
      if (headers[':path'] !== '/last') return;
      sessions[0]?.close();
      setTimeout(() => {
        stream.respond();
        stream.end('done');
      }, 10);
    });
    const lines = [':method', 'GET', ':scheme', 'http', ':authority', 'x', ':path', '/last'];
    const { recorder } = client.request(lines);
    await until(() => client.connection.closed);
    expect([recorder.body.toString(), recorder.closed]).toEqual(['done', { code: undefined, byPeer: false }]);
  });
});
