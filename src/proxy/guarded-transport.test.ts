import { expect, test } from 'vitest';
import { Failure } from '../base/failure.ts';
import type { IncomingResponse, OutgoingRequest, Transport } from '../net/transport.ts';
import { CircuitBreaker } from './circuit-breaker.ts';
import { guardTransport } from './guarded-transport.ts';

const outgoing = (longRunning = false): OutgoingRequest => ({
  ...{ method: 'GET', target: '/', headers: [], authority: 'a', longRunning },
  signal: new AbortController().signal,
});

/** A transport whose requests are answered by hand. */
function setUp(maxUnanswered = 0) {
  const waiting: PromiseWithResolvers<IncomingResponse>[] = [];
  const wait = () => {
    const one = Promise.withResolvers<IncomingResponse>();
    waiting.push(one);
    return one.promise;
  };
  const transport: Transport = {
    request: wait,
    upgrade: async () => ({ type: 'refused', response: await wait() }),
    connections: () => ({ http2: 1, http1: 2, upgraded: 3 }),
    close: () => Promise.resolve(),
    destroy: () => {},
  };
  const clock = { now: 0 };
  const breaker = new CircuitBreaker({ now: () => clock.now, random: () => 0.5 });
  return { waiting, clock, guarded: guardTransport(transport, { maxUnanswered, breaker }) };
}

const answer = {} as IncomingResponse;
const down = () => new Failure('unreachable', 'dial tcp: no route to host');

test('requests and upgrades fail at once while no connection can be made, and go again when one can', async () => {
  const { guarded, waiting, clock } = setUp();
  for (let i = 0; i < 5; i += 1) {
    const failing = i % 2 ? guarded.upgrade(outgoing()) : guarded.request(outgoing());
    waiting[i]?.reject(down());
    await expect(failing).rejects.toThrow('no route to host');
  }
  expect(guarded.isBroken).toBe(true);
  await expect(guarded.request(outgoing())).rejects.toMatchObject({ kind: 'unreachable' });
  await expect(guarded.upgrade(outgoing())).rejects.toThrow('not tried again yet');
  expect(waiting).toHaveLength(5);
  clock.now += 500;
  const probe = guarded.upgrade(outgoing());
  waiting[5]?.resolve(answer);
  await probe;
  expect(guarded.isBroken).toBe(false);
});

test('so many short requests wait for an answer and no more; long ones, and those that are answered, do not count', async () => {
  const { guarded, waiting } = setUp(2);
  const requests = [guarded.request(outgoing()), guarded.request(outgoing())];
  for (let i = 0; i < 5; i += 1) void guarded.request(outgoing(true));
  await expect(guarded.request(outgoing())).rejects.toMatchObject({
    status: { code: 429, reason: 'TooManyRequests', details: { retryAfterSeconds: 1 } },
  });
  expect(waiting).toHaveLength(7);
  waiting[0]?.resolve(answer);
  await requests[0];
  const next = guarded.request(outgoing());
  waiting[1]?.reject(down());
  await expect(requests[1]).rejects.toThrow('no route');
  waiting[7]?.resolve(answer);
  await next;
  expect(guarded.connections()).toEqual({ http2: 1, http1: 2, upgraded: 3 });
});

test('without a limit any number waits', () => {
  const { guarded, waiting } = setUp(0);
  for (let i = 0; i < 1_000; i += 1) void guarded.request(outgoing());
  expect(waiting).toHaveLength(1_000);
});
