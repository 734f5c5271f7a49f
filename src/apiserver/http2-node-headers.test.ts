import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { Duplex } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { AnswerHeaders, checkedLines, headersObject } from './http2-node-headers.ts';

/** What Node's own server makes of the same lines. */
async function headersOfNode(lines: readonly string[]) {
  const socket = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
  const server = createServer();
  const requested = once(server, 'request') as Promise<[IncomingMessage]>;
  server.emit('connection', socket);
  let head = 'GET / HTTP/1.1\r\n';
  for (let i = 0; i < lines.length; i += 2) head += `${lines[i] ?? ''}: ${lines[i + 1] ?? ''}\r\n`;
  socket.push(`${head}\r\n`, 'latin1');
  const [{ headers }] = await requested;
  socket.destroy();
  return headers;
}

const twice = (names: readonly string[]) => names.flatMap((name) => [name, 'first', name, 'second']);

describe('the headers of a request', () => {
  test.each([
    [['host', 'a', 'accept', 'x', 'x-remote-group', 'g']],
    [twice(['host', 'content-type', 'authorization', 'user-agent', 'cookie', 'set-cookie'])],
    [twice(['host', 'age', 'etag', 'expires', 'from', 'if-modified-since', 'if-unmodified-since'])],
    [twice(['host', 'last-modified', 'location', 'max-forwards', 'proxy-authorization', 'referer'])],
    [twice(['host', 'retry-after', 'server', 'date', 'vary', 'origin', 'expect-ct', 'accept', 'if-match'])],
    [twice(['host', 'x-remote-group', 'impersonate-group', 'if-none-match', 'x-forwarded-for', 'via'])],
    [['host', 'a', 'x-empty', '', 'x-empty', '', 'cookie', '', 'cookie', 'b', 'x-latin', '\xe9\xff']],
  ])('are joined as Node does: %j', async (lines) => {
    expect({ ...headersObject(lines, 'other') }).toEqual({ ...(await headersOfNode(lines)) });
  });

  test('of several lengths the first counts', () => {
    expect(headersObject(twice(['content-length']), '')['content-length']).toBe('first');
  });

  test('the host is the authority where no line names it', () => {
    expect(headersObject([], 'a.example').host).toBe('a.example');
    expect(headersObject(['host', 'b.example'], 'a.example').host).toBe('b.example');
    expect('host' in headersObject([], '')).toBe(false);
  });

  test('names of an object are names like others', () => {
    const headers = headersObject(['__proto__', 'x', 'constructor', 'y', 'constructor', 'z'], '');
    expect(Object.entries(headers)).toEqual([
      ['__proto__', 'x'],
      ['constructor', 'y, z'],
    ]);
    expect('toString' in headers).toBe(false);
  });
});

describe('the headers of an answer', () => {
  test('are lines in lower case, in their order, one for each value', () => {
    const headers = new AnswerHeaders();
    headers.set('Content-Length', 5);
    headers.set('Set-Cookie', ['a=1', 'b=2']);
    headers.append('VARY', 'accept');
    headers.append('vary', ['origin', 'cookie']);
    expect(headers.lines()).toEqual([
      ...['content-length', '5', 'set-cookie', 'a=1', 'set-cookie', 'b=2'],
      ...['vary', 'accept', 'vary', 'origin', 'vary', 'cookie'],
    ]);
    expect(headers.get('content-length')).toBe(5);
  });

  test.each([
    'Connection',
    'keep-alive',
    'Transfer-Encoding',
    'upgrade',
    'Proxy-Connection',
    'http2-settings',
  ])('%s, which is about a connection, is dropped', (name) => {
    const headers = new AnswerHeaders();
    headers.set(name, 'x');
    headers.append(name, 'x');
    headers.merge({ [name]: 'x' });
    headers.merge([name, 'x']);
    expect(headers.lines()).toEqual([]);
    expect(checkedLines({ [name]: 'x' })).toEqual([]);
  });

  test.each([
    ['a name with a space', 'a b', 'x', 'ERR_INVALID_HTTP_TOKEN'],
    ['a pseudo header', ':status', '200', 'ERR_INVALID_HTTP_TOKEN'],
    ['no name', '', 'x', 'ERR_INVALID_HTTP_TOKEN'],
    ['a line break', 'x-a', 'a\r\nx-b: c', 'ERR_INVALID_CHAR'],
    ['a line break in one of several', 'x-a', ['a', 'b\nc'], 'ERR_INVALID_CHAR'],
    ['a zero byte', 'x-a', '\0', 'ERR_INVALID_CHAR'],
    ['a character that is no byte', 'x-a', '\u0100', 'ERR_INVALID_CHAR'],
    ['no value', 'x-a', undefined, 'ERR_HTTP_INVALID_HEADER_VALUE'],
  ])('%s is refused', (_, name, value, code) => {
    const headers = new AnswerHeaders();
    const refused: unknown = expect.objectContaining({ code });
    expect(() => headers.set(name, value)).toThrow(refused);
    expect(() => headers.append(name, value)).toThrow(refused);
    expect(() => headers.merge({ 'x-good': '1', [name]: value })).toThrow(refused);
    expect(() => checkedLines({ [name]: value })).toThrow(refused);
    // Nothing of what was refused stays behind.
    expect(headers.lines()).toEqual([]);
  });

  test.each([
    ['an object', { 'X-A': 'new', 'x-c': ['1', '2'] }],
    ['a flat list', ['X-A', 'new', 'x-c', '1', 'X-C', '2']],
    [
      'a list of pairs',
      [
        ['X-A', 'new'],
        ['x-c', '1'],
        ['X-C', '2'],
      ],
    ],
  ])('%s is put on top of what there is', (_, given) => {
    const headers = new AnswerHeaders();
    headers.set('x-a', 'old');
    headers.set('x-b', 'kept');
    headers.merge(given);
    const lines = headers.lines();
    const of = (name: string) => lines.filter((_line, i) => lines[i - 1] === name && i % 2 === 1);
    expect([of('x-a'), of('x-b'), of('x-c')]).toEqual([['new'], ['kept'], ['1', '2']]);
  });

  test('a list with a name too many is refused', () => {
    expect(() => new AnswerHeaders().merge(['x-a', '1', 'x-b'])).toThrow(TypeError);
  });
});
