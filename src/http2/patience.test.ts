import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { errorCode } from './frame.ts';
import { Patience } from './patience.ts';

const calm: unknown = expect.objectContaining({ code: errorCode.enhanceYourCalm });

function atNow() {
  let now = 1_000_000;
  const spy = vi.spyOn(performance, 'now').mockImplementation(() => now);
  onTestFinished(() => spy.mockRestore());
  const patience = new Patience();
  const takenBeforeEnd = (): number => {
    for (let count = 0; count < 100_000; count += 1) {
      try {
        patience.take();
      } catch (error) {
        expect(error).toEqual(calm);
        return count;
      }
    }
    return Infinity;
  };
  return { patience, takenBeforeEnd, later: (ms: number) => (now += ms) };
}

describe('frames that bring nothing forward', () => {
  test('some 10,000 may come at once', () => {
    expect(atNow().takenBeforeEnd()).toBe(9_999);
  });

  test('1,000 a second may come for ever', () => {
    const { patience, later } = atNow();
    for (let i = 0; i < 100_000; i += 1) {
      patience.take();
      later(1.001);
    }
  });

  test('2,000 a second may not', () => {
    const { patience, later } = atNow();
    expect(() => {
      for (let i = 0; i < 100_000; i += 1) {
        patience.take();
        later(0.5);
      }
    }).toThrow(calm);
  });

  test('after a long silence there is no more than at first', () => {
    const { takenBeforeEnd, later } = atNow();
    takenBeforeEnd();
    later(3_600_000);
    expect(takenBeforeEnd()).toBeLessThanOrEqual(10_000);
  });

  test('each frame of a request makes good for eight', () => {
    const { patience, takenBeforeEnd } = atNow();
    for (let i = 0; i < 100_000; i += 1) {
      for (let j = 0; j < 8; j += 1) patience.take();
      patience.restore();
    }
    for (let i = 0; i < 50_000; i += 1) patience.restore();
    expect(takenBeforeEnd()).toBe(9_999);
  });

  test('nine for each are too many', () => {
    const { patience } = atNow();
    expect(() => {
      for (let i = 0; i < 100_000; i += 1) {
        for (let j = 0; j < 9; j += 1) patience.take();
        patience.restore();
      }
    }).toThrow(calm);
  });

  test('one may count for many', () => {
    const { patience } = atNow();
    patience.take(9_999);
    expect(() => patience.take()).toThrow(calm);
  });
});
