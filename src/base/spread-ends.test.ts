import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { SpreadEnds } from './spread-ends.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function withStreams(count: number) {
  const streams = new SpreadEnds();
  const ended: number[] = [];
  const removes = Array.from({ length: count }, (_, i) => streams.add(() => ended.push(i)));
  return { streams, ended, removes };
}

describe('the end of many streams', () => {
  test('is spread evenly over the time, in no order', () => {
    const { streams, ended } = withStreams(2_000);
    streams.endAll(10_000);
    const counts: number[] = [];
    for (let second = 0; second < 10; second += 1) {
      counts.push(ended.length);
      vi.advanceTimersByTime(1_000);
    }
    expect(ended).toHaveLength(2_000);
    counts.forEach((count, second) => expect(Math.abs(count - second * 200)).toBeLessThan(20));
    expect(ended).not.toEqual(ended.toSorted((left, right) => left - right));
  });

  test('takes no longer than few of them need', () => {
    const { streams, ended } = withStreams(5);
    streams.endAll(10_000);
    vi.advanceTimersByTime(50);
    expect(ended).toHaveLength(5);
  });

  test('leaves out those that ended by themselves, and begins once', () => {
    const { streams, ended, removes } = withStreams(3);
    removes[1]?.();
    streams.endAll(1_000);
    removes[2]?.();
    streams.endAll(1_000);
    vi.advanceTimersByTime(1_000);
    expect(ended).toEqual([0]);
    expect(streams.size).toBe(0);
  });

  test('meets those that come later at once', () => {
    const { streams, ended } = withStreams(0);
    streams.endAll(1_000);
    streams.add(() => ended.push(7));
    expect(ended).toEqual([7]);
  });

  test('comes at once when it must', () => {
    const { streams, ended } = withStreams(100);
    streams.endAll(60_000);
    streams.destroy();
    expect(ended).toHaveLength(100);
    vi.advanceTimersByTime(60_000);
    expect(ended).toHaveLength(100);
    expect(vi.getTimerCount()).toBe(0);
  });
});
