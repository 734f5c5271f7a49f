import { describe, expect, test, vi } from 'vitest';
import { checkRequestHead, checkResponseHead, checkTrailers } from './message-check.ts';

const request = [':method', 'GET', ':scheme', 'https', ':authority', 'x', ':path', '/'];
const without = (name: string) => request.filter((_, i) => request[i - (i % 2)] !== name);
const withValue = (name: string, value: string) =>
  request.map((text, i) => (request[i - 1] === name && i % 2 === 1 ? value : text));

/** Every kind of head goes by the same rules for its fields. */
const fieldsAreGood = (...lines: string[]): boolean => {
  const answers = [
    checkRequestHead([...request, ...lines]) !== undefined,
    checkResponseHead([':status', '200', ...lines]) !== undefined,
    checkTrailers(lines),
  ];
  expect(new Set(answers).size, 'all of them say the same').toBe(1);
  return answers[0] === true;
};

describe('the head of a request', () => {
  test.each<[string, string[]]>([
    ['as most are', request],
    ['in another order', [':path', '/', ':authority', 'x', ':scheme', 'https', ':method', 'GET']],
    ['without an authority', without(':authority')],
    ['with a host instead', [...without(':authority'), 'host', 'x']],
    ['with an empty authority', withValue(':authority', '')],
    ['with any token as its method', withValue(':method', "!#$%&'*+-.^_`|~09azAZ")],
    ['with what is not ASCII in its path', withValue(':path', '/\xff')],
    ['with an asterisk as its path', withValue(':path', '*')],
  ])('is good %s', (_, lines) => {
    expect(checkRequestHead(lines)).toEqual({ contentLength: -1 });
  });

  test.each<[string, string[]]>([
    ['nothing', []],
    ['no method', without(':method')],
    ['no scheme', without(':scheme')],
    ['no path', without(':path')],
    ['an empty method', withValue(':method', '')],
    ['an empty scheme', withValue(':scheme', '')],
    ['an empty path', withValue(':path', '')],
    ['a method with a space', withValue(':method', 'GET /')],
    ['a method with a line end', withValue(':method', 'GET\n')],
    ['a path with a space', withValue(':path', '/ HTTP/1.1')],
    ['a path with a line end', withValue(':path', '/\r\n')],
    ['a path with a NUL', withValue(':path', '/\0')],
    ['a path with a tab', withValue(':path', '/\t')],
    ['an authority with a line end', withValue(':authority', 'x\r\ny')],
    ['an authority with a space behind it', withValue(':authority', 'x ')],
    ['two methods', [...request, ':method', 'GET']],
    ['two schemes', [...request, ':scheme', 'https']],
    ['two paths', [...request, ':path', '/']],
    ['two authorities', [...request, ':authority', 'x']],
    ['the pseudo header of an answer', [...request, ':status', '200']],
    ['the pseudo header of extended CONNECT', [...request, ':protocol', 'websocket']],
    ['a pseudo header in upper case', [':METHOD', 'GET', ...without(':method')]],
    ['a pseudo header that is nothing but a colon', [...request, ':', '']],
    ['a pseudo header behind a field', [...without(':path'), 'x', 'y', ':path', '/']],
    ['a second one behind a field', [...request, 'x', 'y', ':path', '/']],
    ['CONNECT as RFC 9113 8.5 has it', [':method', 'CONNECT', ':authority', 'x:443']],
    ['CONNECT with a scheme and a path', withValue(':method', 'CONNECT')],
  ])('is bad with %s', (_, lines) => {
    expect(checkRequestHead(lines)).toBeUndefined();
  });
});

describe('the head of an answer', () => {
  test.each([100, 103, 200, 204, 304, 431, 599, 999])('is good with status %i', (status) => {
    expect(checkResponseHead([':status', String(status), 'x', 'y'])).toEqual({ status, contentLength: -1 });
  });

  test.each<[string, string[]]>([
    ['nothing', []],
    ['no status', ['x', 'y']],
    ['a status behind a field', ['x', 'y', ':status', '200']],
    ['two statuses', [':status', '200', ':status', '200']],
    ['a pseudo header of requests', [':status', '200', ':path', '/']],
    ['a pseudo header of requests first', [':path', '/', ':status', '200']],
    ...['', '0', '20', '099', '2000', '2x0', '+20', ' 200', '200 ', '200 OK', '200\n'].map(
      (status): [string, string[]] => [`the status ${JSON.stringify(status)}`, [':status', status]],
    ),
  ])('is bad with %s', (_, lines) => {
    expect(checkResponseHead(lines)).toBeUndefined();
  });
});

test.each([':status', ':path', ':method', ':x'])('trailers are bad with the pseudo header %s', (name) => {
  expect(checkTrailers(['x', 'y'])).toBe(true);
  expect(checkTrailers([])).toBe(true);
  expect(checkTrailers([name, '200'])).toBe(false);
  expect(checkTrailers(['x', 'y', name, '200'])).toBe(false);
});

describe('names', () => {
  const token = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz";

  test('each character that may be, and no other', () => {
    for (let code = 0; code < 256; code += 1) {
      const character = String.fromCharCode(code);
      const isGood = token.includes(character);
      for (const name of [character, `x${character}`, `${character}x`])
        expect(fieldsAreGood(name, 'v'), JSON.stringify(name)).toBe(isGood);
    }
    expect(fieldsAreGood('', 'v')).toBe(false);
  });

  test.each(['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade'])(
    '%s belongs to HTTP/1.1',
    (name) => {
      for (const value of ['', 'x', 'close', 'chunked', 'trailers'])
        expect(fieldsAreGood(name, value)).toBe(false);
      expect(fieldsAreGood('x', 'y', name, 'x')).toBe(false);
      expect(fieldsAreGood(`${name}x`, 'x')).toBe(true);
    },
  );

  test('those that a peer makes up are not all remembered', () => {
    const add = vi.spyOn(Set.prototype, 'add');
    try {
      for (let i = 0; i < 10_000; i += 1) {
        expect(fieldsAreGood(`x-made-up-${i}`, 'v')).toBe(true);
        expect(fieldsAreGood(`x made up ${i}`, 'v')).toBe(false);
      }
      const long = 'y'.repeat(65);
      expect(fieldsAreGood(long, 'v')).toBe(true);
      const names = new Map<unknown, number>();
      for (const [name] of add.mock.calls)
        if (typeof name === 'string' && /^(x|y).*made|^yyy/.test(name)) names.set(name, 1);
      expect(names.size).toBeGreaterThan(1_000);
      expect(names.size).toBeLessThanOrEqual(4_096);
      expect(names.has(long)).toBe(false);
    } finally {
      add.mockRestore();
    }
  });
});

describe('values', () => {
  test('each character that may be, and no other', () => {
    for (let code = 0; code < 256; code += 1) {
      const character = String.fromCharCode(code);
      const isControl = (code < 0x20 && code !== 9) || code === 0x7f;
      const isBlank = code === 9 || code === 0x20;
      expect(fieldsAreGood('x', `a${character}b`), `within: ${code}`).toBe(!isControl);
      expect(fieldsAreGood('x', `${character}b`), `before: ${code}`).toBe(!isControl && !isBlank);
      expect(fieldsAreGood('x', `a${character}`), `behind: ${code}`).toBe(!isControl && !isBlank);
      expect(fieldsAreGood('x', character), `alone: ${code}`).toBe(!isControl && !isBlank);
    }
    expect(fieldsAreGood('x', '')).toBe(true);
    expect(fieldsAreGood('x', 'a'.repeat(100_000))).toBe(true);
  });

  test('of a last line count as well', () => {
    expect(fieldsAreGood('a', 'b', 'c', 'd\r\ne: f')).toBe(false);
  });
});

describe('content-length', () => {
  const lengthOf = (value: string) => checkRequestHead([...request, 'content-length', value])?.contentLength;

  test.each([
    ['0', 0],
    ['00', 0],
    ['5', 5],
    ['0123', 123],
    ['999999999999999', 999_999_999_999_999],
  ])('%j is %i', (value, length) => {
    expect(lengthOf(value)).toBe(length);
    expect(checkResponseHead([':status', '200', 'content-length', value])?.contentLength).toBe(length);
  });

  test.each(['', '-1', '+1', '1.0', '1e3', '0x1', '1,1', '1, 1', 'x', '1_0', '٣', '9999999999999999'])(
    '%j is none',
    (value) => {
      expect(fieldsAreGood('content-length', value)).toBe(false);
    },
  );

  test.each([
    ['1', '1'],
    ['1', '2'],
    ['0', '0'],
  ])('two of them (%s, %s) are too many', (one, other) => {
    expect(fieldsAreGood('content-length', one, 'x', 'y', 'content-length', other)).toBe(false);
  });
});

test.each([
  ['trailers', true],
  ['Trailers', true],
  ['', false],
  ['gzip', false],
  ['trailers, deflate', false],
  ['trailers;q=0.5', false],
])('te: %s', (value, isGood) => {
  expect(fieldsAreGood('te', value)).toBe(isGood);
});

test('one host at most, whatever they say', () => {
  expect(fieldsAreGood('host', 'x')).toBe(true);
  expect(fieldsAreGood('host', 'x', 'host', 'x')).toBe(false);
  expect(fieldsAreGood('host', 'x', 'a', 'b', 'host', 'y')).toBe(false);
});
