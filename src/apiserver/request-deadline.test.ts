import { Readable } from 'node:stream';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { RequestDeadline } from './request-deadline.ts';
import { FakeExchange } from './testing/fake-exchange.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test('an answer that is begun when the time is up has five seconds to end', async () => {
  const exchange = new FakeExchange();
  exchange.signal.addEventListener('abort', () =>
    exchange.stream(504, [], { body: new Readable({ read() {} }) }),
  );
  const onExpired = vi.fn();
  new RequestDeadline(exchange, { timeoutMs: 1000, onExpired });
  await vi.advanceTimersByTimeAsync(1000);
  expect([exchange.status, onExpired.mock.calls.length]).toEqual([504, 0]);
  await vi.advanceTimersByTimeAsync(4999);
  expect(exchange.aborted).toBe(false);
  await vi.advanceTimersByTimeAsync(1);
  expect(exchange.aborted).toBe(true);
  expect(vi.getTimerCount()).toBe(0);
});

test('time in a queue is a quarter of the whole, from the arrival on, and a minute at most', async () => {
  const waitOf = (timeoutMs: number) =>
    new RequestDeadline(new FakeExchange(), { timeoutMs, onExpired: () => {} });
  const [usual, long] = [waitOf(60_000), waitOf(3_600_000)];
  expect([usual.maxWaitMs, long.maxWaitMs]).toEqual([15_000, 60_000]);
  await vi.advanceTimersByTimeAsync(5000);
  expect(usual.maxWaitMs).toBe(10_000);
  usual.lower(24_000);
  expect(usual.maxWaitMs).toBe(1000);
});
