import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'node:tls';
import { describe, expect, test } from 'vitest';
import type { Exchange } from './exchange.ts';
import { admitting } from './testing/admitting.ts';
import { startListener } from './testing/served.ts';
import { withVictim } from './testing/victim.ts';

/** Writes bytes and gives what came back until the connection closed or nothing more came. */
async function say(port: number, bytes: string): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
  socket.on('error', () => {});
  await once(socket, 'secureConnect');
  let said = '';
  socket.on('data', (chunk: Buffer) => (said += chunk.toString('latin1')));
  socket.write(bytes, 'latin1');
  for (let turn = 0; turn < 20 && !socket.closed; turn += 1) await sleep(10);
  socket.destroy();
  return said;
}

/** Through admission, as every request; notes what got behind it, and reads bodies. */
async function start() {
  const handled: string[] = [];
  const bodies: string[] = [];
  const handle = admitting((exchange: Exchange) => {
    handled.push(`${exchange.method} ${exchange.target}`);
    exchange.body
      ?.on('end', () => bodies.push('whole'))
      .on('error', () => bodies.push('broken'))
      .resume();
    exchange.respond(200, [], 'ok');
  });
  const { port } = await startListener(handle);
  return { port, handled, bodies };
}

const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n';
const post = (lines: string, body = smuggled) => `POST /shape HTTP/1.1\r\nHost: a\r\n${lines}\r\n\r\n${body}`;
const get = (lines: string, line = 'GET /shape HTTP/1.1') => `${line}\r\n${lines}\r\n\r\n${smuggled}`;

describe('smuggling shapes: 400 or the end of the connection, and nothing of them is handled', () => {
  test.each([
    // What a length is (RFC 9112 6.3).
    ['CL and TE', post('Content-Length: 6\r\nTransfer-Encoding: chunked', `0\r\n\r\n${smuggled}`)],
    ['TE and CL', post('Transfer-Encoding: chunked\r\nContent-Length: 6', `0\r\n\r\n${smuggled}`)],
    ['two lengths', post('Content-Length: 0\r\nContent-Length: 5')],
    ['two lengths that agree', post('Content-Length: 5\r\nContent-Length: 5')],
    ['a list of lengths', post('Content-Length: 5, 5')],
    ['a length with a sign', post('Content-Length: +5')],
    ['a negative length', post('Content-Length: -1')],
    ['a length in hexadecimal', post('Content-Length: 0x5')],
    ['a length with a space in it', post('Content-Length: 1 0')],
    ['a length beyond 64 bits', post('Content-Length: 18446744073709551616')],
    ['an empty length', post('Content-Length:')],
    ['a coding that is not the last (CVE-2022-32213)', post('Transfer-Encoding: chunked, identity')],
    [
      'a coding over two lines (CVE-2022-35256)',
      post('Transfer-Encoding: chunked\r\nTransfer-Encoding: identity'),
    ],
    ['a coding behind a vertical tab', post('Transfer-Encoding: \x0bchunked')],
    ['a coding with a folded line (CVE-2022-32215)', post('Transfer-Encoding:\r\n chunked')],
    ['TE with a space before the colon', post('Transfer-Encoding : chunked')],
    ['CL with a space before the colon (CVE-2024-27982)', post(' Content-Length: 6')],
    // What a line is (RFC 9112 2.2, 5).
    ['a folded line', get('Host: a\r\nX: y\r\n z')],
    ['a folded first line', get(' X: y\r\nHost: a')],
    ['LF alone behind the request line', `GET /shape HTTP/1.1\nHost: a\r\n\r\n${smuggled}`],
    ['LF alone behind a header', `GET /shape HTTP/1.1\r\nHost: a\nX: y\r\n\r\n${smuggled}`],
    [
      'CR alone in a header (CVE-2023-30589)',
      `GET /shape HTTP/1.1\r\nHost: a\r\nX: y\rZ: z\r\n\r\n${smuggled}`,
    ],
    ['LF alone at the end of the head', `GET /shape HTTP/1.1\r\nHost: a\r\n\n${smuggled}`],
    ['CR and X at the end of the head (CVE-2025-23167)', `GET /shape HTTP/1.1\r\nHost: a\r\n\rX${smuggled}`],
    ['a space before the colon', get('Host : a')],
    ['a name with a control character', get('Host: a\r\nX\x01: y')],
    ['a name that is empty', get('Host: a\r\n: y')],
    ['a line without a colon', get('Host: a\r\nX')],
    ['a NUL in a value', get('Host: a\r\nX: a\0b')],
    // What a request is.
    ['no Host', 'GET /shape HTTP/1.1\r\nX: y\r\n\r\n'],
    ['two Host lines', get('Host: a\r\nHost: b')],
    ['two Host lines that agree', get('Host: a\r\nHost: a')],
    ['absolute form', get('Host: a', 'GET https://elsewhere.test/shape HTTP/1.1')],
    ['authority form', get('Host: a', 'GET elsewhere.test:443 HTTP/1.1')],
    ['asterisk form', get('Host: a', 'OPTIONS * HTTP/1.1')],
    ['CONNECT', get('Host: a', 'CONNECT a:1 HTTP/1.1')],
    ['an unknown method', get('Host: a', 'HACK /shape HTTP/1.1')],
    ['HTTP/2 by its preface, without ALPN', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['HTTP/0.9', 'GET /shape\r\n\r\n'],
    ['HTTP/1.2', get('Host: a', 'GET /shape HTTP/1.2')],
    ['HTTP/3.0', get('Host: a', 'GET /shape HTTP/3.0')],
    ['a fragment', get('Host: a', 'GET /shape#x HTTP/1.1')],
    ['bytes that are no ASCII in the target', get('Host: a', 'GET /sh\xe9pe HTTP/1.1')],
    ['a control character in the target', get('Host: a', 'GET /sh\x01pe HTTP/1.1')],
  ])('%s', async (_, bytes) => {
    const { port, handled } = await start();
    const said = await say(port, bytes);
    expect(handled.filter((line) => line.includes('shape'))).toEqual([]);
    // Where only admission can tell, what stands behind is a request of its own; where it is the parser, all is over.
    expect(said === '' || /^HTTP\/1\.1 (?:400|413|505) /.test(said), said.slice(0, 80)).toBe(true);
    const parsed = /"kind":"Status"|Connection: keep-alive/.test(said);
    expect(handled).toEqual(parsed ? ['GET /smuggled'] : []);
  });

  // What a chunk is (RFC 9112 7.1): the head has been handled when its body turns out to be none.
  test.each([
    ['a coding that is none (CVE-2022-32213)', post('Transfer-Encoding: chunkedchunked')],
    ['a chunk size in other signs', post('Transfer-Encoding: chunked', `0x3\r\nabc\r\n0\r\n\r\n${smuggled}`)],
    ['a chunk without its end', post('Transfer-Encoding: chunked', `3\r\nabcd\r\n0\r\n\r\n${smuggled}`)],
    [
      'a chunk size that ends with LF alone',
      post('Transfer-Encoding: chunked', `3\nabc\r\n0\r\n\r\n${smuggled}`),
    ],
    [
      'a chunk size beyond 64 bits',
      post('Transfer-Encoding: chunked', `10000000000000003\r\nabc\r\n0\r\n\r\n${smuggled}`),
    ],
  ])('%s breaks the body, which is never whole', async (_, bytes) => {
    const { port, handled, bodies } = await start();
    await say(port, bytes);
    expect(handled).toEqual(['POST /shape']);
    expect(bodies).toEqual(['broken']);
  });

  test('h2c is not begun: an upgrade to it is no upgrade of ours', async () => {
    const { port } = await start();
    const settings =
      'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__';
    const said = await say(port, get(`Host: a\r\n${settings}`));
    expect(said).not.toMatch(/^HTTP\/1\.1 101/);
    expect(said.match(/HTTP\/1\.1 /g)).toHaveLength(1);
  });

  test('bytes behind the end of a body are a request of their own, and no part of it', async () => {
    const { port, handled } = await start();
    await say(port, post('Content-Length: 2', `hi${smuggled}`));
    expect(handled).toEqual(['POST /shape', 'GET /smuggled']);
  });
});

describe('floods over HTTP/1.1', () => {
  const attacks: [string, (port: number) => Promise<void>][] = [
    [
      'extensions of chunks (CVE-2024-22019)',
      async (port) => {
        const extension = `1;${'x'.repeat(60_000)}\r\na\r\n`;
        await say(port, `${post('Transfer-Encoding: chunked', '')}${extension.repeat(100)}`);
      },
    ],
    [
      'header lines',
      async (port) => {
        await say(port, get(`Host: a\r\n${'X: y\r\n'.repeat(500_000)}`));
      },
    ],
    [
      'pipelined requests',
      async (port) => {
        await say(port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(20_000));
      },
    ],
    [
      'a target of 2 MB',
      async (port) => {
        await say(port, `GET /${'x'.repeat(2_000_000)} HTTP/1.1\r\n`);
      },
    ],
    [
      'connections that end in their first bytes',
      async (port) => {
        for (let i = 0; i < 100; i += 1) {
          const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
          socket.on('error', () => {});
          await Promise.race([once(socket, 'secureConnect'), once(socket, 'close')]);
          socket.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nx');
          socket.destroy();
        }
      },
    ],
  ];
  test.each(attacks)('%s: nobody else notices, and nothing stays', async (_, attack) => {
    const { handle, known } = knownCallers();
    const listener = await startListener(handle);
    const before = process.memoryUsage().rss;
    const victim = await withVictim(listener.port, () => attack(listener.port));
    expect(known.length).toBeGreaterThan(0);
    expect(victim.failed).toBe(0);
    expect(victim.slowestMs).toBeLessThan(1_500);
    expect(process.memoryUsage().rss - before).toBeLessThan(200e6);
    await expect.poll(() => listener.connections(), { timeout: 5_000 }).toEqual({ http2: 0, http1: 0 });
  });

  /** The victim keeps its connection, so it must be somebody. */
  function knownCallers() {
    const known: string[] = [];
    const handle = admitting(
      (exchange) => {
        known.push(exchange.target);
        exchange.body?.resume();
        exchange.respond(200, [], 'ok');
      },
      () => Promise.resolve({ user: { name: 'jane', groups: [] }, frontProxy: false }),
    );
    return { handle, known };
  }
});
