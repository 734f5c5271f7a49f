import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { AccessRequest } from '../kube/access.ts';
import type { UserInfo } from '../kube/user-info.ts';
import { createAccessReviewer } from './subject-access-review.ts';
import type { AccessReviewerOptions } from './subject-access-review.ts';
import { startHub } from './testing/fake-hub.ts';
import type { FakeHub, HubCall } from './testing/fake-hub.ts';

const never = new AbortController().signal;
const resource = { verb: 'get', group: 'g', version: 'v1', resource: 'things', name: 'foo' };
const jane: UserInfo = { name: 'jane', uid: 'u1', groups: ['dev', 'ops'], extra: { k: ['v'] } };
const request = (user: UserInfo = jane, more: object = {}): AccessRequest => ({
  user,
  attributes: { type: 'resource', resource: { ...resource, ...more } },
});
const path = (to: string): AccessRequest => ({
  user: jane,
  attributes: { type: 'non-resource', nonResource: { verb: 'get', path: to } },
});
const allow = (call: HubCall) => call.json({ status: { allowed: true } }, 201);

async function reviewer(hub: FakeHub, more: Partial<AccessReviewerOptions> = {}) {
  return createAccessReviewer({ client: await hub.client(), ...more });
}
const specs = (hub: FakeHub) => hub.calls.map(({ body }) => (JSON.parse(body) as { spec: unknown }).spec);

describe('what the hub is asked', () => {
  test('all of a resource request', async () => {
    const hub = await startHub(allow);
    const access = await reviewer(hub);
    await access.review(request(jane, { subresource: 'proxy', namespace: 'ns' }), never);
    await access.review({ ...request({ name: 'joe', groups: [] }) }, never);
    expect(hub.calls[0]?.path).toBe('/apis/authorization.k8s.io/v1/subjectaccessreviews');
    expect(specs(hub)).toEqual([
      {
        user: 'jane',
        uid: 'u1',
        groups: ['dev', 'ops'],
        extra: { k: ['v'] },
        resourceAttributes: { ...resource, subresource: 'proxy', namespace: 'ns' },
      },
      { user: 'joe', groups: [], resourceAttributes: resource },
    ]);
  });

  test('a path', async () => {
    const hub = await startHub(allow);
    await (await reviewer(hub)).review(path('/a%2Fb'), never);
    expect(specs(hub)[0]).toMatchObject({ nonResourceAttributes: { verb: 'get', path: '/a%2Fb' } });
  });
});

describe('what it says', () => {
  test.each<[{ reason?: string; allowed?: boolean; denied?: boolean }, boolean]>([
    [{ allowed: true }, true],
    [{ allowed: true, denied: false, reason: 'RBAC' }, true],
    [{ allowed: true, denied: true, reason: 'both' }, false],
    [{ allowed: false, reason: 'no' }, false],
    [{ denied: true }, false],
    [{}, false],
  ])('%j: %j', async (answer, allowed) => {
    const hub = await startHub((call) => call.json({ status: answer }, 201));
    const decision = await (await reviewer(hub)).review(request(), never);
    expect(decision).toEqual({ allowed, reason: answer.reason ?? '' });
  });

  test.each([{}, { status: { allowed: 'true' } }, { status: { allowed: 1 } }, { status: null }, []])(
    '%j is an error',
    async (answer) => {
      const hub = await startHub((call) => call.json(answer, 201));
      const access = await reviewer(hub);
      await expect(access.review(request(), never)).rejects.toMatchObject({ kind: 'reset' });
    },
  );
});

describe('memory', () => {
  test('allowed and not allowed, each for its time', async () => {
    let allowed = true;
    const hub = await startHub((call) => call.json({ status: { allowed } }, 201));
    const access = await reviewer(hub, { allowTtlMs: 10_000, denyTtlMs: 150 });
    for (let i = 0; i < 3; i += 1) await access.review(request(), never);
    expect(hub.calls).toHaveLength(1);
    allowed = false;
    for (let i = 0; i < 3; i += 1) await access.review(path('/x'), never);
    expect(hub.calls).toHaveLength(2);
    await sleep(200);
    expect((await access.review(request(), never)).allowed).toBe(true);
    expect((await access.review(path('/x'), never)).allowed).toBe(false);
    expect(hub.calls).toHaveLength(3);
    expect(access.counts).toEqual({ hits: 5, misses: 3, errors: 0 });
  });

  test('errors are thrown, and not kept', async () => {
    const hub = await startHub((call) =>
      hub.calls.length === 1 ? call.refuse(403, 'Forbidden') : allow(call),
    );
    const access = await reviewer(hub);
    await expect(access.review(request(), never)).rejects.toMatchObject({ status: { code: 403 } });
    expect((await access.review(request(), never)).allowed).toBe(true);
  });

  const long = 'x'.repeat(200);
  test.each<[string, AccessRequest, AccessRequest]>([
    ['a|b and b', request({ name: 'a|b', groups: [] }), request({ name: 'a', groups: ['b'] })],
    ['a space at the end', request({ name: 'a', groups: [] }), request({ name: 'a ', groups: [] })],
    ['two forms of ä', request({ name: 'a\u0308', groups: [] }), request({ name: '\u00e4', groups: [] })],
    [
      'halves of surrogates',
      request({ name: '\ud800', groups: [] }),
      request({ name: '\ud801', groups: [] }),
    ],
    ['case', request({ name: 'Jane', groups: [] }), request({ name: 'jane', groups: [] })],
    ['quotes', request({ name: 'a","b', groups: [] }), request({ name: 'a', groups: ['b'] })],
    ['one group or two', request({ name: 'a', groups: ['b,c'] }), request({ name: 'a', groups: ['b', 'c'] })],
    ['no uid, empty uid', request({ name: 'a', groups: [] }), request({ name: 'a', uid: '', groups: [] })],
    [
      'extra',
      request({ name: 'a', groups: [], extra: { k: ['v', 'w'] } }),
      request({ name: 'a', groups: [], extra: { k: ['v'], w: [] } }),
    ],
    ['verb', request(jane, { verb: 'get' }), request(jane, { verb: 'list' })],
    [
      'a name that is a subresource',
      request(jane, { name: 'p' }),
      request(jane, { name: undefined, subresource: 'p' }),
    ],
    ['an empty name', request(jane, { name: '' }), request(jane, { name: undefined })],
    [
      'a selector',
      request(jane, { labelSelector: { requirements: [{ key: 'a', operator: 'Exists' }] } }),
      request(jane),
    ],
    [
      'a field selector and a label selector',
      request(jane, { labelSelector: { requirements: [{ key: 'a', operator: 'In', values: ['b'] }] } }),
      request(jane, { fieldSelector: { requirements: [{ key: 'a', operator: 'In', values: ['b'] }] } }),
    ],
    ['version', request(jane, { version: 'v1' }), request(jane, { version: 'v2' })],
    ['a path and a resource', path('/things'), request(jane, { name: '/things' })],
    ['long ones that differ at the end', path(`/${long}${long}a`), path(`/${long}${long}b`)],
  ])('%s: never one entry', async (_name, one, other) => {
    const hub = await startHub((call) => call.json({ status: { allowed: hub.calls.length === 1 } }, 201));
    const access = await reviewer(hub);
    expect((await access.review(one, never)).allowed).toBe(true);
    expect((await access.review(other, never)).allowed).toBe(false);
    expect((await access.review(one, never)).allowed).toBe(true);
    expect(hub.calls).toHaveLength(2);
  });

  test('the order of extra keys does not matter', async () => {
    const hub = await startHub(allow);
    const access = await reviewer(hub);
    await access.review(request({ name: 'a', groups: [], extra: { x: ['1'], y: ['2'] } }), never);
    await access.review(request({ name: 'a', groups: [], extra: { y: ['2'], x: ['1'] } }), never);
    expect(hub.calls).toHaveLength(1);
  });

  test('attributes of more than 10,000 characters are not kept, a user in many groups is', async () => {
    const hub = await startHub(allow);
    const access = await reviewer(hub);
    const verb = 'get'.length;
    for (const [length, calls] of [
      [10_000 - verb, 1],
      [10_001 - verb, 3],
    ] as const) {
      const big = path(`/${'x'.repeat(length - 1)}`);
      await access.review(big, never);
      await access.review(big, never);
      expect(hub.calls).toHaveLength(calls);
    }
    const groups = Array.from({ length: 500 }, (_, i) => `a-group-with-a-long-name-${i}`);
    const member = request({ name: 'jane', groups });
    await access.review(member, never);
    await access.review(member, never);
    expect(hub.calls).toHaveLength(4);
  });

  test('is bounded', async () => {
    const hub = await startHub(allow);
    const access = await reviewer(hub, { cacheSize: 2 });
    for (const to of ['/a', '/b', '/c', '/a', '/c']) await access.review(path(to), never);
    expect(hub.calls).toHaveLength(4);
  });
});

test('one question for many, and whoever goes away leaves the others theirs', async () => {
  const hub = await startHub();
  const access = await reviewer(hub);
  const caller = new AbortController();
  const gone = access.review(request(), caller.signal).catch((error: unknown) => error);
  const all = Promise.all(Array.from({ length: 10 }, () => access.review(request(), never)));
  const call = await hub.next();
  caller.abort();
  expect(await gone).toMatchObject({ kind: 'cancelled' });
  allow(call);
  expect((await all).every(({ allowed }) => allowed)).toBe(true);
  expect(hub.calls).toHaveLength(1);
});

test('a hub that is away for a moment is asked again', async () => {
  const hub = await startHub((call) =>
    hub.calls.length === 1 ? call.refuse(503, 'ServiceUnavailable') : allow(call),
  );
  expect((await (await reviewer(hub)).review(request(), never)).allowed).toBe(true);
});
