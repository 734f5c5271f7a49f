import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { RequestDeadline } from '../apiserver/request-deadline.ts';
import { FakeExchange } from '../apiserver/testing/fake-exchange.ts';
import { CarriedDeadline } from './carried-deadline.ts';
import type { CarriedBound } from './carried-deadline.ts';

const timeoutMs = 50;

function carry(bound: CarriedBound) {
  const exchange = new FakeExchange();
  const deadline = new RequestDeadline(exchange, { timeoutMs, onExpired: () => {} });
  const body = new PassThrough();
  // Whoever sends it on reads it.
  body.resume();
  return { exchange, body, carried: new CarriedDeadline(deadline, bound) };
}

/** Does something again and again for three times the deadline. */
async function keepOn(step: () => void): Promise<void> {
  for (let i = 0; i < 10; i += 1) {
    await sleep(15);
    step();
  }
}

describe('the deadline of a carried request', () => {
  test.each(['silent', 'head'] as const)('ends the wait for the head of an answer (%s)', async (bound) => {
    const { exchange } = carry(bound);
    await expect.poll(() => exchange.signal.aborted).toBe(true);
  });

  test('an upload that moves is not cut; one that has stopped is', async () => {
    const { carried, exchange } = carry('silent');
    await keepOn(() => carried.onBodyProgress());
    expect(exchange.signal.aborted).toBe(false);
    await expect.poll(() => exchange.signal.aborted).toBe(true);
  });

  test('an answer that moves is not cut; one that has stopped is', async () => {
    const { carried, exchange, body } = carry('silent');
    carried.answered(body);
    await keepOn(() => body.write('piece'));
    expect(exchange.signal.aborted).toBe(false);
    await expect.poll(() => exchange.signal.aborted).toBe(true);
  });

  test('the answer has the whole time from its head on', async () => {
    const { carried, exchange, body } = carry('silent');
    await sleep(35);
    carried.answered(body);
    await sleep(35);
    expect(exchange.signal.aborted).toBe(false);
  });

  test('a watch may be silent once it has begun', async () => {
    const { carried, exchange, body } = carry('head');
    carried.answered(body);
    await sleep(3 * timeoutMs);
    expect(exchange.signal.aborted).toBe(false);
  });

  test('an upgrade has no bound, one that is refused has', async () => {
    const upgraded = carry('head');
    upgraded.carried.upgraded();
    const refused = carry('head');
    refused.carried.ending(refused.body);
    await expect.poll(() => refused.exchange.signal.aborted).toBe(true);
    await sleep(timeoutMs);
    expect(upgraded.exchange.signal.aborted).toBe(false);
  });

  test('a followed log may be silent from the beginning', async () => {
    const { exchange } = carry('none');
    await sleep(3 * timeoutMs);
    expect(exchange.signal.aborted).toBe(false);
  });
});
