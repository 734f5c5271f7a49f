import { describe, expect, test } from 'vitest';
import { Failure } from '../base/failure.ts';
import type { TokenReview } from '../hub/token-review.ts';
import { createBearerTokenMethod } from './bearer-token.ts';
import { FakeExchange } from './testing/fake-exchange.ts';
import type { FakeRequest } from './testing/fake-exchange.ts';

const account = { name: 'system:serviceaccount:a:b', groups: ['system:serviceaccounts'] };

function withReviewer(answer: TokenReview | Error = { authenticated: true, user: account }) {
  const asked: string[] = [];
  const method = createBearerTokenMethod({
    counts: { hits: 0, misses: 0, errors: 0 },
    review: (token) => {
      asked.push(token);
      return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
    },
  });
  return { asked, find: (request: FakeRequest) => Promise.resolve(method(new FakeExchange(request))) };
}

const encoded = (token: string) =>
  `base64url.bearer.authorization.k8s.io.${Buffer.from(token).toString('base64url')}`;
const webSocket = (protocols: string, more: Partial<FakeRequest> = {}): FakeRequest => ({
  headers: ['Connection', 'Upgrade', 'Upgrade', 'WebSocket', 'Sec-WebSocket-Protocol', protocols],
  isUpgrade: true,
  ...more,
});

describe('bearer tokens', () => {
  test.each([
    ['Bearer abc', 'abc'],
    ['bearer abc', 'abc'],
    ['BEARER abc', 'abc'],
    ['  Bearer abc  ', 'abc'],
    // As Go reads it: whatever stands behind the token is not part of it.
    ['Bearer abc def', 'abc'],
  ])('%j is asked for as %j', async (value, token) => {
    const { asked, find } = withReviewer();
    expect(await find({ headers: ['authorization', value] })).toEqual({
      type: 'authenticated',
      user: account,
    });
    expect(asked).toEqual([token]);
  });

  test.each(['', 'Bearer', 'Bearer ', 'Bearer  abc', 'Basic abc', 'Bearerabc', 'Token abc'])(
    '%j is no credential, and the hub is not asked',
    async (value) => {
      const { asked, find } = withReviewer();
      expect(await find({ headers: ['Authorization', value] })).toEqual({ type: 'none' });
      expect(asked).toEqual([]);
    },
  );

  test('the first Authorization counts', async () => {
    const { asked, find } = withReviewer();
    await find({ headers: ['Authorization', 'Bearer one', 'Authorization', 'Bearer two'] });
    expect(asked).toEqual(['one']);
  });

  test('a token that the hub does not know is wrong, not absent', async () => {
    const { find } = withReviewer({ authenticated: false, reason: 'expired' });
    expect(await find({ headers: ['Authorization', 'Bearer x'] })).toEqual({
      type: 'rejected',
      reason: 'bearer token: expired',
    });
  });

  test('a hub that does not answer is neither', async () => {
    const { find } = withReviewer(new Failure('unreachable', 'dial tcp'));
    await expect(find({ headers: ['Authorization', 'Bearer x'] })).rejects.toThrow('dial tcp');
  });
});

describe('tokens in a WebSocket subprotocol', () => {
  test('are read from the list', async () => {
    const { asked, find } = withReviewer();
    const found = await find(webSocket(`v5.channel.k8s.io, ${encoded('tøken')}`));
    expect(found.type).toBe('authenticated');
    expect(asked).toEqual(['tøken']);
  });

  test('Authorization comes first', async () => {
    const { asked, find } = withReviewer();
    const { headers = [], ...rest } = webSocket(encoded('two'));
    await find({ ...rest, headers: [...headers, 'Authorization', 'Bearer one'] });
    expect(asked).toEqual(['one']);
  });

  test.each([
    ['not in a plain request', webSocket(encoded('x'), { isUpgrade: false })],
    [
      'not in an upgrade to SPDY',
      {
        headers: ['Connection', 'Upgrade', 'Upgrade', 'SPDY/3.1', 'Sec-WebSocket-Protocol', encoded('x')],
        isUpgrade: true,
      },
    ],
    ['not when empty', webSocket(encoded(''))],
    ['not in other subprotocols', webSocket('v5.channel.k8s.io')],
  ])('%s', async (_, request) => {
    const { asked, find } = withReviewer();
    expect(await find(request)).toEqual({ type: 'none' });
    expect(asked).toEqual([]);
  });
});
