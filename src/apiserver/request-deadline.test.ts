import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { RequestDeadline } from './request-deadline.ts';
import { FakeExchange } from './testing/fake-exchange.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

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
