import { describe, expect, test } from 'vitest';
import { Budget } from './budget.ts';
import type { Charged } from './budget.ts';

/** Holds what it is charged, and lets go of all of it when there is too much. */
class Holder implements Charged {
  heldBytes = 0;
  cuts = 0;
  letsGo = true;
  readonly #budget: Budget;

  constructor(budget: Budget) {
    this.#budget = budget;
  }

  hold(bytes: number): void {
    this.heldBytes += bytes;
    this.#budget.charge(this, bytes);
  }

  release(bytes: number): void {
    this.heldBytes -= bytes;
    this.#budget.release(this, bytes);
  }

  overBudget(): void {
    this.cuts += 1;
    if (this.letsGo) this.release(this.heldBytes);
  }
}

describe('bytes that all hold together', () => {
  test('are the sum of what each holds', () => {
    const budget = new Budget(1_000);
    const [one, other] = [new Holder(budget), new Holder(budget)];
    one.hold(100);
    other.hold(200);
    one.hold(50);
    other.release(20);
    expect(budget.heldBytes).toBe(330);
    one.release(150);
    other.release(180);
    expect(budget.heldBytes).toBe(0);
  });

  test('beyond the limit the one that holds most is cut, whoever came last', () => {
    const budget = new Budget(1_000);
    const holders = [100, 500, 300].map((bytes) => {
      const holder = new Holder(budget);
      holder.hold(bytes);
      return holder;
    });
    holders[0]?.hold(100);
    expect(holders.map(({ cuts }) => cuts)).toEqual([0, 0, 0]);
    holders[0]?.hold(1);
    expect(holders.map(({ cuts }) => cuts)).toEqual([0, 1, 0]);
    expect(budget.heldBytes).toBe(501);
  });

  test('each time it is the largest of then', () => {
    const budget = new Budget(1_000);
    const holders = [300, 200, 400].map((bytes) => {
      const holder = new Holder(budget);
      holder.hold(bytes);
      return holder;
    });
    const late = new Holder(budget);
    late.hold(950);
    expect([...holders, late].map(({ cuts }) => cuts)).toEqual([0, 0, 0, 1]);
    late.hold(750);
    expect([...holders, late].map(({ cuts }) => cuts)).toEqual([0, 0, 0, 2]);
    for (const holder of holders) holder.hold(30);
    late.hold(200);
    expect([...holders, late].map(({ cuts }) => cuts)).toEqual([0, 0, 1, 2]);
    expect(budget.heldBytes).toBe(760);
  });

  test('who lets go of nothing is not asked for ever', () => {
    const budget = new Budget(100);
    const gone = new Holder(budget);
    gone.letsGo = false;
    gone.overBudget = () => {
      gone.cuts += 1;
      gone.heldBytes = 0;
    };
    gone.hold(101);
    expect(gone.cuts).toBe(1);
  });

  test('who holds nothing is not remembered', () => {
    const budget = new Budget(100);
    const [idle, busy] = [new Holder(budget), new Holder(budget)];
    idle.hold(50);
    idle.release(50);
    // It would seem to hold most now.
    idle.heldBytes = 1_000;
    busy.hold(101);
    expect([idle.cuts, busy.cuts]).toEqual([0, 1]);
  });

  test('are many from a quarter on', () => {
    const budget = new Budget(1_000);
    const holder = new Holder(budget);
    holder.hold(250);
    expect(budget.isTight).toBe(false);
    holder.hold(1);
    expect(budget.isTight).toBe(true);
    holder.release(1);
    expect(budget.isTight).toBe(false);
  });
});
