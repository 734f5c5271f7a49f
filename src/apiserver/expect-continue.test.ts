import { once } from 'node:events';
import http2 from 'node:http2';
import { connect } from 'node:tls';
import { describe, expect, test } from 'vitest';
import type { Exchange } from './exchange.ts';
import { startListener } from './testing/served.ts';

/** Refuses `/no` without a look at the body, and answers anything else with the body. */
function handle(exchange: Exchange): void {
  if (exchange.target === '/no') {
    exchange.respond(403, ['content-length', '0']);
    return;
  }
  const chunks: Buffer[] = [];
  // Node's callers attach listeners late: only what reads counts.
  exchange.body?.pause();
  setTimeout(() => {
    exchange.inform(103, ['link', '</a>', 'link', '</b>']);
    exchange.body?.on('data', (chunk: Buffer) => chunks.push(chunk)).resume();
  }, 50);
  exchange.body?.on('end', () => {
    exchange.respond(200, ['content-length', '5'], Buffer.concat(chunks));
    exchange.inform(103, ['link', 'late']);
  });
}

describe('a caller that expects 100 (Continue)', () => {
  async function sayTo(port: number, path: string, version = '1.1') {
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    let said = '';
    socket.on('data', (chunk: Buffer) => (said += chunk.toString('latin1')));
    socket.write(
      `POST ${path} HTTP/${version}\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n`,
    );
    return { socket, said: () => said };
  }

  test('is told so over HTTP/1.1 when the body is read, and not before', async () => {
    const { port } = await startListener(handle);
    const { socket, said } = await sayTo(port, '/yes');
    const informed =
      'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\nlink: </b>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n';
    await expect.poll(said).toBe(informed);
    socket.write('hello');
    await once(socket, 'close');
    expect(said().startsWith(`${informed}HTTP/1.1 200 OK\r\n`)).toBe(true);
    expect(said().endsWith('\r\n\r\nhello')).toBe(true);
  });

  test('is refused over HTTP/1.1 without it', async () => {
    const { port } = await startListener(handle);
    const { socket, said } = await sayTo(port, '/no');
    await once(socket, 'end');
    expect(said()).toMatch(/^HTTP\/1\.1 403 /);
  });

  test.each([
    ['with a body', 'POST', 'Content-Length: 5\r\n', 'hello'],
    ['without a body', 'GET', '', ''],
  ])(
    'sends another request over the same HTTP/1.1 connection behind one %s',
    async (_, method, lines, body) => {
      const { port } = await startListener((exchange) => {
        exchange.body?.resume();
        const respond = () => exchange.respond(200, ['content-length', '0']);
        if (exchange.body) exchange.body.on('end', respond);
        else respond();
      });
      const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
      let said = '';
      socket.on('data', (chunk: Buffer) => (said += chunk.toString('latin1')));
      for (const count of [1, 2]) {
        socket.write(`${method} / HTTP/1.1\r\nHost: a\r\n${lines}Expect: 100-continue\r\n\r\n`);
        await expect.poll(() => said.split('HTTP/1.1 100 Continue\r\n\r\n')).toHaveLength(count + 1);
        socket.write(body);
        await expect.poll(() => said.split('HTTP/1.1 200 OK\r\n')).toHaveLength(count + 1);
      }
      expect(said).not.toMatch(/close/i);
      socket.destroy();
    },
  );

  test('of HTTP/1.0 is told nothing before the answer', async () => {
    const { port } = await startListener(handle);
    const { socket, said } = await sayTo(port, '/yes', '1.0');
    socket.write('hello');
    await once(socket, 'close');
    expect(said()).toMatch(/^HTTP\/1\.1 200 /);
  });

  test.each([
    ['/yes', [103, 100], 200, 'hello'],
    ['/no', [], 403, ''],
  ] as const)('over HTTP/2, at %s: %j, then %i', async (path, informed, status, text) => {
    const { port } = await startListener(handle);
    const session = http2.connect(`https://localhost:${port}`, { rejectUnauthorized: false });
    try {
      const stream = session.request({ ':method': 'POST', ':path': path, expect: '100-continue' });
      const seen: number[] = [];
      stream.on('headers', (headers) => seen.push(headers[':status'] ?? 0));
      stream.on('continue', () => stream.end('hello'));
      const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpStatusHeader];
      let body = '';
      for await (const chunk of stream) body += String(chunk);
      expect([seen, headers[':status'], body]).toEqual([informed, status, text]);
    } finally {
      session.destroy();
    }
  });
});
