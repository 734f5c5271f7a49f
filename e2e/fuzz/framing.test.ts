import { expect, test } from 'vitest';

import type { Framing, FuzzCase } from './fuzz-case.ts';
import { chunked, requestBytes } from './framing.ts';
import { parseAnswer } from './http1-answer.ts';

const envelope = { target: '/x', host: 'h', own: [['x-own', '1']] } as const;
const bytesOf = (framing: Framing, body = 'abcdef') => {
  const fuzzCase: FuzzCase = {
    ...{ protocol: 'http/1.1', target: 'h2', method: 'PUT', path: '/x', query: undefined, answer: 0 },
    ...{ headers: [['X-A', '\xe9']], body, framing },
  };
  return requestBytes(fuzzCase, envelope).toString('latin1');
};

test.each<[Framing, string]>([
  ['plain', 'PUT /x HTTP/1.1\r\nHost: h\r\nx-own: 1\r\nX-A: \xe9\r\nContent-Length: 6\r\n\r\nabcdef'],
  ['bare-lf', 'PUT /x HTTP/1.1\nHost: h\nx-own: 1\nX-A: \xe9\nContent-Length: 6\n\nabcdef'],
  ['early-end', 'PUT /x HTTP/1.1\r\nHost: h\r\nx-own: 1\r\nX-A: \xe9\r\nContent-Length: 16\r\n\r\nabcdef'],
])('%s', (framing, bytes) => {
  expect(bytesOf(framing)).toBe(bytes);
});

test('without a body there is no length', () => {
  expect(bytesOf('plain', '')).not.toContain('Content-Length');
});

test('a pipelined request follows the first', () => {
  expect(bytesOf('pipelined').match(/ HTTP\/1\.1\r\n/g)).toHaveLength(2);
});

test('chunks of odd sizes are the body again', () => {
  const body = 'x'.repeat(70_000);
  const answer = `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${chunked(body, ';a=b')}0\r\n\r\n`;
  const parsed = parseAnswer(Buffer.from(answer), 'GET', false);
  expect(parsed?.answer.body.toString()).toBe(body);
  expect(parsed?.length).toBe(answer.length);
});

test.each([
  ['a length', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabHTTP', 'GET', 'ab'],
  ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n', 'HEAD', ''],
  ['an interim answer before it', 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\n\r\n', 'PUT', ''],
])('an answer is read: %s', (_, text, method, body) => {
  expect(parseAnswer(Buffer.from(text), method, false)?.answer.body.toString()).toBe(body);
});

test('half an answer is none, but without a length the end is one', () => {
  const half = Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab');
  expect(parseAnswer(half, 'GET', true)).toBeUndefined();
  const endless = Buffer.from('HTTP/1.1 200 OK\r\n\r\nab');
  expect(parseAnswer(endless, 'GET', false)).toBeUndefined();
  expect(parseAnswer(endless, 'GET', true)?.answer.body.toString()).toBe('ab');
});
