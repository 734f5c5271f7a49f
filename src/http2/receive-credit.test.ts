import { describe, expect, test } from 'vitest';
import { ReceiveCredit } from './receive-credit.ts';

function creditOf(windowBytes: number, maxUnreadBytes: number) {
  const given: number[] = [];
  const credit = new ReceiveCredit({ windowBytes, maxUnreadBytes, give: (bytes) => given.push(bytes) });
  return { credit, given };
}

describe('the window of a connection', () => {
  test('may be used to its last byte, and no further', () => {
    const { credit } = creditOf(100, 1_000);
    expect(credit.take(60)).toBe(true);
    expect(credit.take(40)).toBe(true);
    expect(credit.take(0)).toBe(true);
    expect(credit.take(1)).toBe(false);
  });

  test('is given back when half of it is used, read or not', () => {
    const { credit, given } = creditOf(100, 1_000);
    credit.take(49);
    credit.keep(49);
    credit.giveBack();
    expect(given).toEqual([]);
    credit.take(1);
    credit.keep(1);
    credit.giveBack();
    expect(given).toEqual([50]);
    credit.giveBack();
    expect(given).toEqual([50]);
    expect(credit.take(100)).toBe(true);
    expect(credit.take(1)).toBe(false);
  });

  test('is withheld while more is unread than may be, and given back when it is read', () => {
    const { credit, given } = creditOf(100, 150);
    for (let i = 0; i < 3; i += 1) {
      credit.take(50);
      credit.keep(50);
      credit.giveBack();
    }
    expect(given).toEqual([50, 50, 50]);
    credit.take(50);
    credit.keep(50);
    credit.giveBack();
    credit.take(50);
    credit.keep(50);
    credit.giveBack();
    // 250 came, 150 of them on credit that was given back.
    expect(given).toEqual([50, 50, 50]);
    expect(credit.take(1)).toBe(false);
    credit.take(-1);
    credit.read(99);
    expect(given).toEqual([50, 50, 50]);
    credit.read(1);
    expect(given).toEqual([50, 50, 50, 100]);
  });

  test('what is kept by nobody counts as read', () => {
    const { credit, given } = creditOf(100, 0);
    for (let i = 0; i < 100; i += 1) {
      expect(credit.take(50)).toBe(true);
      credit.giveBack();
    }
    expect(given).toEqual(Array<number>(100).fill(50));
  });
});
