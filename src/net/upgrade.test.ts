import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { Failure } from '../base/failure.ts';
import { eventually, startHttp2, startHttps, startTcp } from './testing/servers.ts';
import { failureOf } from './testing/streams.ts';
import { get, textOf, transportTo } from './testing/transports.ts';
import { createTransport } from './create-transport.ts';
import { createTcpDial } from './dial-tcp.ts';
import type { Address } from './dial.ts';

const spdy = {
  method: 'POST',
  headers: ['Connection', 'Upgrade', 'Upgrade', 'SPDY/3.1', 'Content-Length', '0'],
};
const webSocket = {
  headers: ['Connection', 'Upgrade', 'Upgrade', 'websocket', 'Sec-WebSocket-Version', '13'],
};

const plain = (address: Address) => createTransport({ address, dial: createTcpDial() });

describe('upgrades', () => {
  test.each([
    ['SPDY by POST', spdy, 'SPDY/3.1'],
    ['WebSocket by GET', webSocket, 'websocket'],
  ])('%s: 101 hands over the socket and the bytes that came with it', async (_what, request, protocol) => {
    const { server, address } = await startHttps();
    server.on('upgrade', ({ headers, method }, socket: Duplex) => {
      expect(headers.upgrade).toBe(protocol);
      expect(method).toBe('method' in request ? request.method : 'GET');
      socket.on('error', () => undefined);
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\nearly`,
      );
      socket.pipe(socket);
    });
    const transport = await transportTo(address);
    const answer = await transport.upgrade(get('/exec', request));
    if (answer.type !== 'upgraded') throw new Error('refused');
    expect(answer.headers).toEqual(['Connection', 'Upgrade', 'Upgrade', protocol]);
    expect(answer.head.toString()).toBe('early');
    expect(transport.connections().upgraded).toBe(1);
    const big = Buffer.alloc(3_000_000, 5);
    answer.socket.write(big);
    let count = 0;
    for await (const chunk of answer.socket) if ((count += (chunk as Buffer).length) >= big.length) break;
    expect(count).toBe(big.length);
    await eventually(() => transport.connections().upgraded === 0);
  });

  test('each has a connection of its own, and HTTP/1.1 also where HTTP/2 is spoken', async () => {
    const { server, address, accepted } = await startHttp2({ allowHTTP1: true });
    server.on('stream', (stream) => {
      stream.respond();
      stream.end('ok');
    });
    server.on('upgrade', (_request, socket: Duplex) => {
      socket.on('error', () => undefined);
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n');
    });
    const transport = await transportTo(address);
    await textOf(await transport.request(get('/')));
    const answers = await Promise.all([1, 2].map(() => transport.upgrade(get('/exec', spdy))));
    expect(transport.connections()).toEqual({ http2: 1, http1: 0, upgraded: 2 });
    expect(accepted()).toBe(3);
    for (const answer of answers) if (answer.type === 'upgraded') answer.socket.destroy();
  });

  test('a refusal comes as it is, and nothing can follow on its connection', async () => {
    const { server, address, sockets } = await startHttps();
    server.on('upgrade', (_request, socket: Duplex) => {
      socket.write(
        'HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nno',
      );
    });
    const transport = await transportTo(address);
    const answer = await transport.upgrade(get('/exec', spdy));
    if (answer.type !== 'refused') throw new Error('upgraded');
    expect(answer.response.status).toBe(403);
    expect(answer.response.headers).toContain('text/plain');
    expect(await textOf(answer.response)).toBe('no');
    await eventually(() => sockets.size === 0 && transport.connections().upgraded === 0);
  });

  test.each([301, 302, 307, 400, 404, 426, 500, 200])('%d is a refusal, never followed', async (status) => {
    const { address, accepted } = await startTcp((socket) => {
      socket.once('data', () =>
        socket.write(
          `HTTP/1.1 ${status} X\r\nLocation: http://127.0.0.1:1/\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 4\r\n\r\nbodyHTTP/1.1 101 Evil\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n`,
        ),
      );
    });
    const answer = await plain(address).upgrade(get('/exec', spdy));
    if (answer.type !== 'refused') throw new Error('upgraded');
    expect(answer.response.status).toBe(status);
    expect(await textOf(answer.response)).toBe('body');
    expect(accepted()).toBe(1);
  });

  test('a refusal that nobody reads is closed when its body is destroyed', async () => {
    const { server, address, sockets } = await startHttps();
    server.on('upgrade', (_request, socket: Duplex) => {
      socket.on('error', () => undefined);
      socket.write('HTTP/1.1 500 X\r\nContent-Length: 100000\r\n\r\nno');
    });
    const answer = await (await transportTo(address)).upgrade(get('/exec', spdy));
    if (answer.type !== 'refused') throw new Error('upgraded');
    answer.response.body.destroy();
    await eventually(() => sockets.size === 0);
  });

  test('1xx before the answer', async () => {
    const { address } = await startTcp((socket) => {
      socket.once('data', () =>
        socket.write(
          'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n',
        ),
      );
    });
    const answer = await plain(address).upgrade(get('/exec', spdy));
    expect(answer.type).toBe('upgraded');
    if (answer.type === 'upgraded') answer.socket.destroy();
  });

  test.each([
    ['101 without Upgrade', 'HTTP/1.1 101 X\r\n\r\n'],
    ['a closed connection', ''],
    ['nonsense', 'SSH-2.0\r\n\r\n'],
  ])('%s is a failure and leaves no connection', async (_what, answer) => {
    const { address, sockets } = await startTcp((socket) => {
      socket.once('data', () => (answer === '' ? socket.end() : socket.write(answer)));
    });
    const failure = await failureOf(plain(address).upgrade(get('/exec', spdy)));
    expect(failure).toMatchObject({ kind: 'reset', sent: true });
    await eventually(() => sockets.size === 0);
  });

  test('abort: while dialling, before the answer, after the upgrade', async () => {
    const { server, address, sockets } = await startHttps();
    let silent = true;
    server.on('upgrade', (_request, socket: Duplex) => {
      socket.on('error', () => undefined);
      if (!silent) socket.write('HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n');
    });
    const transport = await transportTo(address);
    expect(
      (await failureOf(transport.upgrade(get('/', { ...spdy, signal: AbortSignal.abort() })))).kind,
    ).toBe('cancelled');
    const early = new AbortController();
    const waiting = failureOf(transport.upgrade(get('/', { ...spdy, signal: early.signal })));
    await eventually(() => transport.connections().upgraded === 1);
    early.abort(new Failure('timeout', 'no answer'));
    expect((await waiting).kind).toBe('timeout');
    await eventually(() => sockets.size === 0);
    silent = false;
    const late = new AbortController();
    const answer = await transport.upgrade(get('/', { ...spdy, signal: late.signal }));
    if (answer.type !== 'upgraded') throw new Error('refused');
    late.abort();
    await once(answer.socket, 'close');
    await eventually(() => sockets.size === 0);
  });

  test('there is a limit, and destroy ends what is open', async () => {
    const { server, address } = await startHttps();
    server.on('upgrade', (_request, socket: Duplex) => {
      socket.on('error', () => undefined);
      socket.write('HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n');
    });
    const transport = await transportTo(address, { limits: { maxUpgrades: 1 } });
    const answer = await transport.upgrade(get('/', spdy));
    if (answer.type !== 'upgraded') throw new Error('refused');
    expect((await failureOf(transport.upgrade(get('/', spdy)))).message).toContain('too many');
    transport.destroy();
    await once(answer.socket, 'close');
    expect((await failureOf(transport.upgrade(get('/', spdy)))).message).toContain('closed');
  });
});
