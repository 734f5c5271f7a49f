import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { PassThrough, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { createTransport } from './create-transport.ts';
import { createTcpDial } from './dial-tcp.ts';
import { eventually, listen, onTestEnd, startHttps, startTcp } from './testing/servers.ts';
import { failureOf } from './testing/streams.ts';
import { get, textOf, transportTo } from './testing/transports.ts';
import type { Address } from './dial.ts';

const ok: RequestListener = (_request, response) => response.end('ok');

async function bodyOf(request: IncomingMessage): Promise<string> {
  return (await buffer(request)).toString();
}

function plainTransportTo(address: Address) {
  const transport = createTransport({ address, dial: createTcpDial() });
  onTestEnd(() => transport.destroy());
  return transport;
}

describe('a target without HTTP/2', () => {
  test('1,000 requests one after the other use one connection, the one that told', async () => {
    const { server, address, accepted } = await startHttps();
    server.on('request', ok);
    const transport = await transportTo(address);
    for (let count = 0; count < 1000; count += 1)
      expect(await textOf(await transport.request(get('/')))).toBe('ok');
    expect(accepted()).toBe(1);
    expect(transport.connections()).toEqual({ http2: 0, http1: 1, upgraded: 0 });
  });

  test('many at once share a bounded number of connections; too many fail at once', async () => {
    const { server, address, accepted } = await startHttps();
    server.on('request', (_request, response) => void sleep(20).then(() => response.end('ok')));
    const transport = await transportTo(address, { limits: { maxSockets: 5, maxWaiting: 50 } });
    await textOf(await transport.request(get('/')));
    const answers = await Promise.allSettled(
      Array.from({ length: 60 }, async () => textOf(await transport.request(get('/')))),
    );
    expect(answers.filter(({ status }) => status === 'fulfilled')).toHaveLength(55);
    expect(accepted()).toBeLessThanOrEqual(6);
  });

  test('watches leave the connections of short requests alone', async () => {
    const { server, address } = await startHttps();
    server.on('request', (request, response) => {
      if (request.url === '/watch') response.write('event');
      else response.end('ok');
    });
    const transport = await transportTo(address, { limits: { maxSockets: 5 } });
    const watches = await Promise.all(
      Array.from({ length: 5 }, () => transport.request(get('/watch', { longRunning: true }))),
    );
    expect(await textOf(await transport.request(get('/')))).toBe('ok');
    for (const { body } of watches) body.destroy();
  });

  test('the target goes byte for byte, headers in order', async () => {
    const seen: string[] = [];
    const { address } = await startTcp((socket) => {
      socket.once('data', (data) => {
        seen.push(data.toString('latin1'));
        socket.end('HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: é\r\nContent-Length: 0\r\n\r\n', 'latin1');
      });
    });
    const transport = plainTransportTo(address);
    const response = await transport.request(
      get('/a%2Fb//../c?d="é<>|`^{}\\', { headers: ['X-B', '2', 'x-b', '1'], authority: 'h.test:1' }),
    );
    expect(seen[0]).toBe(
      'GET /a%2Fb//../c?d="é<>|`^{}\\ HTTP/1.1\r\nHost: h.test:1\r\nX-B: 2\r\nx-b: 1\r\nConnection: keep-alive\r\n\r\n',
    );
    expect(response.headers.slice(0, 4)).toEqual(['X-A', '1', 'x-a', 'é']);
    response.body.destroy();
  });

  test.each([
    ['POST', undefined, ['content-length', '0']],
    ['POST', 'text', ['transfer-encoding', 'chunked']],
    ['DELETE', 'text', ['transfer-encoding', 'chunked']],
    ['GET', undefined, []],
  ])('frames %s with body %s', async (method, text, framing) => {
    const { server, address } = await startHttps();
    server.on('request', (request, response) => {
      void bodyOf(request).then((body) => response.end(JSON.stringify([request.headers, body])));
    });
    const transport = await transportTo(address);
    const body = text === undefined ? {} : { body: Readable.from([Buffer.from(text)]) };
    const response = await transport.request(get('/', { method, ...body }));
    const [headers, echoed] = JSON.parse(await textOf(response)) as [Record<string, string>, string];
    expect(echoed).toBe(text ?? '');
    const [name, value] = framing;
    if (name !== undefined) expect(headers[name]).toBe(value);
    else expect(headers).not.toHaveProperty('transfer-encoding');
  });

  test('50 MB come back intact, 20 MB go out', async () => {
    const { server, address } = await startHttps();
    server.on('request', (request, response) => {
      if (request.method === 'POST') void bodyOf(request).then((body) => response.end(String(body.length)));
      else response.end(Buffer.alloc(50_000_000, 7));
    });
    const transport = await transportTo(address);
    const bytes = await buffer((await transport.request(get('/'))).body);
    expect(bytes.length).toBe(50_000_000);
    const body = Readable.from(Array.from({ length: 320 }, () => Buffer.alloc(65_536)));
    const headers = ['Content-Length', String(320 * 65_536)];
    const response = await transport.request(get('/', { method: 'POST', body, headers }));
    expect(await textOf(response)).toBe(String(320 * 65_536));
  });

  test('a body of another length than promised is no second request', async () => {
    const urls: (string | undefined)[] = [];
    const { server, address } = await startHttps();
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      urls.push(request.url);
      request.on('error', () => undefined);
      request.resume().on('end', () => response.end('ok'));
    });
    const transport = await transportTo(address);
    for (const text of ['12345GET /evil HTTP/1.1\r\nHost: x\r\n\r\n', '1234']) {
      const body = Readable.from([Buffer.from(text)]);
      const headers = ['Content-Length', '5'];
      const failure = await failureOf(transport.request(get('/a', { method: 'POST', body, headers })));
      expect(failure.message).toContain('ContentLength');
    }
    expect(await textOf(await transport.request(get('/b')))).toBe('ok');
    expect(urls.filter((url) => url === '/evil')).toEqual([]);
    const headers = ['Content-Length', '5'];
    expect((await failureOf(transport.request(get('/', { headers })))).kind).toBe('refused');
  });

  test('an answer before the request’s end ends the request and its connection', async () => {
    const { server, address } = await startHttps();
    server.on('request', (_request, response) => response.writeHead(413).end('too large'));
    const transport = await transportTo(address);
    const body = new PassThrough();
    const feeding = setInterval(() => body.write(Buffer.alloc(65_536)), 1);
    const response = await transport.request(get('/', { method: 'POST', body }));
    expect(response.status).toBe(413);
    expect(await textOf(response)).toBe('too large');
    await eventually(() => transport.connections().http1 === 0);
    clearInterval(feeding);
    body.destroy();
  });

  test('HEAD, 204, 304 and trailers', async () => {
    const { server, address } = await startHttps();
    server.on('request', (request, response) => {
      response.writeProcessing();
      if (request.url === '/trailers') {
        response.writeHead(200, { Trailer: 'X-Sum' });
        response.write('body');
        response.addTrailers({ 'X-Sum': 'abc' });
      } else response.writeHead(Number(request.url?.slice(1)), { 'X-Length': '5' });
      response.end();
    });
    const transport = await transportTo(address);
    for (const status of [200, 204, 304]) {
      const response = await transport.request(get(`/${status}`, { method: 'HEAD' }));
      expect(response.status).toBe(status);
      expect(await textOf(response)).toBe('');
    }
    const response = await transport.request(get('/trailers'));
    expect(await textOf(response)).toBe('body');
    expect(response.trailers()).toEqual(['X-Sum', 'abc']);
    expect(transport.connections().http1).toBe(1);
  });

  test('close lets the running end', async () => {
    const { server, address } = await startHttps();
    server.on('request', (_request, response) => void sleep(100).then(() => response.end('ok')));
    const transport = await transportTo(address);
    const running = transport.request(get('/'));
    await sleep(50);
    const closing = transport.close();
    expect((await failureOf(transport.request(get('/')))).message).toContain('closed');
    expect(await textOf(await running)).toBe('ok');
    await closing;
    expect(transport.connections().http1).toBe(0);
  });
});

describe('connections that end', () => {
  /** Answers the first request of each connection, and closes it when the second comes. */
  async function startStale() {
    const seen: string[] = [];
    const { address, accepted } = await startTcp((socket) => {
      socket.on('data', (data) => {
        seen.push(data.toString().split(' ')[0] ?? '');
        if (socket.bytesRead > data.length) socket.resetAndDestroy();
        else socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
      });
    });
    return { transport: plainTransportTo(address), accepted, seen };
  }

  test('a request that meets a stale connection is sent again', async () => {
    const { transport, accepted, seen } = await startStale();
    for (let count = 0; count < 3; count += 1)
      expect(await textOf(await transport.request(get('/')))).toBe('ok');
    expect(accepted()).toBe(3);
    expect(seen).toEqual(['GET', 'GET', 'GET', 'GET', 'GET']);
  });

  test('the second try does not meet the next stale connection', async () => {
    const { transport, accepted } = await startStale();
    const together = () => Promise.all([1, 2, 3].map(() => transport.request(get('/')).then(textOf)));
    expect(await together()).toEqual(['ok', 'ok', 'ok']);
    await eventually(() => transport.connections().http1 === 3);
    expect(await textOf(await transport.request(get('/')))).toBe('ok');
    expect(accepted()).toBe(4);
  });

  test('but not one that may have changed something', async () => {
    const { transport, seen } = await startStale();
    expect(await textOf(await transport.request(get('/')))).toBe('ok');
    const failure = await failureOf(transport.request(get('/', { method: 'DELETE' })));
    expect(failure).toMatchObject({ kind: 'reset', sent: true });
    expect(seen).toEqual(['GET', 'DELETE']);
  });

  test.each([
    ['before the answer', '', /EOF|reset/],
    ['in its header', 'HTTP/1.1 200 OK\r\nContent-', /EOF|reset/],
    ['nonsense', 'SSH-2.0-OpenSSH\r\n\r\n', /malformed HTTP response/],
    ['a header without end', `HTTP/1.1 200 OK\r\nA: ${'x'.repeat(1_100_000)}`, /too large/],
  ])('%s', async (_what, answer, text) => {
    const { address } = await startTcp((socket) => socket.once('data', () => socket.end(answer)));
    const failure = await failureOf(plainTransportTo(address).request(get('/')));
    expect(failure.kind).toMatch(/reset|too-large/);
    expect(failure.message).toMatch(text);
  });

  test.each([['Content-Length: 10\r\n\r\nhalf'], ['Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n']])(
    'an answer that is cut short does not look whole: %j',
    async (rest) => {
      const { address } = await startTcp((socket) =>
        socket.once('data', () => socket.end(`HTTP/1.1 200 OK\r\n${rest}`)),
      );
      const transport = plainTransportTo(address);
      const { body } = await transport.request(get('/'));
      expect(await failureOf(buffer(body))).toMatchObject({ kind: 'reset', sent: true });
      await eventually(() => transport.connections().http1 === 0);
    },
  );

  test('idle connections close, sooner if the server says so', async () => {
    const server = createServer({ keepAliveTimeout: 60_000 }, ok);
    const { address } = await listen(server);
    const transport = createTransport({ address, dial: createTcpDial(), limits: { idleMs: 50 } });
    onTestEnd(() => transport.destroy());
    await textOf(await transport.request(get('/')));
    expect(transport.connections().http1).toBe(1);
    await eventually(() => transport.connections().http1 === 0);
  });
});

describe('abort', () => {
  test('closes the connection before the answer, during it, and frees the place', async () => {
    const { server, address, sockets } = await startHttps();
    server.on('request', (request, response) => {
      if (request.url === '/half') response.write('half');
    });
    const transport = await transportTo(address, { limits: { maxSockets: 2 } });
    for (let count = 0; count < 5; count += 1) {
      const controller = new AbortController();
      const silent = failureOf(transport.request(get('/silent', { signal: controller.signal })));
      const { body } = await transport.request(get('/half', { signal: controller.signal }));
      await once(body, 'data');
      const reading = failureOf(buffer(body));
      controller.abort();
      expect((await silent).kind).toBe('cancelled');
      expect((await reading).kind).toBe('cancelled');
    }
    await eventually(() => sockets.size === 0);
  });

  test('while waiting for a place, and while dialling', async () => {
    const { address, sockets } = await startTcp((socket: Socket) => socket.resume());
    const transport = createTransport({ address, dial: createTcpDial(), limits: { maxSockets: 1 } });
    onTestEnd(() => transport.destroy());
    const [one, other] = [new AbortController(), new AbortController()];
    const failures = [one, other].map(({ signal }) => failureOf(transport.request(get('/', { signal }))));
    await eventually(() => sockets.size === 1);
    other.abort();
    expect((await failures[1])?.kind).toBe('cancelled');
    one.abort();
    expect((await failures[0])?.kind).toBe('cancelled');
    await eventually(() => sockets.size === 0);
  });

  test('destroying a body closes its connection', async () => {
    const { server, address, sockets } = await startHttps();
    server.on('request', (_request, response) => response.write('half'));
    const transport = await transportTo(address);
    const { body } = await transport.request(get('/'));
    body.destroy();
    await eventually(() => sockets.size === 0 && transport.connections().http1 === 0);
  });
});

describe('what Node would change', () => {
  test('bytes above 0x7f of a header arrive as they are, with and without a body', async () => {
    const { server, address } = await startHttps();
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      request.resume().once('end', () => response.end(request.headers['x-latin']));
    });
    const transport = await transportTo(address);
    for (const body of [undefined, Readable.from([Buffer.from('abc')])]) {
      const request = get('/', { method: 'POST', headers: ['x-latin', '\xe9'], ...(body && { body }) });
      expect(await textOf(await transport.request(request))).toBe('\xe9');
    }
  });

  test('a method in lower case is refused, not sent in capitals', async () => {
    const { server, address } = await startHttps();
    const methods: (string | undefined)[] = [];
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      methods.push(request.method);
      response.end();
    });
    const transport = await transportTo(address);
    const failure = await failureOf(transport.request(get('/', { method: 'delete' })));
    expect(failure).toMatchObject({ kind: 'refused' });
    expect(methods).toEqual([]);
  });
});
