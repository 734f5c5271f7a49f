import { once } from 'node:events';
import { createServer } from 'node:http';
import type { Duplex } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { describe, expect, test } from 'vitest';
import { createTransport } from './create-transport.ts';
import { eventually, listen, onTestEnd, startHttp2 } from './testing/servers.ts';
import { writeBytes } from './testing/streams.ts';
import { get, textOf, transportTo } from './testing/transports.ts';
import { createTunnelLikeDial } from './testing/tunnels.ts';

test('target, headers and host go as they are given, and come back in order', async () => {
  const { server, address } = await startHttp2();
  server.on('stream', (stream, headers) => {
    stream.respond({ ':status': 200, 'x-path': headers[':path'], 'set-cookie': ['a=1', 'b=2'] });
    stream.end(`hello ${headers[':authority'] ?? ''} ${String(headers['x-a'])}`);
  });
  const transport = await transportTo(address);
  const response = await transport.request(get('/a%2Fb//c?d="é<>|`', { headers: ['x-a', '1', 'X-A', '2'] }));
  expect(response.status).toBe(200);
  expect(response.headers.slice(0, 6)).toEqual([
    'x-path',
    '/a%2Fb//c?d="é<>|`',
    'set-cookie',
    'a=1',
    'set-cookie',
    'b=2',
  ]);
  expect(await textOf(response)).toBe('hello target.test 1, 2');
  expect(transport.connections()).toEqual({ http2: 1, http1: 0, upgraded: 0 });
});

describe('over streams that are no sockets', () => {
  test('HTTP/2 and upgrades', async () => {
    const { server, address } = await startHttp2({ allowHTTP1: true });
    server.on('stream', (stream) => {
      stream.respond();
      writeBytes(stream, 5_000_000);
    });
    server.on('upgrade', (_request, socket: Duplex) => {
      socket.on('error', () => undefined);
      socket.write('HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\nearly');
    });
    const transport = await transportTo(address, { dial: createTunnelLikeDial() });
    for (let count = 0; count < 5; count += 1) {
      const { body } = await transport.request(get('/'));
      expect((await buffer(body)).length).toBe(5_000_000);
    }
    const headers = ['Connection', 'Upgrade', 'Upgrade', 'SPDY/3.1', 'Content-Length', '0'];
    const answer = await transport.upgrade(get('/exec', { method: 'POST', headers }));
    if (answer.type !== 'upgraded') throw new Error('refused');
    expect(answer.head.toString()).toBe('early');
    answer.socket.destroy();
    await eventually(() => transport.connections().upgraded === 0);
  });

  test('plain HTTP/1.1 and upgrades', async () => {
    const server = createServer((_request, response) => response.end('ok'));
    server.on('upgrade', (_request, socket: Duplex) => {
      socket.on('error', () => undefined);
      socket.write('HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n');
      socket.pipe(socket);
    });
    const { address } = await listen(server);
    const transport = createTransport({ address, dial: createTunnelLikeDial() });
    onTestEnd(() => transport.destroy());
    for (let count = 0; count < 3; count += 1)
      expect(await textOf(await transport.request(get('/')))).toBe('ok');
    await eventually(() => transport.connections().http1 === 0);
    const headers = ['Connection', 'Upgrade', 'Upgrade', 'SPDY/3.1'];
    const answer = await transport.upgrade(get('/exec', { headers }));
    if (answer.type !== 'upgraded') throw new Error('refused');
    answer.socket.write('ping');
    expect(String((await once(answer.socket, 'data'))[0])).toBe('ping');
    answer.socket.destroy();
  });
});

describe('a transport that closes', () => {
  async function started() {
    const { server, address } = await startHttp2();
    server.on('stream', (stream) => {
      stream.respond();
      stream.end('carried');
    });
    return transportTo(address);
  }

  test.each([0, 1, 20])(
    'carries what it has accepted, whatever state it is in (%s before)',
    async (before) => {
      for (let i = 0; i < 10; i += 1) {
        const transport = await started();
        for (let j = 0; j < before; j += 1) await textOf(await transport.request(get('/')));
        const accepted = Array.from({ length: 30 }, () => transport.request(get('/')));
        const closing = transport.close();
        for (const response of await Promise.all(accepted)) expect(await textOf(response)).toBe('carried');
        await closing;
        expect(transport.connections()).toEqual({ http2: 0, http1: 0, upgraded: 0 });
        await expect(transport.request(get('/'))).rejects.toThrow('were closed');
      }
    },
  );

  test('and ends at once when it is destroyed, also what waits', async () => {
    const transport = await started();
    const accepted = transport.request(get('/'));
    void transport.close();
    transport.destroy();
    await expect(accepted).rejects.toMatchObject({ kind: 'reset' });
  });
});
