import { once } from 'node:events';
import { Agent, request } from 'node:https';
import { connect, type TLSSocket } from 'node:tls';
import { expect, test } from 'vitest';
import { startListener } from './testing/served.ts';

const refuse = () =>
  startListener((exchange) =>
    exchange.respond(403, ['Content-Type', 'text/plain', 'Content-Length', '2'], 'no'),
  );

async function connected(port: number): Promise<{ socket: TLSSocket; said: () => string }> {
  const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  let said = '';
  socket.on('data', (chunk: Buffer) => (said += chunk.toString('latin1')));
  socket.on('error', () => {});
  return { socket, said: () => said };
}

const post = (length: number) => `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}\r\n\r\n`;

test.each([1_000, 100_000, 800_000, 5_000_000])(
  'an answer that comes before a body of %i bytes is over reaches the caller, on a connection that was used',
  async (length) => {
    const { port } = await refuse();
    const agent = new Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false });
    const ask = async (body: string): Promise<string> => {
      const sent = request({ agent, port, method: 'POST' });
      // What follows the answer may find the connection closed.
      sent.end(body);
      const [response] = (await once(sent, 'response')) as [AsyncIterable<Buffer> & { statusCode: number }];
      sent.on('error', () => {});
      let text = String(response.statusCode);
      for await (const chunk of response) text += chunk.toString();
      return text;
    };
    try {
      expect(await ask('x')).toBe('403no');
      for (let i = 0; i < 3; i += 1) expect(await ask('x'.repeat(length))).toBe('403no');
    } finally {
      agent.destroy();
    }
  },
);

test('a small rest is read away, and the connection goes on', async () => {
  const { port } = await refuse();
  const { socket, said } = await connected(port);
  socket.write(`${post(10)}12345`);
  await expect.poll(said).toMatch(/^HTTP\/1\.1 403 /);
  socket.write(`67890${post(0)}`);
  await expect.poll(() => said().match(/HTTP\/1\.1 403 /g)).toHaveLength(2);
  socket.destroy();
});

test.each([
  ['that does not come', 0],
  ['that never ends', 1_000_000_000],
])('a rest %s ends the connection in time', async (_, sent) => {
  const { port } = await refuse();
  const { socket, said } = await connected(port);
  const started = performance.now();
  const closed = new Promise((resolve) => void socket.once('close', resolve));
  socket.write(post(1_000_000_000));
  const more = setInterval(() => {
    if (sent > 0 && socket.writable) socket.write('x'.repeat(10_000));
  }, 1);
  await closed;
  clearInterval(more);
  expect(performance.now() - started).toBeLessThan(3_000);
  expect(said()).toMatch(/^HTTP\/1\.1 403 /);
});
