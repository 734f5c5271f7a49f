import { describe, expect, test } from 'vitest';

import { compare } from './compare.ts';
import { CLUSTER_TOKEN } from './expected-headers.ts';
import type { FuzzCase, HeaderPair } from './fuzz-case.ts';
import { SECRET } from './header-kinds.ts';
import { type Answer, type Arrival, type Observed, noAnswer } from './observed.ts';
import { shrink } from './shrink.ts';

const plain: FuzzCase = {
  ...{ protocol: 'http/1.1', target: 'http/1.1', method: 'PUT', path: '/a%2Fb', query: 'a=1&a=2' },
  ...{ headers: [], body: 'abc', framing: 'plain', answer: 0 },
};
const ours: readonly HeaderPair[] = [
  ['x-forwarded-for', '127.0.0.1'],
  ['audit-id', 'x'],
  ['x-cluster-gateway-hops', '1'],
  ['authorization', `Bearer ${CLUSTER_TOKEN}`],
];
const arrival = (part: Partial<Arrival> = {}): Arrival => ({
  ...{ protocol: '1.1', method: 'PUT', path: '/a%2Fb?a=1&a=2', body: Buffer.from('abc'), whole: true },
  headers: [['x-a', '1'], ['X-A', '2'], ['host', 'x'], ...ours],
  ...part,
});
const answer: Answer = { status: 200, headers: [['x', '1']], body: Buffer.from('ok'), whole: true };
/** The same without what the gateway adds. */
const sent = (): Arrival => arrival({ headers: arrival().headers.filter((line) => !ours.includes(line)) });
const directly = (part: Partial<Observed> = {}): Observed => seen({ arrivals: [sent()], ...part });
const seen = (part: Partial<Observed> = {}): Observed => ({
  arrivals: [arrival()],
  answer,
  more: 0,
  ...part,
});
const refused = (status: number): Observed => ({ arrivals: [], answer: { ...answer, status }, more: 0 });

test('the same is no difference, nor is what a rule expects', () => {
  expect(compare(plain, directly(), seen())).toEqual([]);
  const more = directly({
    arrivals: [arrival({ headers: [...sent().headers, ['Cookie', 'a'], ['Te', 'x']] })],
  });
  expect(compare(plain, more, seen())).toEqual([]);
});

describe('what arrived', () => {
  test.each<[string, Partial<Arrival>, RegExp]>([
    ['another method', { method: 'put' }, /^method/],
    ['a decoded path', { path: '/a/b?a=1&a=2' }, /^path/],
    ['a lost parameter', { path: '/a%2Fb?a=1' }, /^path/],
    ['other bytes', { body: Buffer.from('abd') }, /^body/],
    ['merged lines', { headers: [['x-a', '1, 2'], ...ours] }, /header x-a/],
    ['lines in another order', { headers: [['x-a', '2'], ['x-a', '1'], ...ours] }, /header x-a/],
    ['a line more', { headers: [...arrival().headers, ['x-b', '1']] }, /header x-b/],
    ['hops of the caller', { headers: [['x-a', '1'], ['x-a', '2'], ...ours.toSpliced(2, 1)] }, /^hops/],
    [
      'an identity',
      { headers: [...arrival().headers, ['X-Remote-User', 'x']] },
      /X-Remote-User of the caller/,
    ],
    ['the secret anywhere', { headers: [...arrival().headers, ['x-b', SECRET]] }, /x-b of the caller/],
    ['two credentials', { headers: [...arrival().headers, ['authorization', 'x']] }, /Authorization is not/],
  ])('%s', (_, part, difference) => {
    expect(compare(plain, directly(), seen({ arrivals: [arrival(part)] }))).toContainEqual(
      expect.stringMatching(difference),
    );
  });

  test('two for one, none for one, one for none', () => {
    const twice = seen({ arrivals: [arrival(), arrival()] });
    expect(compare(plain, directly(), twice)).toEqual(['2 requests arrived, directly 1']);
    expect(compare(plain, directly(), refused(400))).toEqual([expect.stringContaining('refused with 400')]);
    expect(compare(plain, refused(400), seen())).toEqual(['1 requests arrived, directly 0']);
    expect(compare(plain, refused(400), { ...refused(400), answer: noAnswer })).toEqual([]);
  });

  test('half of a request must not look whole', () => {
    const early: FuzzCase = { ...plain, framing: 'early-end' };
    expect(compare(early, directly(), seen())).toEqual(['half a request arrived as a whole one']);
    expect(compare(early, directly(), seen({ arrivals: [arrival({ whole: false })] }))).toEqual([]);
  });
});

describe('refusals', () => {
  test.each(['/..', '/a/%2E%2e/b', '/a%2f..', '//', '/%zz', '/%ff', '/\xe9', '/a%00'])(
    '%j must be refused',
    (path) => {
      const request: FuzzCase = { ...plain, path };
      expect(compare(request, directly(), refused(400))).toEqual([]);
      expect(compare(request, directly(), refused(200))).toHaveLength(1);
      expect(compare(request, directly(), seen())).not.toEqual([]);
    },
  );

  test('of a lie about hops', () => {
    const request: FuzzCase = { ...plain, headers: [['X-Cluster-Gateway-Hops', '5']] };
    expect(compare(request, directly(), refused(508))).toEqual([]);
    expect(compare(request, directly(), refused(503))).toHaveLength(1);
  });
});

describe('answers', () => {
  test.each<[string, Partial<Answer>, RegExp]>([
    ['status', { status: 201 }, /^status/],
    ['body', { body: Buffer.from('no') }, /^answer body/],
    ['a lost header', { headers: [] }, /answer header x/],
    ['cut short', { whole: false }, /^whole/],
  ])('%s', (_, part, difference) => {
    expect(compare(plain, directly(), seen({ answer: { ...answer, ...part } }))).toContainEqual(
      expect.stringMatching(difference),
    );
  });

  test('a length may be new, but not another', () => {
    const of = (length: string) =>
      seen({
        answer: {
          ...answer,
          headers: [
            ['x', '1'],
            ['Content-Length', length],
          ],
        },
      });
    expect(compare(plain, directly(), of('2'))).toEqual([]);
    expect(compare(plain, { ...of('2'), arrivals: [sent()] }, of('3'))).toHaveLength(1);
  });
});

test('a case is made as small as it can be', async () => {
  const large: FuzzCase = {
    ...plain,
    headers: [
      ['a', '1'],
      ['b', '2'.repeat(64)],
      ['c', '3'],
    ],
    path: '/x/y/bad/z',
    query: 'a=1&b=2&c=3',
    framing: 'chunked',
    answer: 4,
  };
  const small = await shrink(large, ({ headers, path }) =>
    Promise.resolve(headers.some(([name]) => name === 'b') && path.includes('bad')),
  );
  expect(small).toMatchObject({
    path: '/bad',
    query: undefined,
    body: '',
    framing: 'plain',
    answer: 0,
    method: 'GET',
  });
  expect(small.headers).toEqual([['b', '2'.repeat(8)]]);
});
