import { once } from 'node:events';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'node:tls';
import { describe, expect, test } from 'vitest';
import { frame } from '../net/testing/http2-frames.ts';
import type { Exchange } from './exchange.ts';
import { connectRawHttp2, frameTypes, request } from './testing/raw-http2-client.ts';
import { startListener } from './testing/served.ts';

describe('a body that nobody wants, byte by byte', () => {
  const answers: [string, (exchange: Exchange) => void][] = [
    ['respond', (exchange) => exchange.respond(200, [], 'ok')],
    ['stream', (exchange) => exchange.stream(200, [], { body: Readable.from(['ok']) })],
    [
      'finish',
      (exchange) => {
        exchange.stream(200, [], { body: new Readable({ read() {} }) });
        exchange.finish();
      },
    ],
    ['nodePair', (exchange) => exchange.nodePair().response.end('ok')],
  ];
  test.each(answers)('HTTP/1.1: what goes on behind its answer is cut (%s)', async (_, answer) => {
    const { port } = await startListener(answer, { limits: { bodyTimeoutMs: 400 } });
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
    socket.on('error', () => {}).resume();
    await once(socket, 'secureConnect');
    socket.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n');
    const drip = setInterval(() => socket.write('x'), 50);
    await once(socket, 'close', { signal: AbortSignal.timeout(5_000) });
    clearInterval(drip);
  });

  test.each(answers)('HTTP/2: what goes on behind its answer is cut (%s)', async (_, answer) => {
    const { port } = await startListener(answer, { limits: { bodyTimeoutMs: 400 } });
    const client = await connectRawHttp2({ port });
    await client.send(request(1, { method: 'POST', endStream: false }));
    const drip = setInterval(
      () => void client.send(frame(frameTypes.data, 0, { stream: 1, payload: Buffer.from('x') })),
      50,
    );
    expect(await client.next(({ type, stream }) => type === frameTypes.reset && stream === 1)).toBeDefined();
    clearInterval(drip);
    expect(client.socket.closed).toBe(false);
    client.close();
  });

  test('HTTP/2: but no answer that is still being read', async () => {
    const large = Buffer.alloc(1_000_000, 'x');
    const { port } = await startListener((exchange) => exchange.respond(200, [], large), {
      limits: { bodyTimeoutMs: 100 },
    });
    const client = await connectRawHttp2({ port });
    await client.send(request(1, { method: 'POST', endStream: false }));
    expect(await client.next(({ type }) => type === frameTypes.headers)).toBeDefined();
    await sleep(400);
    expect(client.received.some(({ type }) => type === frameTypes.reset)).toBe(false);
    client.close();
  });
});
