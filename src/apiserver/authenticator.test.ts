import { describe, expect, test } from 'vitest';
import { Failure } from '../base/failure.ts';
import { createAuthenticator, none } from './authenticator.ts';
import type { Authentication, AuthenticationMethod } from './authenticator.ts';
import { FakeExchange } from './testing/fake-exchange.ts';

const user = (name: string, groups: readonly string[] = []): Authentication => ({
  type: 'authenticated',
  user: { name, groups },
});
const rejected: Authentication = { type: 'rejected', reason: 'wrong' };

async function authenticate(
  found: readonly (Authentication | AuthenticationMethod)[],
  allowAnonymous = true,
) {
  const methods = found.map((one) => (typeof one === 'function' ? one : () => one));
  return createAuthenticator({ methods, allowAnonymous })(new FakeExchange());
}

const unauthorized = { status: { code: 401, reason: 'Unauthorized', message: 'Unauthorized' } };

describe('the union of methods', () => {
  test('the first success decides; the others are not asked', async () => {
    const never = () => {
      throw new Error('asked in vain');
    };
    expect(await authenticate([none, user('one'), never])).toMatchObject({ user: { name: 'one' } });
  });

  test('a later success outweighs an earlier rejection', async () => {
    expect(await authenticate([rejected, user('one')])).toMatchObject({ user: { name: 'one' } });
  });

  test.each([true, false])(
    'a wrong credential is 401, whether anonymous callers are let in (%s) or not',
    async (allowAnonymous) => {
      await expect(authenticate([none, rejected, none], allowAnonymous)).rejects.toMatchObject(unauthorized);
    },
  );

  test('no credential makes an anonymous caller, who is not in system:authenticated', async () => {
    expect(await authenticate([none, none])).toEqual({
      frontProxy: false,
      user: { name: 'system:anonymous', groups: ['system:unauthenticated'] },
    });
  });

  test('no credential is 401 where anonymous callers are not let in', async () => {
    await expect(authenticate([none], false)).rejects.toMatchObject(unauthorized);
  });

  test('a method that cannot tell ends it: nobody becomes anonymous because the hub is away', async () => {
    const cannotTell = () => Promise.reject(new Failure('unreachable', 'dial tcp'));
    await expect(authenticate([cannotTell, none])).rejects.toThrow('dial tcp');
  });

  test('the caller learns no reason, the log does', async () => {
    const reasons: (readonly string[])[] = [];
    const find = createAuthenticator({
      methods: [() => rejected, () => ({ type: 'rejected', reason: 'wrong, too' })],
      allowAnonymous: true,
      onRejected: (found) => reasons.push(found),
    });
    await expect(find(new FakeExchange())).rejects.toMatchObject(unauthorized);
    expect(reasons).toEqual([['wrong', 'wrong, too']]);
  });
});

describe('the group system:authenticated', () => {
  test('is added to every user, once', async () => {
    expect(await authenticate([user('jane', ['dev'])])).toMatchObject({
      user: { groups: ['dev', 'system:authenticated'] },
    });
    expect(await authenticate([user('jane', ['system:authenticated', 'dev'])])).toMatchObject({
      user: { groups: ['system:authenticated', 'dev'] },
    });
  });

  test('is not added to a caller whom the hub calls anonymous', async () => {
    expect(await authenticate([user('system:anonymous', ['system:unauthenticated'])])).toMatchObject({
      user: { groups: ['system:unauthenticated'] },
    });
  });
});
