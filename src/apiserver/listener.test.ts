import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import { Readable } from 'node:stream';
import { connect } from 'node:tls';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { silentLog } from '../base/log.ts';
import { issueCertificate } from '../pki/issue.ts';
import type { IssuedCertificate } from '../pki/issue.ts';
import type { Exchange } from './exchange.ts';
import { listen } from './listener.ts';
import type { Listener, ListenerOptions } from './listener.ts';

let serving: IssuedCertificate;
let listener: Listener;
beforeAll(async () => {
  serving = await issueCertificate({
    commonName: 'gateway',
    dnsNames: ['localhost'],
    usages: ['serverAuth'],
  });
});
afterEach(() => listener.destroy());

async function start(
  handle: (exchange: Exchange) => void,
  options: Partial<ListenerOptions> = {},
): Promise<number> {
  listener = await listen({
    host: '127.0.0.1',
    port: 0,
    certificate: serving,
    handle,
    log: silentLog,
    ...options,
  });
  return listener.port;
}

interface Answer {
  readonly status: number;
  readonly headers: readonly string[];
  readonly body: string;
}

function overHttp1(port: number, options: https.RequestOptions & { body?: string } = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = https.request(
      { host: '127.0.0.1', port, rejectUnauthorized: false, agent: false, ...options },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.rawHeaders,
            body: Buffer.concat(chunks).toString(),
          }),
        );
      },
    );
    request.on('error', reject);
    request.end(options.body);
  });
}

async function overHttp2(port: number, headers: http2.OutgoingHttpHeaders, body?: string): Promise<Answer> {
  const session = http2.connect(`https://localhost:${port}`, {
    rejectUnauthorized: false,
    maxSendHeaderBlockLength: 1024 * 1024,
  });
  try {
    // Our limits hold once the peer has acknowledged them (RFC 9113 6.5.3): until then a large head is refused with
    // REFUSED_STREAM, on which Go's client sends it again. A PING comes back behind that acknowledgement.
    await once(session, 'remoteSettings');
    await new Promise((resolve) => session.ping(resolve));
    const stream = session.request({ ':path': '/', ...headers }, { endStream: body === undefined });
    if (body !== undefined) stream.end(body);
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    const [response] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
    if (!stream.closed) await once(stream, 'close');
    const lines = Object.entries(response).flatMap(([name, value]) =>
      name.startsWith(':') ? [] : [name, String(value)],
    );
    return { status: Number(response[':status']), headers: lines, body: Buffer.concat(chunks).toString() };
  } finally {
    session.destroy();
  }
}

/** Writes raw bytes on a TLS connection and gives what came back until it closed. */
async function raw(port: number, text: string): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  socket.write(text);
  let said = '';
  socket.on('data', (chunk: Buffer) => (said += chunk.toString()));
  socket.on('error', () => {});
  await once(socket, 'close');
  return said;
}

describe('the listener', () => {
  const echo = (exchange: Exchange) => {
    const chunks: Buffer[] = [];
    const answer = () =>
      exchange.respond(
        200,
        ['x-a', '1', 'x-a', '2', 'content-type', 'application/json'],
        JSON.stringify({
          protocol: exchange.protocol,
          method: exchange.method,
          target: exchange.target,
          headers: exchange.headers,
          body: Buffer.concat(chunks).toString(),
        }),
      );
    if (!exchange.body) answer();
    exchange.body?.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', answer);
  };

  test('HTTP/2 and HTTP/1.1 on one port give the same exchange', async () => {
    const port = await start(echo);
    const one = await overHttp1(port, {
      path: '/a//b/%2e?x=%zz',
      method: 'POST',
      body: 'hi',
      headers: { 'X-B': ['1', '2'] },
    });
    const two = await overHttp2(
      port,
      { ':path': '/a//b/%2e?x=%zz', ':method': 'POST', 'x-b': ['1', '2'] },
      'hi',
    );
    const [first, second] = [one, two].map(
      ({ body }) => JSON.parse(body) as { protocol: string; target: string; headers: string[]; body: string },
    );
    expect(first).toMatchObject({
      protocol: 'HTTP/1.1',
      method: 'POST',
      target: '/a//b/%2e?x=%zz',
      body: 'hi',
    });
    expect(second).toMatchObject({
      protocol: 'HTTP/2.0',
      method: 'POST',
      target: '/a//b/%2e?x=%zz',
      body: 'hi',
    });
    expect(first?.headers.filter((_, i, all) => all[i - (i % 2)] === 'X-B')).toEqual([
      'X-B',
      '1',
      'X-B',
      '2',
    ]);
    expect(second?.headers.filter((_, i, all) => all[i - (i % 2)] === 'x-b')).toEqual([
      'x-b',
      '1',
      'x-b',
      '2',
    ]);
    expect(second?.headers.some((line) => line.startsWith(':'))).toBe(false);
    expect(one.headers.filter((line) => line === 'x-a')).toHaveLength(2);
  });

  test('a user in 1,500 groups gets through on both protocols', async () => {
    const port = await start((exchange) =>
      exchange.respond(
        200,
        [],
        String(exchange.headers.filter((line) => line.toLowerCase() === 'x-remote-group').length),
      ),
    );
    const groups = Array.from({ length: 1500 }, (_, i) => `group-with-a-long-name-${i}`);
    expect((await overHttp1(port, { headers: { 'X-Remote-Group': groups } })).body).toBe('1500');
    expect((await overHttp2(port, { 'x-remote-group': groups })).body).toBe('1500');
  });

  test('a streamed body shows its headers at once, and its abrupt end is told', async () => {
    const bodies: Readable[] = [];
    const port = await start((exchange) => {
      const body = new Readable({ read() {} });
      bodies.push(body);
      exchange.stream(200, [], { body });
    });
    const request = https.get({ host: '127.0.0.1', port, rejectUnauthorized: false, agent: false });
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    bodies[0]?.push('half');
    await once(response, 'data');
    bodies[0]?.destroy(new Error('the target died'));
    await expect(once(response, 'end')).rejects.toThrow('aborted');
  });

  test.each(['http/1.1', 'h2'])(
    '%s: a caller who goes away is told by the signal, and the body ends',
    async (protocol) => {
      const body = new Readable({ read() {} });
      let aborted = false;
      const port = await start((exchange) => {
        exchange.signal.addEventListener('abort', () => (aborted = true));
        exchange.stream(200, [], { body });
      });
      if (protocol === 'h2') {
        const session = http2.connect(`https://localhost:${port}`, { rejectUnauthorized: false });
        const stream = session.request({ ':path': '/' });
        await once(stream, 'response');
        stream.close(http2.constants.NGHTTP2_CANCEL);
        await once(stream, 'close');
        session.destroy();
      } else {
        const request = https.get({ host: '127.0.0.1', port, rejectUnauthorized: false, agent: false });
        request.on('error', () => {});
        await once(request, 'response');
        request.destroy();
      }
      await expect.poll(() => aborted && body.destroyed).toBe(true);
    },
  );

  test('a complete answer does not fire the signal', async () => {
    const signals: AbortSignal[] = [];
    const port = await start((exchange) => {
      signals.push(exchange.signal);
      exchange.respond(200, [], 'ok');
    });
    await overHttp1(port);
    await overHttp2(port, {});
    await sleep(20);
    expect(signals.map((signal) => signal.aborted)).toEqual([false, false]);
  });

  test('an answer to an upgrade is written, and what was pipelined behind it is not read', async () => {
    let requests = 0;
    const port = await start((exchange) => {
      requests += 1;
      exchange.respond(403, ['content-type', 'text/plain', 'content-length', '999'], 'no');
    });
    const said = await raw(
      port,
      'GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nGET /second HTTP/1.1\r\nHost: a\r\n\r\n',
    );
    expect(said).toMatch(/^HTTP\/1.1 403 /);
    expect(said).toMatch(/Content-Length: 2\r\nConnection: close\r\n\r\nno$/);
    expect(requests).toBe(1);
  });

  test.each([
    ['two lengths', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx'],
    [
      'length and chunked',
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    ['no Host', 'GET / HTTP/1.1\r\n\r\n'],
    ['a folded line', 'GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n'],
    ['a space before the colon', 'GET / HTTP/1.1\r\nHost : a\r\n\r\n'],
  ])('%s is refused and never handled', async (_, text) => {
    let handled = 0;
    const port = await start((exchange) => {
      handled += 1;
      exchange.respond(200, []);
    });
    expect(await raw(port, text)).toMatch(/^HTTP\/1.1 400 /);
    expect(handled).toBe(0);
  });

  test('CONNECT closes the connection', async () => {
    const port = await start((exchange) => exchange.respond(200, []));
    expect(await raw(port, 'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n')).toBe('');
  });

  test('a request head that never ends is cut', async () => {
    const port = await start((exchange) => exchange.respond(200, []), { limits: { headersTimeoutMs: 500 } });
    const started = performance.now();
    expect(await raw(port, 'GET / HTTP/1.1\r\nHost: a\r\nX:')).toMatch(/^HTTP\/1.1 408 |^$/);
    expect(performance.now() - started).toBeLessThan(3_000);
  });

  test('close lets what runs end and takes nothing new', async () => {
    const body = new Readable({ read() {} });
    const port = await start((exchange) => exchange.stream(200, [], { body }));
    const session = http2.connect(`https://localhost:${port}`, { rejectUnauthorized: false });
    const stream = session.request({ ':path': '/' });
    await once(stream, 'response');
    const closed = listener.close();
    await once(session, 'goaway');
    await expect(overHttp1(port)).rejects.toThrow('ECONNREFUSED');
    stream.resume();
    body.push('bye');
    body.push(null);
    await once(stream, 'end');
    await closed;
  });

  test('close lets no busy HTTP/1.1 connection stay: the next answer ends it', async () => {
    const held: Exchange[] = [];
    const port = await start((exchange) => {
      if (exchange.target === '/held') held.push(exchange);
      else exchange.respond(200, []);
    });
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    let said = '';
    socket.on('data', (chunk: Buffer) => (said += chunk.toString()));
    socket.write('GET /held HTTP/1.1\r\nHost: a\r\n\r\n');
    await expect.poll(() => held.length).toBe(1);
    const closed = listener.close();
    held[0]?.respond(200, []);
    // As fast as a client can that never stops asking.
    await once(socket, 'data');
    socket.write('GET /next HTTP/1.1\r\nHost: a\r\n\r\n');
    await once(socket, 'close');
    await closed;
    expect(said.split('HTTP/1.1 200').map((answer) => /connection: close/i.test(answer))).toEqual([
      ...[false, false, true],
    ]);
  });

  test('a new certificate is served to new connections', async () => {
    const port = await start((exchange) => exchange.respond(200, []));
    const subject = async () => {
      const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
      await once(socket, 'secureConnect');
      const name = socket.getPeerX509Certificate()?.subject;
      socket.destroy();
      return name;
    };
    expect(await subject()).toBe('CN=gateway');
    listener.setCertificates(await issueCertificate({ commonName: 'rotated', usages: ['serverAuth'] }));
    expect(await subject()).toBe('CN=rotated');
  });

  test('sessions are not resumed', async () => {
    const port = await start((exchange) => exchange.respond(200, []));
    const first = connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
    let session: Buffer | undefined;
    first.on('session', (got) => (session = got));
    await once(first, 'secureConnect');
    await sleep(50);
    const second = connect({
      host: '127.0.0.1',
      port,
      rejectUnauthorized: false,
      ...(session ? { session } : {}),
    });
    await once(second, 'secureConnect');
    expect(second.isSessionReused()).toBe(false);
    first.destroy();
    second.destroy();
  });
});
