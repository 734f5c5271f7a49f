import { once } from 'node:events';
import http2 from 'node:http2';
import https from 'node:https';
import net from 'node:net';
import { Readable } from 'node:stream';
import type { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { describe, expect, test } from 'vitest';
import { frame, uint32 } from '../net/testing/http2-frames.ts';
import type { Exchange } from './exchange.ts';
import type { ListenerLimits } from './listener-limits.ts';
import { startListener } from './testing/served.ts';
import {
  answerPings,
  connectRawHttp2,
  frameTypes,
  goaways,
  headerBlock,
  request,
} from './testing/raw-http2-client.ts';
import type { RawHttp2Client } from './testing/raw-http2-client.ts';

const ok = (exchange: Exchange) => exchange.respond(200, [], 'ok');
const start = (handle: (exchange: Exchange) => void, limits: Partial<ListenerLimits>) =>
  startListener(handle, { limits });

const headersOf = (client: RawHttp2Client, stream: number) =>
  client.next((each) => each.type === frameTypes.headers && each.stream === stream);
async function overTls(port: number, text = ''): Promise<TLSSocket> {
  const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
  socket.on('error', () => {});
  await once(socket, 'secureConnect');
  if (text !== '') socket.write(text);
  return socket;
}

async function msUntilClosed(socket: net.Socket, limitMs = 5_000): Promise<number> {
  const started = performance.now();
  socket.resume();
  if (!socket.closed) await once(socket, 'close', { signal: AbortSignal.timeout(limitMs) });
  return performance.now() - started;
}

describe('connections that ask for nothing', () => {
  test('a handshake that does not begin is cut', async () => {
    let errors = 0;
    const { port } = await startListener(ok, {
      limits: { handshakeTimeoutMs: 200 },
      onHandshakeError: () => (errors += 1),
    });
    const socket = net.connect(port, '127.0.0.1');
    expect(await msUntilClosed(socket)).toBeLessThan(1_500);
    expect(errors).toBe(1);
  });

  test('a handshake that comes byte by byte is cut', async () => {
    const { port } = await start(ok, { handshakeTimeoutMs: 300 });
    const socket = net.connect(port, '127.0.0.1');
    socket.on('error', () => {});
    const drip = setInterval(() => socket.write('\x16'), 50);
    expect(await msUntilClosed(socket)).toBeLessThan(1_500);
    clearInterval(drip);
  });

  test('HTTP/1.1 without a byte of a request', async () => {
    const { port } = await start(ok, { headersTimeoutMs: 300 });
    expect(await msUntilClosed(await overTls(port))).toBeLessThan(2_000);
  });

  test('HTTP/1.1: a head that comes byte by byte is cut', async () => {
    const { port } = await start(ok, { headersTimeoutMs: 300 });
    const socket = await overTls(port, 'GET / HTTP/1.1\r\nHost: a\r\nX: ');
    const drip = setInterval(() => socket.write('x'), 50);
    expect(await msUntilClosed(socket)).toBeLessThan(3_000);
    clearInterval(drip);
  });

  test.each([
    [
      'behind its first frame',
      [frame(frameTypes.headers, 0, { stream: 1, payload: headerBlock([[':method', 'GET']]) })],
    ],
    ['in its first frame', []],
  ])('HTTP/2: a head that comes byte by byte %s is cut', async (_, first) => {
    let handled = 0;
    const listener = await start(() => (handled += 1), { headersTimeoutMs: 300 });
    const client = await connectRawHttp2({ port: listener.port });
    answerPings(client);
    await client.send(...first);
    const kind = first.length === 0 ? frameTypes.headers : frameTypes.continuation;
    const rest = frame(kind, 0, { stream: 1, payload: Buffer.alloc(1_000) });
    let sent = 0;
    const drip = setInterval(() => void client.send(rest.subarray(sent, (sent += 1))), 50);
    expect(await client.ended(8_000)).toBe(true);
    clearInterval(drip);
    await expect.poll(() => listener.connections().http2, { timeout: 7_000 }).toBe(0);
    expect(handled).toBe(0);
  });

  test('HTTP/2 without a request goes sooner than one that has asked', async () => {
    const { port } = await start(ok, { headersTimeoutMs: 200, http2IdleTimeoutMs: 1_500 });
    const [silent, served] = [await connectRawHttp2({ port }), await connectRawHttp2({ port })];
    answerPings(served);
    await served.send(request(1));
    expect(await silent.ended(3_000)).toBe(true);
    expect(served.socket.closed).toBe(false);
    expect(await served.ended(4_000)).toBe(true);
    expect(goaways(served)).toEqual([{ lastStream: 1, code: 0 }]);
  });

  test('a client that does not end its side after the end of ours', async () => {
    const listener = await start(ok, { headersTimeoutMs: 100 });
    const socket = connect({
      host: '127.0.0.1',
      port: listener.port,
      rejectUnauthorized: false,
      ALPNProtocols: ['h2'],
      ...{ allowHalfOpen: true },
    });
    socket.on('error', () => {});
    await once(socket, 'secureConnect');
    socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    socket.write(frame(frameTypes.settings, 0));
    socket.resume();
    await expect.poll(() => listener.connections().http2).toBe(1);
    await expect.poll(() => listener.connections().http2, { timeout: 10_000 }).toBe(0);
    socket.destroy();
  });

  test('more of them than there may be are not let in, and there is room again when some go', async () => {
    const listener = await start(ok, { maxConnections: 3 });
    const open = [await overTls(listener.port), await overTls(listener.port), await overTls(listener.port)];
    const refused = net.connect(listener.port, '127.0.0.1');
    refused.on('error', () => {});
    expect(await msUntilClosed(refused)).toBeLessThan(1_000);
    open[0]?.destroy();
    await expect.poll(() => listener.connections().http1).toBe(2);
    expect((await overTls(listener.port)).authorized).toBe(false);
    for (const socket of open) socket.destroy();
  });
});

describe('readers of answers', () => {
  const large = Buffer.alloc(32 * 1024 * 1024, 'x');
  const noWindow = Buffer.concat([Buffer.from([0, 4]), uint32(0)]);

  test('HTTP/2: a small answer that nobody takes is cut, and the connection goes on', async () => {
    let ended = false;
    const { port } = await start(
      (exchange) => {
        exchange.onEnd(() => (ended = true));
        ok(exchange);
      },
      { unreadAnswerTimeoutMs: 200 },
    );
    const client = await connectRawHttp2({ port, settings: noWindow });
    await client.send(request(1));
    expect(await headersOf(client, 1)).toBeDefined();
    expect(await client.next(({ type, stream }) => type === frameTypes.reset && stream === 1)).toBeDefined();
    expect(ended).toBe(true);
    expect(client.socket.closed).toBe(false);
    client.close();
  });

  test.each(['respond', 'stream', 'nodePair'] as const)(
    'HTTP/1.1: a large answer that nobody takes is cut (%s)',
    async (way) => {
      let ended = false;
      const listener = await start(
        (exchange) => {
          exchange.onEnd(() => (ended = true));
          if (way === 'respond') exchange.respond(200, [], large);
          else if (way === 'stream') exchange.stream(200, [], { body: Readable.from([large]) });
          else exchange.nodePair().response.end(large);
        },
        { unreadAnswerTimeoutMs: 300 },
      );
      const socket = await overTls(listener.port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      socket.pause();
      await expect.poll(() => ended, { timeout: 5_000 }).toBe(true);
      await expect.poll(() => listener.connections().http1).toBe(0);
      socket.destroy();
    },
  );

  test.each(['respond', 'stream', 'nodePair'] as const)(
    'HTTP/2: a large answer that nobody takes is cut, and the connection goes on (%s)',
    async (way) => {
      let ended = false;
      const { port } = await start(
        (exchange) => {
          exchange.onEnd(() => (ended = true));
          if (way === 'respond') exchange.respond(200, [], large);
          else if (way === 'stream') exchange.stream(200, [], { body: Readable.from([large]) });
          else exchange.nodePair().response.end(large);
        },
        { unreadAnswerTimeoutMs: 300 },
      );
      const client = await connectRawHttp2({ port });
      // The window that HTTP/2 begins with is taken, and no more.
      await client.send(request(1, { path: '/large' }));
      expect(
        await client.next(({ type, stream }) => type === frameTypes.reset && stream === 1),
      ).toBeDefined();
      expect(ended).toBe(true);
      expect(client.socket.closed).toBe(false);
      client.close();
    },
  );

  test.each(['http/1.1', 'h2'])('%s: a slow reader that goes on reading gets it all', async (protocol) => {
    const body = large.subarray(0, 8 * 1024 * 1024);
    const { port } = await start((exchange) => exchange.respond(200, [], body), {
      unreadAnswerTimeoutMs: 1_200,
    });
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ALPNProtocols: [protocol] });
    await once(socket, 'secureConnect');
    let stream: Readable;
    if (protocol === 'h2') {
      const session = http2.connect('https://localhost', { createConnection: () => socket });
      stream = session.request({ ':path': '/' });
    } else {
      const sent = https.get({ createConnection: () => socket, headers: { Host: 'a' } });
      [stream] = (await once(sent, 'response')) as [Readable];
    }
    let [received, pauses] = [0, 0];
    for await (const chunk of stream) {
      received += (chunk as Buffer).length;
      if (received > (pauses + 1) * 1_000_000) {
        pauses += 1;
        await sleep(250);
      }
    }
    expect(received).toBe(body.length);
    expect(pauses).toBeGreaterThan(5);
    socket.destroy();
  });

  test.each(['http/1.1', 'h2'])(
    '%s: an answer that has nothing to say yet is waited for',
    async (protocol) => {
      const bodies: Readable[] = [];
      const { port } = await start(
        (exchange) => {
          const body = new Readable({ read() {} });
          bodies.push(body);
          const { response } = exchange.nodePair();
          body.on('data', (chunk: Buffer) => (response as Writable).write(chunk));
        },
        { unreadAnswerTimeoutMs: 100 },
      );
      const socket = connect({
        host: '127.0.0.1',
        port,
        rejectUnauthorized: false,
        ALPNProtocols: [protocol],
      });
      await once(socket, 'secureConnect');
      const session =
        protocol === 'h2'
          ? http2.connect('https://localhost', { createConnection: () => socket })
          : undefined;
      const stream = session?.request({ ':path': '/' });
      let said = '';
      (stream ?? socket).on('data', (chunk: Buffer) => (said += chunk.toString()));
      if (!session) socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      await expect.poll(() => bodies.length).toBe(1);
      await sleep(600);
      bodies[0]?.push('event');
      await expect.poll(() => said).toContain('event');
      socket.destroy();
    },
  );
});

describe('writers of bodies that the server itself reads', () => {
  const read = (exchange: Exchange) => {
    const { request: asked, response } = exchange.nodePair();
    asked.resume();
    asked.on('end', () => response.end('read'));
    asked.on('error', () => {});
  };

  test('HTTP/1.1: one that comes byte by byte is cut', async () => {
    const { port } = await start(read, { bodyTimeoutMs: 400 });
    const socket = await overTls(port, 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n');
    const drip = setInterval(() => socket.write('x'), 50);
    expect(await msUntilClosed(socket)).toBeLessThan(1_500);
    clearInterval(drip);
  });

  test('HTTP/2: one that comes byte by byte is cut, alone', async () => {
    const { port } = await start(read, { bodyTimeoutMs: 400 });
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

  test('a body that is passed on may take as long as it takes', async () => {
    let length = 0;
    const { port } = await start(
      (exchange) => {
        exchange.body?.on('data', (chunk: Buffer) => (length += chunk.length));
        exchange.body?.on('end', () => exchange.respond(200, []));
      },
      { bodyTimeoutMs: 100, unreadAnswerTimeoutMs: 100 },
    );
    const socket = await overTls(port, 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n');
    for (let i = 0; i < 6; i += 1) {
      await sleep(100);
      socket.write('x');
    }
    const [said] = (await once(socket, 'data')) as [Buffer];
    expect(said.toString()).toMatch(/^HTTP\/1.1 200/);
    expect(length).toBe(6);
    socket.destroy();
  });
});

test('HTTP/1.1: a head beyond the limit is 431, within it is handled', async () => {
  let handled = 0;
  const count = (exchange: Exchange) => {
    handled += 1;
    ok(exchange);
  };
  const { port } = await start(count, { maxHeaderBytes: 64 * 1024 });
  const said = async (bytes: number) => {
    const socket = await overTls(
      port,
      `GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: ${'x'.repeat(bytes)}\r\n\r\n`,
    );
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    await msUntilClosed(socket);
    return text.slice(0, 12);
  };
  expect(await said(60_000)).toBe('HTTP/1.1 200');
  // The answer may be lost: what was not read when the connection ends resets it.
  expect(await said(70_000)).toMatch(/^HTTP\/1.1 431$|^$/);
  expect(handled).toBe(1);
});
