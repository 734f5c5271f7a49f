import { describe, expect, test } from 'vitest';
import { startHttp2 } from './testing/servers.ts';
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
