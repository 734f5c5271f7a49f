import { describe, expect, test, vi } from 'vitest';
import { formatMicroTime, preciseNow } from './micro-time.ts';

describe('a MicroTime', () => {
  test.each([
    [Date.UTC(2030, 0, 2, 3, 4, 5, 678), '2030-01-02T03:04:05.678000Z'],
    [Date.UTC(2030, 0, 2, 3, 4, 5, 0) + 0.25, '2030-01-02T03:04:05.000250Z'],
    [Date.UTC(2030, 0, 2, 3, 4, 5, 999) + 0.75, '2030-01-02T03:04:05.999750Z'],
    [Date.UTC(2029, 11, 31, 23, 59, 59, 999), '2029-12-31T23:59:59.999000Z'],
  ])('%d is %s', (epochMs, text) => {
    expect(formatMicroTime(epochMs)).toBe(text);
  });
});

describe('the precise clock', () => {
  test('agrees with the wall clock and does not run backwards', () => {
    let before = preciseNow();
    for (let i = 0; i < 10_000; i += 1) {
      const now = preciseNow();
      expect(now).toBeGreaterThanOrEqual(before);
      before = now;
    }
    expect(Math.abs(before - Date.now())).toBeLessThan(3);
  });

  test('follows a wall clock that was set', () => {
    const later = Date.now() + 3_600_000;
    const clock = vi.spyOn(Date, 'now').mockReturnValue(later);
    try {
      expect(preciseNow()).toBe(later);
      // A process that is paused meanwhile sees the clock, which stands still here, set once more.
      const readings = Array.from({ length: 50 }, () => {
        const soon = performance.now() + 0.2;
        while (performance.now() < soon);
        return preciseNow() - later;
      });
      expect(readings.every((since) => since >= 0 && since <= 2)).toBe(true);
      expect(readings.some((since) => since > 0.1)).toBe(true);
    } finally {
      clock.mockRestore();
    }
    expect(Math.abs(preciseNow() - Date.now())).toBeLessThan(3);
  });
});
