import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { startHttp2, startHttps } from './testing/servers.ts';
import { get, textOf, transportTo } from './testing/transports.ts';

describe('requests over HTTP/2', () => {
  test('a GET comes back whole', async () => {
    const { server, address } = await startHttp2();
    server.on('stream', (stream, headers) => {
      stream.respond({ ':status': 200, 'x-path': headers[':path'], 'set-cookie': ['a=1', 'b=2'] });
      stream.end(`hello ${headers[':authority'] ?? ''}`);
    });
    const transport = await transportTo(address);
    const response = await transport.request(
      get('/a%2Fb//c?d="é<>|`', { headers: ['x-a', '1', 'X-A', '2'] }),
    );
    expect(response.status).toBe(200);
    expect(response.headers).toEqual(expect.arrayContaining(['x-path', '/a%2Fb//c?d="é<>|`', 'a=1', 'b=2']));
    expect(await textOf(response)).toBe('hello target.test');
    expect(transport.connections()).toEqual({ http2: 1, http1: 0, upgraded: 0 });
  });
});

describe('upgrades', () => {
  test('101 hands over the socket and the bytes that came with it', async () => {
    const { server, address } = await startHttps();
    server.on('upgrade', (_request, socket) => {
      socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\nearly',
      );
      socket.pipe(socket);
    });
    const transport = await transportTo(address);
    const answer = await transport.upgrade(
      get('/exec', {
        method: 'POST',
        headers: ['Connection', 'Upgrade', 'Upgrade', 'SPDY/3.1', 'Content-Length', '0'],
      }),
    );
    if (answer.type !== 'upgraded') throw new Error('refused');
    expect(answer.head.toString()).toBe('early');
    answer.socket.write('ping');
    const [chunk] = (await once(answer.socket, 'data')) as [Buffer];
    expect(chunk.toString()).toBe('ping');
    answer.socket.destroy();
  });
});
