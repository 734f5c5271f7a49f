import { describe, expect, test } from 'vitest';
import { createInFlight } from './in-flight.ts';

const jane = { name: 'jane', groups: ['dev'] };
const admin = { name: 'admin', groups: ['system:masters'] };

describe('places in flight', () => {
  test('each class has its own', () => {
    const inFlight = createInFlight({ readOnly: 1, mutating: 1, longRunning: 1 });
    inFlight.enter('readOnly', jane);
    inFlight.enter('mutating', jane);
    inFlight.enter('longRunning', jane);
    expect(inFlight.counts).toEqual({ readOnly: 1, mutating: 1, longRunning: 1 });
    for (const requestClass of ['readOnly', 'mutating', 'longRunning'] as const)
      expect(() => inFlight.enter(requestClass, jane)).toThrow('Too many requests');
  });

  test('leaving twice frees one place', () => {
    const inFlight = createInFlight({ readOnly: 2, mutating: 1, longRunning: 1 });
    const leave = inFlight.enter('readOnly', jane);
    inFlight.enter('readOnly', jane);
    leave();
    leave();
    expect(inFlight.counts.readOnly).toBe(1);
  });

  test('system:masters takes a place too, but needs none', () => {
    const inFlight = createInFlight({ readOnly: 1, mutating: 1, longRunning: 1 });
    inFlight.enter('readOnly', admin);
    expect(() => inFlight.enter('readOnly', jane)).toThrow('Too many requests');
    inFlight.enter('readOnly', admin)();
    expect(inFlight.counts.readOnly).toBe(1);
  });

  test('0 is no limit', () => {
    const inFlight = createInFlight({ readOnly: 0, mutating: 0, longRunning: 0 });
    for (let i = 0; i < 10_000; i += 1) inFlight.enter('readOnly', jane);
    expect(inFlight.counts.readOnly).toBe(10_000);
  });
});
