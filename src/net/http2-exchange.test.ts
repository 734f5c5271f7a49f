import { once } from 'node:events';
import { constants } from 'node:http2';
import type { ServerHttp2Stream } from 'node:http2';
import { PassThrough, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { Failure } from '../base/failure.ts';
import { frame } from './testing/http2-frames.ts';
import { frames, startRawHttp2 } from './testing/raw-http2.ts';
import { countStreams, failureOf, writeBytes } from './testing/streams.ts';
import { eventually, startHttp2 } from './testing/servers.ts';
import { get, textOf, transportTo } from './testing/transports.ts';

const { NGHTTP2_CANCEL } = constants;

const answerOk = (stream: ServerHttp2Stream) => {
  stream.respond({ ':status': 200 });
  stream.end('ok');
};

describe('abort', () => {
  test('resets the stream before the answer, during it, and frees the place', async () => {
    const { server, address, accepted } = await startHttp2({ settings: { maxConcurrentStreams: 2 } });
    const counts = countStreams(server);
    server.on('stream', (stream, headers) => {
      if (headers[':path'] === '/silent') return;
      stream.respond();
      stream.write('half');
    });
    const transport = await transportTo(address, { limits: { maxSessions: 1 } });
    for (let count = 0; count < 10; count += 1) {
      const controller = new AbortController();
      const silent = failureOf(transport.request(get('/silent', { signal: controller.signal })));
      const { body } = await transport.request(get('/half', { signal: controller.signal }));
      await once(body, 'data');
      const reading = failureOf(buffer(body));
      controller.abort();
      expect((await silent).kind).toBe('cancelled');
      expect((await reading).kind).toBe('cancelled');
    }
    await eventually(() => counts.open() === 0);
    expect(counts.resets).toEqual(Array.from({ length: 20 }, () => NGHTTP2_CANCEL));
    expect(accepted()).toBe(1);
  });

  test('the reason is kept when it is a Failure', async () => {
    const { server, address } = await startHttp2();
    server.on('stream', () => undefined);
    const transport = await transportTo(address);
    const controller = new AbortController();
    const failing = failureOf(transport.request(get('/', { signal: controller.signal })));
    setTimeout(() => controller.abort(new Failure('timeout', 'no answer')), 20);
    expect(await failing).toMatchObject({ kind: 'timeout', message: 'no answer' });
  });

  test('destroying a body, in a data listener or before any, resets the stream', async () => {
    const { server, address } = await startHttp2();
    const counts = countStreams(server);
    server.on('stream', (stream) => {
      stream.respond();
      writeBytes(stream, 10_000_000);
    });
    const transport = await transportTo(address);
    const first = await transport.request(get('/'));
    first.body.once('data', () => first.body.destroy());
    const second = await transport.request(get('/'));
    second.body.destroy();
    await eventually(() => counts.resets.length === 2 && counts.open() === 0);
    expect(counts.resets).toEqual([NGHTTP2_CANCEL, NGHTTP2_CANCEL]);
  });

  test('a body that is whole but unread frees its place when destroyed', async () => {
    const { server, address } = await startHttp2({ settings: { maxConcurrentStreams: 1 } });
    server.on('stream', (stream) => {
      stream.respond();
      stream.end(Buffer.alloc(200_000));
    });
    const transport = await transportTo(address, { limits: { maxSessions: 1 } });
    for (let count = 0; count < 5; count += 1) {
      const { body } = await transport.request(get('/'));
      await sleep(20);
      body.destroy();
    }
  });

  test('no listener is left on a signal that outlives its requests', async () => {
    const { server, address } = await startHttp2();
    server.on('stream', (stream, headers) => {
      if (headers[':method'] === 'HEAD') stream.respond({ ':status': 200 }, { endStream: true });
      else answerOk(stream);
    });
    const transport = await transportTo(address);
    const listeners = new Set<unknown>();
    const controller = new AbortController();
    const { signal } = controller;
    const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)];
    signal.addEventListener = (...all: Parameters<typeof add>) => {
      listeners.add(all[1]);
      add(...all);
    };
    signal.removeEventListener = (...all: Parameters<typeof remove>) => {
      listeners.delete(all[1]);
      remove(...all);
    };
    for (let count = 0; count < 20; count += 1) {
      await textOf(await transport.request(get('/', { signal })));
      // Nobody reads what has no body.
      await transport.request(get('/', { method: 'HEAD', signal }));
    }
    await eventually(() => listeners.size === 0);
  });

  test('a dial that nobody waits for is cancelled', async () => {
    const dialled = Promise.withResolvers<AbortSignal>();
    const transport = await transportTo(
      { host: '127.0.0.1', port: 1 },
      {
        dial: (_address, signal) => {
          dialled.resolve(signal);
          return new Promise((_, reject) => {
            signal.addEventListener('abort', () => reject(new Failure('cancelled', 'context canceled')));
          });
        },
      },
    );
    const [one, other] = [new AbortController(), new AbortController()];
    const failures = [one, other].map(({ signal }) => failureOf(transport.request(get('/', { signal }))));
    one.abort();
    const signal = await dialled.promise;
    expect(signal.aborted).toBe(false);
    other.abort();
    expect(signal.aborted).toBe(true);
    for (const failure of await Promise.all(failures)) expect(failure.kind).toBe('cancelled');
  });
});

describe('bodies', () => {
  test('50 MB come back intact', async () => {
    const { server, address } = await startHttp2();
    server.on('stream', (stream) => {
      stream.respond();
      writeBytes(stream, 50_000_000);
    });
    const transport = await transportTo(address);
    const { body } = await transport.request(get('/'));
    const bytes = await buffer(body);
    expect(bytes.length).toBe(50_000_000);
    expect(bytes.every((byte) => byte === 7)).toBe(true);
  });

  test('20 MB go out intact, with back-pressure', async () => {
    const { server, address } = await startHttp2();
    server.on('stream', (stream) => {
      let count = 0;
      stream.on('data', (chunk: Buffer) => (count += chunk.length));
      stream.on('end', () => {
        stream.respond();
        stream.end(String(count));
      });
    });
    const transport = await transportTo(address);
    const body = Readable.from(Array.from({ length: 320 }, () => Buffer.alloc(65_536)));
    const response = await transport.request(get('/', { method: 'POST', body }));
    expect(await textOf(response)).toBe(String(320 * 65_536));
  });

  test('a target that stopped reading stops the caller too', async () => {
    const { server, address } = await startHttp2();
    server.on('stream', () => undefined);
    const transport = await transportTo(address);
    let taken = 0;
    const body = new Readable({
      read() {
        taken += 65_536;
        this.push(Buffer.alloc(65_536));
      },
    });
    const controller = new AbortController();
    const { signal } = controller;
    const failing = failureOf(transport.request(get('/', { method: 'POST', body, signal })));
    await eventually(() => taken > 65_536);
    await sleep(100);
    expect(taken).toBeLessThan(2_000_000);
    controller.abort();
    expect((await failing).kind).toBe('cancelled');
    body.destroy();
  });

  test('a reader that stopped holds no more than its window, and no other reader', async () => {
    const { server, address } = await startHttp2();
    let written = 0;
    server.on('stream', (stream, headers) => {
      stream.respond();
      if (headers[':path'] === '/ok') {
        writeBytes(stream, 20_000_000);
        return;
      }
      const chunk = Buffer.alloc(65_536);
      const more = () => {
        do written += chunk.length;
        while (stream.write(chunk));
      };
      stream.on('drain', more);
      more();
    });
    const transport = await transportTo(address);
    const stopped = await Promise.all(Array.from({ length: 20 }, () => transport.request(get('/endless'))));
    await sleep(300);
    expect(written).toBeGreaterThan(20 * 1_000_000);
    expect(written).toBeLessThan(20 * 3_000_000);
    // 20 × 2 MiB are more than the session's window: were they not given back, this would stand still.
    const { body } = await transport.request(get('/ok'));
    expect((await buffer(body)).length).toBe(20_000_000);
    expect(transport.connections().http2).toBe(1);
    for (const { body: endless } of stopped) endless.destroy();
  });

  test('an answer before the request’s end ends the request', async () => {
    const { server, address } = await startHttp2();
    const counts = countStreams(server);
    server.on('stream', (stream) => {
      stream.respond({ ':status': 413 });
      stream.end('too large');
    });
    const transport = await transportTo(address);
    const body = new PassThrough();
    const feeding = setInterval(() => body.write(Buffer.alloc(65_536)), 1);
    const response = await transport.request(get('/', { method: 'POST', body }));
    expect(response.status).toBe(413);
    expect(await textOf(response)).toBe('too large');
    await eventually(() => counts.open() === 0);
    clearInterval(feeding);
    body.destroy(new Error('after the answer: nobody is there to hear it'));
  });

  test('a request body that fails resets the stream', async () => {
    const { server, address } = await startHttp2();
    const counts = countStreams(server);
    server.on('stream', (stream) => stream.resume());
    const transport = await transportTo(address);
    for (const error of [new Error('caller hung up'), undefined]) {
      const body = new PassThrough();
      body.write('x');
      server.once('stream', () => setTimeout(() => body.destroy(error), 30));
      const failure = await failureOf(transport.request(get('/', { method: 'POST', body })));
      expect(failure.kind).toBe('cancelled');
    }
    await eventually(() => counts.open() === 0);
    expect(counts.resets).toEqual([NGHTTP2_CANCEL, NGHTTP2_CANCEL]);
  });

  test('HEAD, 204, 304 need no reading; trailers and 1xx', async () => {
    const { server, address } = await startHttp2({ settings: { maxConcurrentStreams: 1 } });
    server.on('stream', (stream, headers) => {
      const path = headers[':path'] ?? '';
      stream.additionalHeaders({ ':status': 103, link: '</x>' });
      if (path === '/trailers') {
        stream.respond({ ':status': 200 }, { waitForTrailers: true });
        stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': 'abc' }));
        stream.end('body');
      } else stream.respond({ ':status': Number(path.slice(1)) }, { endStream: true });
    });
    const transport = await transportTo(address, { limits: { maxSessions: 1 } });
    for (const status of [200, 204, 304]) {
      const response = await transport.request(get(`/${status}`, { method: 'HEAD' }));
      expect(response.status).toBe(status);
    }
    const response = await transport.request(get('/trailers'));
    expect(await textOf(response)).toBe('body');
    expect(response.trailers()).toEqual(['x-sum', 'abc']);
  });
});

test('the length of a body that a HEAD leaves out is not waited for', async () => {
  const { address } = await startRawHttp2((socket, stream) => {
    // `content-length: 5` as a literal of HPACK, then an empty DATA frame ends the stream.
    const payload = Buffer.from([0x88, 0x0f, 0x0d, 1, 0x35]);
    socket.write(Buffer.concat([frame(1, 4, { stream, payload }), frames.data(stream, '', true)]));
  });
  const transport = await transportTo(address);
  const response = await transport.request(get('/', { method: 'HEAD' }));
  expect(response.headers).toEqual(['content-length', '5']);
  expect(await textOf(response)).toBe('');
});

describe('headers', () => {
  test('many and large ones pass both ways', async () => {
    const { server, address } = await startHttp2({
      maxHeaderListPairs: 5000,
      maxSendHeaderBlockLength: 1_000_000,
    });
    server.on('stream', (stream, headers) => {
      const groups = headers['impersonate-group'];
      stream.respond({
        'x-count': String(groups).split(', ').length,
        'x-many': Array<string>(1500).fill('y'.repeat(100)),
      });
      stream.end();
    });
    const transport = await transportTo(address);
    const headers = Array.from({ length: 1500 }, (_, at) => [
      'impersonate-group',
      `group-${at}-${'z'.repeat(60)}`,
    ]).flat();
    const response = await transport.request(get('/', { headers }));
    expect(response.headers).toContain('1500');
    expect(response.headers.filter((name) => name === 'x-many')).toHaveLength(1500);
    response.body.destroy();
  });

  test.each([
    ['a line feed in a value', { headers: ['x-a', 'b\nimpersonate-user: admin'] }],
    ['a zero byte in a value', { headers: ['x-a', 'b\0impersonate-user\0admin\0'] }],
    ['what is cut to a line feed in latin1', { headers: ['x-a', 'bĊ'] }],
    ['a pseudo header', { headers: [':path', '/other'] }],
    ['a name that is none', { headers: ['x a', 'b'] }],
    ['a hop-by-hop header', { headers: ['connection', 'close'] }],
    ['a line feed in the target', { target: '/\n' }],
    ['an absolute target', { target: 'http://evil.test/' }],
    ['a method with a space', { method: 'GET /' }],
    ['a host with a line feed', { authority: 'a\r\nb' }],
    ['more than a server takes', { headers: Array<string>(200).fill('x'.repeat(10_000)) }],
  ])('never sends %s', async (_what, more) => {
    const { server, address } = await startHttp2();
    const counts = countStreams(server);
    server.on('stream', answerOk);
    const transport = await transportTo(address);
    await textOf(await transport.request(get('/')));
    await failureOf(transport.request(get('/', more)));
    expect(await textOf(await transport.request(get('/')))).toBe('ok');
    expect(counts.total()).toBe(2);
    expect(transport.connections().http2).toBe(1);
  });
});
