import { once } from 'node:events';
import { Readable } from 'node:stream';
import { connect } from 'node:tls';
import { expect, test } from 'vitest';
import { startListener } from './testing/served.ts';

test('bytes above 0x7f of a header of a streamed answer go out as they are', async () => {
  const { port } = await startListener((exchange) =>
    exchange.stream(200, ['x-latin', '\xe9'], { body: Readable.from([Buffer.from('abc')]) }),
  );
  const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  socket.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  let said = '';
  socket.on('data', (chunk: Buffer) => (said += chunk.toString('latin1')));
  await once(socket, 'close');
  expect(said).toContain('x-latin: \xe9\r\n');
});
