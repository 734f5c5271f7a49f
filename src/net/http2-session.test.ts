import { constants } from 'node:http2';
import type { ServerHttp2Stream } from 'node:http2';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { splice } from './testing/proxies.ts';
import { frames, startRawHttp2 } from './testing/raw-http2.ts';
import { countStreams, failureOf } from './testing/streams.ts';
import { eventually, startHttp2, startTcp } from './testing/servers.ts';
import { get, textOf, transportTo } from './testing/transports.ts';

const { NGHTTP2_CANCEL, NGHTTP2_REFUSED_STREAM, NGHTTP2_INTERNAL_ERROR } = constants;

const answerOk = (stream: ServerHttp2Stream) => {
  stream.respond({ ':status': 200 });
  stream.end('ok');
};

describe('connections that end', () => {
  test('GOAWAY loses no request: running ones end, new ones go elsewhere', async () => {
    const { server, address, accepted } = await startHttp2();
    const carried = new Map<unknown, number>();
    server.on('stream', (stream) => {
      const { session } = stream;
      const count = (carried.get(session) ?? 0) + 1;
      carried.set(session, count);
      if (count === 15) session?.close();
      void sleep(Math.random() * 20).then(() => answerOk(stream));
    });
    const transport = await transportTo(address);
    const worker = async () => {
      for (let count = 0; count < 40; count += 1)
        expect(await textOf(await transport.request(get('/')))).toBe('ok');
    };
    await Promise.all(Array.from({ length: 20 }, worker));
    expect(accepted()).toBeGreaterThan(20);
  });

  test('a refused stream is sent again, seven times at most', async () => {
    const { server, address } = await startHttp2();
    let refuse = 1;
    server.on('stream', (stream) => {
      if (refuse-- > 0) stream.close(NGHTTP2_REFUSED_STREAM);
      else answerOk(stream);
    });
    const transport = await transportTo(address);
    expect(await textOf(await transport.request(get('/')))).toBe('ok');
    refuse = 7;
    const failure = await failureOf(transport.request(get('/')));
    expect(failure).toMatchObject({ kind: 'reset', sent: false });
    expect(refuse).toBe(0);
  });

  test('a refused request whose body was read is not sent again', async () => {
    const { server, address } = await startHttp2();
    const counts = countStreams(server);
    server.on('stream', (stream) => {
      stream.once('data', () => stream.close(NGHTTP2_REFUSED_STREAM));
    });
    const transport = await transportTo(address);
    const body = new PassThrough();
    body.write('x');
    const failure = await failureOf(transport.request(get('/', { method: 'POST', body })));
    expect(failure.kind).toBe('reset');
    expect(counts.total()).toBe(1);
    body.destroy();
  });

  test('a session that ends with an error: what it never took goes elsewhere, the rest fails', async () => {
    const { server, address } = await startHttp2();
    const streams: ServerHttp2Stream[] = [];
    server.on('stream', (stream, headers) => {
      if (headers[':path'] === '/ok') answerOk(stream);
      else streams.push(stream);
    });
    const transport = await transportTo(address);
    const taken = failureOf(transport.request(get('/hang')));
    const above = transport.request(get('/hang'));
    await eventually(() => streams.length === 2);
    const [first] = streams.splice(0);
    // RFC 9113 §6.8: everything above stream 1 was not processed.
    first?.session?.goaway(NGHTTP2_INTERNAL_ERROR, 1);
    expect(await taken).toMatchObject({ kind: 'reset', sent: true });
    await eventually(() => streams.length === 1);
    for (const stream of streams) answerOk(stream);
    expect(await textOf(await above)).toBe('ok');
  });

  test('a lost connection fails what ran, and the next request finds a new one', async () => {
    const { server, address, sockets } = await startHttp2();
    server.on('stream', (stream, headers) => {
      if (headers[':path'] === '/ok') answerOk(stream);
      else if (headers[':path'] === '/half') {
        stream.respond();
        stream.write('half');
      }
    });
    const transport = await transportTo(address);
    const hanging = failureOf(transport.request(get('/hang')));
    const half = await transport.request(get('/half'));
    const reading = failureOf(buffer(half.body));
    await sleep(20);
    for (const socket of sockets) socket.resetAndDestroy();
    expect(await hanging).toMatchObject({ kind: 'reset', sent: true });
    expect(await reading).toMatchObject({ kind: 'reset', sent: true });
    expect(await textOf(await transport.request(get('/ok')))).toBe('ok');
  });

  test.each([
    ['CANCEL', NGHTTP2_CANCEL],
    ['INTERNAL_ERROR', NGHTTP2_INTERNAL_ERROR],
    ['NO_ERROR', 0],
  ])('an answer that is cut short by %s does not look whole', async (_name, code) => {
    const { address } = await startRawHttp2((socket, stream) => {
      socket.write(
        Buffer.concat([frames.ok(stream), frames.data(stream, 'half'), frames.reset(stream, code)]),
      );
    });
    const transport = await transportTo(address);
    const { body } = await transport.request(get('/'));
    expect(await failureOf(buffer(body))).toMatchObject({ kind: 'reset', sent: true });
  });

  test('an answer that breaks before anybody reads it ends no process, and its late reader is told', async () => {
    const { address, sockets } = await startRawHttp2((socket, stream) => {
      socket.write(Buffer.concat([frames.ok(stream), frames.data(stream, 'half')]));
    });
    const transport = await transportTo(address);
    const { body } = await transport.request(get('/'));
    for (const socket of sockets) socket.resetAndDestroy();
    await eventually(() => body.destroyed);
    await sleep(20);
    expect(await failureOf(buffer(body))).toMatchObject({ kind: 'reset', sent: true });
  });

  test('what stands above the last stream of a graceful GOAWAY is sent again', async () => {
    const { address, accepted } = await startRawHttp2((socket, stream) => {
      if (accepted() > 1) socket.write(Buffer.concat([frames.ok(stream), frames.data(stream, 'new', true)]));
      else if (stream === 3)
        socket.write(Buffer.concat([frames.goaway(1, 0), frames.ok(1), frames.data(1, 'old', true)]));
    });
    const transport = await transportTo(address);
    const answers = await Promise.all([transport.request(get('/')), transport.request(get('/'))]);
    expect(await Promise.all(answers.map(textOf))).toEqual(['old', 'new']);
    expect(accepted()).toBe(2);
  });

  test('a session that closes before it says anything fails the dial', async () => {
    const { server, address } = await startHttp2();
    server.on('secureConnection', (socket: Socket) => socket.destroy());
    const transport = await transportTo(address);
    expect(await failureOf(transport.request(get('/')))).toMatchObject({ kind: 'unreachable', sent: false });
  });

  test('a cut network is noticed', async () => {
    const { server, address } = await startHttp2();
    server.on('stream', () => undefined);
    const relayed: Socket[] = [];
    const relay = await startTcp((socket) => {
      const onward = connect(address.port, address.host);
      relayed.push(socket, onward);
      splice(socket, onward);
    });
    const transport = await transportTo(relay.address, {
      limits: { pingIntervalMs: 50, pingTimeoutMs: 200 },
    });
    const hanging = failureOf(transport.request(get('/')));
    await sleep(300);
    for (const socket of relayed) socket.unpipe().pause();
    expect(await hanging).toMatchObject({ kind: 'reset', message: 'http2: client connection lost' });
    for (const socket of relayed) socket.destroy();
  });
});

describe('the end of a transport', () => {
  test('close lets the running end and takes no more', async () => {
    const { server, address } = await startHttp2();
    server.on('stream', (stream) => void sleep(100).then(() => answerOk(stream)));
    const transport = await transportTo(address);
    const running = transport.request(get('/'));
    await eventually(() => transport.connections().http2 === 1);
    await sleep(20);
    const closing = transport.close();
    expect((await failureOf(transport.request(get('/')))).message).toContain('closed');
    expect(await textOf(await running)).toBe('ok');
    await closing;
    expect(transport.connections()).toEqual({ http2: 0, http1: 0, upgraded: 0 });
  });

  test('destroy fails the running', async () => {
    const { server, address } = await startHttp2();
    server.on('stream', () => undefined);
    const transport = await transportTo(address);
    const running = failureOf(transport.request(get('/')));
    await eventually(() => transport.connections().http2 === 1);
    transport.destroy(new Error('the cluster is gone'));
    expect(await running).toMatchObject({ kind: 'reset', message: 'the cluster is gone' });
    await eventually(() => transport.connections().http2 === 0);
  });
});
