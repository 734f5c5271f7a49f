import { Registry } from 'prom-client';
import { describe, expect, test } from 'vitest';
import { registerInFlightMetrics } from './in-flight-metrics.ts';
import { TooManyRequests, createInFlight } from './in-flight.ts';
import type { RequestClass } from './in-flight.ts';

const jane = { name: 'jane', groups: ['dev'] };
const bob = { name: 'bob', groups: ['dev'] };
const admin = { name: 'admin', groups: ['system:masters'] };
const patience = { signal: new AbortController().signal, maxWaitMs: 20 };
const limits = { readOnly: 1, mutating: 1, longRunning: 1 };

const refusal = {
  status: {
    code: 429,
    message: 'Too many requests, please try again later.',
    details: { retryAfterSeconds: 1 },
  },
};

describe('places in flight', () => {
  test('each class has its own; only short requests wait', async () => {
    const inFlight = createInFlight(limits);
    for (const each of ['readOnly', 'mutating', 'longRunning'] as const)
      expect(inFlight.enter(each, jane, patience)).toBeTypeOf('function');
    expect(inFlight.counts).toEqual({ readOnly: 1, mutating: 1, longRunning: 1 });
    expect(() => inFlight.enter('longRunning', bob, patience)).toThrow(TooManyRequests);
    const waiting = (['readOnly', 'mutating'] as const).map((each) => inFlight.enter(each, bob, patience));
    expect(inFlight.waiting).toEqual({ readOnly: 1, mutating: 1, longRunning: 0 });
    for (const each of waiting) await expect(each).rejects.toMatchObject(refusal);
    expect(inFlight.waiting).toEqual({ readOnly: 0, mutating: 0, longRunning: 0 });
  });

  test('a place that is freed goes to who waits', async () => {
    const inFlight = createInFlight(limits);
    const leave = await inFlight.enter('mutating', jane, patience);
    const waiting = inFlight.enter('mutating', bob, { ...patience, maxWaitMs: 10_000 });
    leave();
    (await waiting)();
    expect(inFlight.counts.mutating).toBe(0);
  });

  test('one user cannot take all places of long-running requests', () => {
    const inFlight = createInFlight({ ...limits, longRunning: 10_000 });
    const takeAll = (name: string) => {
      for (let taken = 0; ; taken += 1) {
        try {
          void inFlight.enter('longRunning', { name, groups: [] }, patience);
        } catch (error) {
          expect(error).toBeInstanceOf(TooManyRequests);
          return taken;
        }
      }
    };
    expect(takeAll('flood')).toBe(7500);
    expect(takeAll('other')).toBe(1875);
    expect(takeAll('third')).toBeGreaterThan(400);
    expect(inFlight.counts.longRunning).toBeLessThan(10_000);
  });

  test('users are told apart by name alone: groups make no second caller', () => {
    const inFlight = createInFlight({ ...limits, longRunning: 2 });
    void inFlight.enter('longRunning', jane, patience);
    expect(() => inFlight.enter('longRunning', { name: 'jane', groups: [] }, patience)).toThrow(
      TooManyRequests,
    );
    expect(inFlight.enter('longRunning', bob, patience)).toBeTypeOf('function');
  });

  test('system:masters need no place, are counted, and take none from others', () => {
    const inFlight = createInFlight(limits);
    const enter = (each: RequestClass, user = admin) => inFlight.enter(each, user, patience);
    for (let i = 0; i < 5; i += 1) void enter('longRunning');
    const leave = enter('longRunning', jane);
    expect(leave).toBeTypeOf('function');
    expect(enter('longRunning')).toBeTypeOf('function');
    expect(inFlight.counts.longRunning).toBe(7);
    expect(() => enter('longRunning', bob)).toThrow(TooManyRequests);
  });

  test('leaving twice frees one place', async () => {
    const inFlight = createInFlight({ ...limits, readOnly: 4 });
    for (const user of [jane, admin]) {
      const leave = await inFlight.enter('readOnly', user, patience);
      void inFlight.enter('readOnly', user, patience);
      leave();
      leave();
    }
    expect(inFlight.counts.readOnly).toBe(2);
  });

  test('the queue is bounded: four for each place, and 10,000', () => {
    const waitingOf = (limit: number, asked: number) => {
      const controller = new AbortController();
      const inFlight = createInFlight({ ...limits, readOnly: limit }, 1);
      for (let i = 0; i < limit + asked; i += 1) {
        const entered = inFlight.enter('readOnly', jane, { signal: controller.signal, maxWaitMs: 1e6 });
        if (entered instanceof Promise) entered.catch(() => undefined);
      }
      const { waiting } = inFlight;
      const before = waiting.readOnly;
      controller.abort();
      expect(waiting.readOnly).toBe(0);
      return before;
    };
    expect(waitingOf(10, 1000)).toBe(40);
    expect(waitingOf(5000, 20_000)).toBe(10_000);
  });

  test('0 is no limit', () => {
    const inFlight = createInFlight({ readOnly: 0, mutating: 0, longRunning: 0 });
    for (let i = 0; i < 10_000; i += 1) void inFlight.enter('readOnly', jane, patience);
    expect(inFlight.counts.readOnly).toBe(10_000);
  });
});

describe('metrics of places in flight', () => {
  test('say who waits, who waited and who was refused', async () => {
    const inFlight = createInFlight({ readOnly: 1, mutating: 1, longRunning: 1 });
    const registry = new Registry();
    registerInFlightMetrics(registry, inFlight);
    const leave = await inFlight.enter('readOnly', jane, patience);
    void inFlight.enter('longRunning', jane, patience);
    const refused = inFlight.enter('readOnly', bob, patience);
    const other = inFlight.enter('readOnly', jane, patience);
    expect(() => inFlight.enter('longRunning', bob, patience)).toThrow();
    const text = await registry.metrics();
    expect(text).toContain('apiserver_current_inflight_requests{request_kind="readOnly"} 1');
    expect(text).toContain('apiserver_current_inqueue_requests{request_kind="readOnly"} 2');
    expect(text).toContain('apiserver_current_inqueue_requests{request_kind="mutating"} 0');
    expect(text).toContain('apiserver_flowcontrol_nominal_limit_seats{priority_level="mutating"} 1');
    expect(text).toContain('apiserver_longrunning_requests 1');
    for (const each of [refused, other]) await expect(each).rejects.toThrow();
    const waiting = inFlight.enter('readOnly', bob, patience);
    leave();
    await waiting;
    const after = await registry.metrics();
    const waited =
      'apiserver_flowcontrol_request_wait_duration_seconds_count{priority_level="readOnly",execute=';
    expect(after).toContain(`${waited}"true"} 1`);
    expect(after).toContain(`${waited}"false"} 2`);
    const rejected = 'apiserver_flowcontrol_rejected_requests_total{priority_level=';
    expect(after).toContain(`${rejected}"readOnly",reason="time-out"} 2`);
    expect(after).toContain(`${rejected}"longRunning",reason="concurrency-limit"} 1`);
  });
});
