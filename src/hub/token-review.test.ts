import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { eventually, startHub, status } from './testing/fake-hub.ts';
import type { FakeHub, HubCall } from './testing/fake-hub.ts';
import { createTokenReviewer } from './token-review.ts';
import type { TokenReviewerOptions } from './token-review.ts';

const never = new AbortController().signal;
const jane = {
  authenticated: true,
  user: { username: 'jane', uid: 'u1', groups: ['dev'], extra: { 'A/b': ['1'] } },
};
const yes = (call: HubCall) => call.json({ kind: 'TokenReview', status: jane }, 201);

async function reviewer(hub: FakeHub, more: Partial<TokenReviewerOptions> = {}) {
  return createTokenReviewer({ client: await hub.client(), ...more });
}

const errorOf = (work: Promise<unknown>) =>
  work.then(
    () => undefined,
    (error: unknown) => error,
  );

describe('what the hub says', () => {
  test('a user, whole, with lower-case extra keys', async () => {
    const hub = await startHub(yes);
    const review = await (await reviewer(hub)).review('t0ken', never);
    expect(review).toEqual({
      authenticated: true,
      user: { name: 'jane', uid: 'u1', groups: ['dev'], extra: { 'a/b': ['1'] } },
    });
    const [call] = hub.calls;
    expect(`${call?.method} ${call?.path}`).toBe('POST /apis/authentication.k8s.io/v1/tokenreviews');
    expect(JSON.parse(call?.body ?? '')).toEqual({
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenReview',
      spec: { token: 't0ken' },
    });
  });

  test.each([
    ['authenticated: false', { authenticated: false }],
    ['a user, but authenticated: false', { ...jane, authenticated: false }],
    ['a user, but nothing about authenticated', { user: jane.user }],
    ['nothing', {}],
    ['an error beside a user', { ...jane, error: 'expired' }],
    ['no user', { authenticated: true }],
    ['an empty name', { authenticated: true, user: { username: '' } }],
    ['no name', { authenticated: true, user: { groups: ['system:masters'] } }],
  ])('%s: not authenticated', async (_name, answer) => {
    const hub = await startHub((call) => call.json({ status: answer }, 201));
    expect((await (await reviewer(hub)).review('t', never)).authenticated).toBe(false);
  });

  test.each([
    ['"true" as a text', { status: { ...jane, authenticated: 'true' } }],
    ['1 for true', { status: { ...jane, authenticated: 1 } }],
    ['no status', { kind: 'TokenReview' }],
    ['no object', [jane]],
    [
      'groups that are no list',
      { status: { ...jane, user: { username: 'jane', groups: 'system:masters' } } },
    ],
  ])('%s: an error, and nobody is in', async (_name, answer) => {
    const hub = await startHub((call) => call.json(answer, 201));
    const review = (await reviewer(hub)).review('t', never);
    await expect(review).rejects.toMatchObject({ kind: 'reset' });
  });

  test('keys of extra that JavaScript knows are keys like others', async () => {
    const extra = JSON.parse('{"__proto__":["a"],"constructor":["b"],"X":["1"],"x":["2"]}') as object;
    const hub = await startHub((call) =>
      call.stream.end(
        `{"status":{"authenticated":true,"user":{"username":"jane","extra":${JSON.stringify(extra)}}}}`,
      ),
    );
    const review = await (await reviewer(hub)).review('t', never);
    if (!review.authenticated) throw new Error('not authenticated');
    expect(review.user.extra?.x).toEqual(['1', '2']);
    expect(Object.getPrototypeOf(review.user.extra)).toBe(Object.prototype);
  });

  test.each([
    [['gateway'], ['gateway', 'other'], true],
    [['a', 'gateway'], ['gateway'], true],
    [['gateway'], ['other'], false],
    [['gateway'], [], false],
    [['gateway'], undefined, false],
    [[], undefined, true],
  ])('audiences %j, granted %j: %j', async (audiences, granted, authenticated) => {
    const hub = await startHub((call) => call.json({ status: { ...jane, audiences: granted } }, 201));
    const review = await (await reviewer(hub, { audiences })).review('t', never);
    expect(review.authenticated).toBe(authenticated);
    const { spec } = JSON.parse(hub.calls[0]?.body ?? '') as { spec: { audiences?: string[] } };
    expect(spec.audiences).toEqual(audiences.length > 0 ? audiences : undefined);
  });
});

describe('memory', () => {
  test.each([
    ['success', jane],
    ['not authenticated', { authenticated: false, error: 'no' }],
  ])('%s is kept for a while, and asked again after it', async (_name, answer) => {
    const hub = await startHub((call) => call.json({ status: answer }, 201));
    const tokens = await reviewer(hub, { cacheTtlMs: 150 });
    const first = await tokens.review('t', never);
    expect(await tokens.review('t', never)).toEqual(first);
    expect(hub.calls).toHaveLength(1);
    await tokens.review('other', never);
    expect(hub.calls).toHaveLength(2);
    await sleep(200);
    await tokens.review('t', never);
    expect(hub.calls).toHaveLength(3);
    expect(tokens.counts).toEqual({ hits: 1, misses: 3, errors: 0 });
  });

  test('errors are not kept', async () => {
    let broken = true;
    const hub = await startHub((call) => (broken ? call.refuse(403, 'Forbidden') : yes(call)));
    const tokens = await reviewer(hub);
    await expect(tokens.review('t', never)).rejects.toMatchObject({ status: { code: 403 } });
    broken = false;
    expect((await tokens.review('t', never)).authenticated).toBe(true);
    expect(tokens.counts).toMatchObject({ hits: 0, errors: 1 });
  });

  test('0 keeps nothing', async () => {
    const hub = await startHub(yes);
    const tokens = await reviewer(hub, { cacheTtlMs: 0 });
    await tokens.review('t', never);
    await tokens.review('t', never);
    expect(hub.calls).toHaveLength(2);
  });

  test('is bounded: the one not used for longest goes', async () => {
    const hub = await startHub(yes);
    const tokens = await reviewer(hub, { cacheSize: 2 });
    for (const token of ['a', 'b', 'a', 'c', 'a', 'b']) await tokens.review(token, never);
    expect(hub.calls.map(({ body }) => (JSON.parse(body) as { spec: { token: string } }).spec.token)).toEqual(
      ['a', 'b', 'c', 'b'],
    );
  });

  test('an empty token is never sent', async () => {
    const hub = await startHub(yes);
    expect((await (await reviewer(hub)).review('', never)).authenticated).toBe(false);
    expect(hub.calls).toHaveLength(0);
  });
});

describe('one question for many', () => {
  test('who ask at the same time', async () => {
    const hub = await startHub();
    const tokens = await reviewer(hub, { cacheTtlMs: 0 });
    const all = Promise.all(Array.from({ length: 20 }, () => tokens.review('t', never)));
    yes(await hub.next());
    expect((await all).every(({ authenticated }) => authenticated)).toBe(true);
    expect(hub.calls).toHaveLength(1);
  });

  test('one who goes away leaves the others their answer', async () => {
    const hub = await startHub();
    const tokens = await reviewer(hub);
    const caller = new AbortController();
    const gone = errorOf(tokens.review('t', caller.signal));
    const stays = tokens.review('t', never);
    const call = await hub.next();
    caller.abort();
    expect(await gone).toMatchObject({ kind: 'cancelled' });
    await sleep(50);
    expect(call.stream.closed).toBe(false);
    yes(call);
    expect((await stays).authenticated).toBe(true);
  });

  test('when all have gone the question is taken back, and the next one asks anew', async () => {
    const hub = await startHub();
    const tokens = await reviewer(hub);
    const caller = new AbortController();
    const gone = [errorOf(tokens.review('t', caller.signal)), errorOf(tokens.review('t', caller.signal))];
    const call = await hub.next();
    caller.abort();
    await Promise.all(gone);
    const again = tokens.review('t', never);
    await eventually(() => call.stream.closed);
    yes(await hub.next());
    expect((await again).authenticated).toBe(true);
    expect(tokens.counts.errors).toBe(0);
  });

  test('one who has gone already asks nothing, and a failing hub then hurts nobody', async () => {
    const hub = await startHub((call) => call.refuse(403, 'Forbidden'));
    const tokens = await reviewer(hub);
    await expect(tokens.review('t', AbortSignal.abort())).rejects.toMatchObject({ kind: 'cancelled' });
    await sleep(50);
    expect(hub.calls).toHaveLength(0);
  });
});

describe('a hub in trouble', () => {
  test.each([
    ['503', (call: HubCall) => call.refuse(503, 'ServiceUnavailable')],
    ['429', (call: HubCall) => call.refuse(429, 'TooManyRequests')],
    ['a broken stream', (call: HubCall) => call.reset()],
  ])('%s is tried again', async (_name, fail) => {
    const hub = await startHub((call) => (hub.calls.length < 3 ? fail(call) : yes(call)));
    const startedAt = performance.now();
    expect((await (await reviewer(hub)).review('t', never)).authenticated).toBe(true);
    expect(hub.calls).toHaveLength(3);
    expect(performance.now() - startedAt).toBeGreaterThan(900);
  });

  test.each([400, 401, 403, 404])('%i is not', async (code) => {
    const hub = await startHub((call) => call.refuse(code, 'Whatever'));
    await expect((await reviewer(hub)).review('t', never)).rejects.toMatchObject({ status: { code } });
    // 401 is asked once more with credentials read anew, which is the client's affair.
    expect(hub.calls).toHaveLength(code === 401 ? 2 : 1);
  });

  test('five times, then the last error', async () => {
    const hub = await startHub((call) => call.refuse(500, 'InternalError'));
    const error = await errorOf((await reviewer(hub)).review('t', never));
    expect(error).toMatchObject({ status: { code: 500 } });
    expect(hub.calls).toHaveLength(5);
  });

  test('10 s in all', async () => {
    const hub = await startHub(() => undefined);
    const startedAt = performance.now();
    const error = await errorOf((await reviewer(hub)).review('t', never));
    expect(error).toMatchObject({ kind: 'timeout' });
    expect(performance.now() - startedAt).toBeGreaterThan(9_900);
    expect(performance.now() - startedAt).toBeLessThan(11_000);
  });
});

describe('the token shows nowhere', () => {
  const token = 's3cr"et\\token';

  test.each([
    ['a Status', (call: HubCall) => call.json(status(400, 'BadRequest', { message: `bad ${token}` }), 400)],
    [
      'its details',
      (call: HubCall) => call.refuse(422, 'Invalid', { details: { causes: [{ message: `x ${token}` }] } }),
    ],
    ['no JSON', (call: HubCall) => call.raw(`{"token":${JSON.stringify(token)}`)],
  ])('in %s', async (_name, answer) => {
    const hub = await startHub((call) => {
      answer(call);
      call.stream.end();
    });
    const client = await hub.client();
    const error = (await errorOf(
      createTokenReviewer({ client }).review(token, AbortSignal.timeout(300)),
    )) as Error;
    const shown = JSON.stringify([error, error.message, error.stack, error.cause]);
    expect(shown).not.toContain('s3cr');
  });

  test('in the reason', async () => {
    const hub = await startHub((call) =>
      call.json({ status: { authenticated: false, error: `cannot parse ${token}` } }, 201),
    );
    const review = await (await reviewer(hub)).review(token, never);
    expect(review).toEqual({ authenticated: false, reason: 'cannot parse [redacted]' });
  });
});
