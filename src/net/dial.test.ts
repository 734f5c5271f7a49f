import { once } from 'node:events';
import { createServer as createTlsServer } from 'node:tls';
import type { Socket } from 'node:net';
import type { LookupFunction } from 'node:net';
import { describe, expect, test } from 'vitest';
import { Failure } from '../base/failure.ts';
import { createTcpDial } from './dial-tcp.ts';
import { dialFor } from './dial-for.ts';
import type { Address, Dial } from './dial.ts';
import { hostPort } from './node-errors.ts';
import { createClientTls } from './tls.ts';
import { testPki } from './testing/certificates.ts';
import { splice, startConnectProxy, startSocksProxy } from './testing/proxies.ts';
import { eventually, listen, startHttp2, startTcp } from './testing/servers.ts';
import { failureOf } from './testing/streams.ts';
import { get, textOf, transportTo } from './testing/transports.ts';

const never = new AbortController().signal;

/** An address where nothing listens. */
async function deadAddress(): Promise<Address> {
  const { server, address } = await startTcp(() => undefined);
  await new Promise((resolve) => server.close(resolve));
  return address;
}

const echo = (socket: Socket) => socket.pipe(socket);

async function expectEcho(dial: Dial, address: Address): Promise<void> {
  const stream = await dial(address, never);
  stream.write('hello');
  const [chunk] = (await once(stream, 'data')) as [Buffer];
  expect(chunk.toString()).toBe('hello');
  stream.destroy();
}

/** Answers every look-up with this error, or never. */
function brokenLookup(code?: string): LookupFunction {
  return (_host, _options, done) => {
    if (code !== undefined)
      process.nextTick(done, Object.assign(new Error(`getaddrinfo ${code}`), { code }), '', 4);
  };
}

describe('direct TCP', () => {
  test('carries bytes', async () => {
    const { address } = await startTcp(echo);
    await expectEcho(createTcpDial(), address);
    await expectEcho(dialFor(undefined), { ...address, host: 'localhost' });
  });

  test('says in Go’s words that nothing listens', async () => {
    const address = await deadAddress();
    const failure = await failureOf(createTcpDial()(address, never));
    expect(failure.kind).toBe('unreachable');
    expect(failure.message).toBe(`dial tcp 127.0.0.1:${address.port}: connect: connection refused`);
    const byName = await failureOf(createTcpDial()({ ...address, host: 'localhost' }, never));
    expect(byName.message).toMatch(/^dial tcp (127\.0\.0\.1|\[::1\]):\d+: connect: connection refused$/);
  });

  test.each([
    ['ENOTFOUND', 'dial tcp: lookup no.test: no such host'],
    ['EAI_AGAIN', 'dial tcp: lookup no.test: server misbehaving'],
    ['EHOSTUNREACH', 'dial tcp no.test:1: connect: no route to host'],
  ])('%s', async (code, message) => {
    const failure = await failureOf(
      createTcpDial({ lookup: brokenLookup(code) })({ host: 'no.test', port: 1 }, never),
    );
    expect(failure).toMatchObject({ kind: 'unreachable', message, sent: false });
  });

  test('gives up in time', async () => {
    const dial = createTcpDial({ timeoutMs: 30, lookup: brokenLookup() });
    const failure = await failureOf(dial({ host: 'slow.test', port: 443 }, never));
    expect(failure).toMatchObject({ kind: 'timeout', message: 'dial tcp slow.test:443: i/o timeout' });
  });

  test('is cancelled, before and while', async () => {
    const dial = createTcpDial({ lookup: brokenLookup() });
    const before = await failureOf(dial({ host: 'slow.test', port: 1 }, AbortSignal.abort()));
    expect(before.kind).toBe('cancelled');
    const controller = new AbortController();
    const dialling = failureOf(dial({ host: 'slow.test', port: 1 }, controller.signal));
    controller.abort(new Failure('timeout', 'deadline'));
    expect((await dialling).message).toBe('deadline');
  });
});

describe('CONNECT', () => {
  test('carries bytes; the proxy resolves the name and sees the credentials', async () => {
    const { address } = await startTcp(echo);
    const proxy = await startConnectProxy();
    const dial = dialFor(`http://us%40er:p%3Ass@${hostPort(proxy.address)}`);
    await expectEcho(dial, { ...address, host: 'target.test' });
    const credentials = `Basic ${Buffer.from('us@er:p:ss').toString('base64')}`;
    expect(proxy.asked).toEqual([{ target: `target.test:${address.port}`, credentials }]);
  });

  test('works over a proxy that speaks TLS, for a request over HTTP/2', async () => {
    const { ca, server } = await testPki();
    const target = await startHttp2();
    target.server.on('stream', (stream) => {
      stream.respond();
      stream.end('through');
    });
    const plain = await startConnectProxy();
    const { connect } = await import('node:net');
    const tlsProxy = await listen(
      createTlsServer({ key: server.privateKeyPem, cert: server.certificatePem }, (socket) =>
        splice(socket, connect(plain.address.port, '127.0.0.1')),
      ),
    );
    const proxyTls = createClientTls({ ca: ca.certificatePem });
    const transport = await transportTo(target.address, {
      dial: dialFor(`https://${hostPort(tlsProxy.address)}`, { proxyTls }),
    });
    expect(await textOf(await transport.request(get('/')))).toBe('through');
  });

  test('passes on that the proxy refuses, and leaves no socket', async () => {
    const proxy = await startTcp((socket) => {
      socket.resume();
      socket.write('HTTP/1.1 407 Proxy Authentication Required\r\n\r\nno');
    });
    const failure = await failureOf(
      dialFor(`http://u:secret@${hostPort(proxy.address)}`)({ host: 'x.test', port: 443 }, never),
    );
    expect(failure.kind).toBe('refused');
    expect(failure.message).toContain('refused to connect to x.test:443: 407 Proxy Authentication Required');
    expect(failure.message).not.toContain('secret');
    await eventually(() => proxy.sockets.size === 0);
  });

  test.each([
    [
      'endless header',
      (socket: Socket) => socket.write(`HTTP/1.1 200 OK\r\nA: ${'x'.repeat(20_000)}`),
      'too large',
    ],
    ['nonsense', (socket: Socket) => socket.write('SSH-2.0\r\n\r\n'), 'malformed HTTP response'],
    ['closes', (socket: Socket) => socket.end(), 'EOF'],
    ['silence', () => undefined, 'i/o timeout'],
  ])('a proxy that answers with: %s', async (_what, answer, text) => {
    const proxy = await startTcp((socket) => {
      socket.resume();
      answer(socket);
    });
    const dial = dialFor(`http://${hostPort(proxy.address)}`, { timeoutMs: 100 });
    const failure = await failureOf(dial({ host: 'x.test', port: 443 }, never));
    expect(failure.message).toContain(text);
    await eventually(() => proxy.sockets.size === 0);
  });

  test('a dead proxy is told apart from a dead target', async () => {
    const address = await deadAddress();
    const failure = await failureOf(dialFor(`http://${hostPort(address)}`)(address, never));
    expect(failure.message).toMatch(/^proxyconnect tcp: dial tcp .*connection refused$/);
  });

  test('what the target sends together with the answer is not lost', async () => {
    const proxy = await startTcp((socket) => {
      socket.resume();
      socket.write('HTTP/1.1 200 OK\r\n\r\nfirst');
      setTimeout(() => socket.end(' second'), 20);
    });
    const stream = await dialFor(`http://${hostPort(proxy.address)}`)({ host: 'x.test', port: 1 }, never);
    const chunks = await stream.toArray();
    expect(Buffer.concat(chunks as Buffer[]).toString()).toBe('first second');
    stream.destroy();
  });

  test('a cancelled CONNECT leaves no socket', async () => {
    const proxy = await startTcp((socket) => socket.resume());
    const controller = new AbortController();
    const dialling = failureOf(
      dialFor(`http://${hostPort(proxy.address)}`)({ host: 'x.test', port: 1 }, controller.signal),
    );
    await eventually(() => proxy.sockets.size === 1);
    controller.abort();
    expect((await dialling).kind).toBe('cancelled');
    await eventually(() => proxy.sockets.size === 0);
  });
});

describe('SOCKS5', () => {
  test('carries bytes; the proxy resolves the name', async () => {
    const { address } = await startTcp(echo);
    const proxy = await startSocksProxy();
    await expectEcho(dialFor(`socks5://${hostPort(proxy.address)}`), { ...address, host: 'target.test' });
    await expectEcho(dialFor(`socks5h://${hostPort(proxy.address)}`), address);
    expect(proxy.asked.map(({ target }) => target)).toEqual([
      `target.test:${address.port}`,
      `127.0.0.1:${address.port}`,
    ]);
  });

  test('gives user and password', async () => {
    const { address } = await startTcp(echo);
    const proxy = await startSocksProxy('jane:s:cret');
    await expectEcho(dialFor(`socks5://jane:s%3Acret@${hostPort(proxy.address)}`), address);
    const wrong = dialFor(`socks5://jane:wrong@${hostPort(proxy.address)}`)(address, never);
    expect((await failureOf(wrong)).message).toContain('username/password authentication failed');
    const none = dialFor(`socks5://${hostPort(proxy.address)}`)(address, never);
    expect((await failureOf(none)).message).toContain('no acceptable authentication methods');
    await eventually(() => proxy.sockets.size === 0);
  });

  test('passes on that the target is not there', async () => {
    const address = await deadAddress();
    const proxy = await startSocksProxy();
    const failure = await failureOf(dialFor(`socks5://${hostPort(proxy.address)}`)(address, never));
    expect(failure.kind).toBe('refused');
    expect(failure.message).toBe(
      `socks connect tcp ${hostPort(proxy.address)}->${hostPort(address)}: unknown error connection refused`,
    );
    await eventually(() => proxy.sockets.size === 0);
  });

  test('IPv6 addresses go as sixteen bytes, also when written with IPv4 at the end', async () => {
    const asked: string[] = [];
    const proxy = await startTcp((socket) => {
      socket.once('data', () => {
        socket.write(Buffer.from([5, 0]));
        socket.once('data', (request) => {
          asked.push(request.toString('hex'));
          socket.write(Buffer.from([5, 1]));
        });
      });
    });
    const dial = dialFor(`socks5://${hostPort(proxy.address)}`);
    for (const host of ['fd00::1:2', '::ffff:10.0.0.1', '::1'])
      await failureOf(dial({ host, port: 258 }, never));
    expect(asked).toEqual([
      '05010004fd0000000000000000000000000100020102',
      '0501000400000000000000000000ffff0a0000010102',
      '05010004000000000000000000000000000000010102',
    ]);
  });

  test('a proxy that is none', async () => {
    const proxy = await startTcp((socket) => {
      socket.resume();
      socket.write('HTTP/1.1 400 Bad Request\r\n\r\n');
    });
    const failure = await failureOf(
      dialFor(`socks5://${hostPort(proxy.address)}`)({ host: 'x.test', port: 1 }, never),
    );
    expect(failure.message).toContain('unexpected protocol version 72');
    await eventually(() => proxy.sockets.size === 0);
  });
});

test.each(['ftp://x:1', 'socks4://x', 'nonsense', 'http://'])('no proxy: %s', (url) => {
  expect(() => dialFor(url)).toThrow(Failure);
});
