import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { FairQueue, Refused } from './fair-queue.ts';
import type { FairQueueOptions, Leave, RefusalReason } from './fair-queue.ts';

const patient = { signal: new AbortController().signal, maxWaitMs: 1e9 };

const create = (options: Partial<FairQueueOptions> = {}) =>
  new FairQueue({ limit: 4, maxWaiting: 16, share: 0.75, ...options });

/** Takes places until there is none. */
function fill(queue: FairQueue, name: string): Leave[] {
  const leaves: Leave[] = [];
  for (;;) {
    const leave = queue.enter(name);
    if (!leave) return leaves;
    leaves.push(leave);
  }
}

const reasonOf = async (waiting: Promise<Leave>): Promise<RefusalReason> => {
  const error: unknown = await waiting.then(
    () => undefined,
    (each: unknown) => each,
  );
  if (!(error instanceof Refused)) throw new Error('it was not refused');
  return error.reason;
};

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Lets all that has been promised happen. */
const settle = () => vi.advanceTimersByTimeAsync(0);

describe('places', () => {
  test.each([
    [1, 0.75, 1],
    [2, 0.75, 1],
    [3, 0.75, 2],
    [10, 0.75, 7],
    [400, 0.75, 300],
    [400, 0.5, 200],
    [400, 1, 400],
    [2, 1, 2],
    [10, 0.01, 1],
  ])('of %i, with a share of %d, one flow gets %i', (limit, share, expected) => {
    expect(fill(create({ limit, share }), 'flood')).toHaveLength(expected);
  });

  test('the more flows want places, the fewer each gets, and a new one finds one', () => {
    const queue = create({ limit: 400 });
    const got = ['a', 'b', 'c', 'd'].map((name) => fill(queue, name).length);
    expect(got).toEqual([300, 75, 18, 5]);
    expect(queue.enter('new')).toBeDefined();
  });

  test('the limit holds whoever asks', () => {
    const queue = create({ limit: 5 });
    for (let flow = 0; flow < 100; flow += 1) queue.enter(`flow-${flow}`);
    expect(queue.taken).toBe(5);
  });

  test('leaving twice frees one place', () => {
    const queue = create({ limit: 3 });
    const [first] = fill(queue, 'a');
    first?.();
    first?.();
    expect(queue.taken).toBe(1);
  });

  test('a flow is forgotten when it has nothing here', () => {
    const queue = create();
    for (let i = 0; i < 10_000; i += 1) queue.enter(`flow-${i}`)?.();
    expect(queue.flows).toBe(0);
  });
});

describe('the queue', () => {
  test('is served in order within a flow', async () => {
    const queue = create({ limit: 1 });
    const order: number[] = [];
    const first = queue.enter('a');
    for (const each of [1, 2, 3]) {
      void queue.wait('a', patient).then((leave) => {
        order.push(each);
        leave();
      });
    }
    await settle();
    expect(order).toEqual([]);
    first?.();
    await settle();
    expect(order).toEqual([1, 2, 3]);
    expect([queue.taken, queue.waiting, queue.flows]).toEqual([0, 0, 0]);
  });

  test('nobody overtakes those of its own flow who wait', async () => {
    const queue = create({ limit: 3 });
    const [first] = fill(queue, 'a');
    const waiting = queue.wait('a', patient);
    expect(queue.enter('a')).toBeUndefined();
    first?.();
    await waiting;
    expect(queue.enter('a')).toBeUndefined();
  });

  test('a place goes to the flow with the fewest, then to the one that has waited longest', async () => {
    const queue = create({ limit: 3, share: 1 });
    const leaves = [...fill(queue, 'a')];
    const order: string[] = [];
    for (const flow of ['a', 'a', 'b', 'b', 'c']) {
      void queue.wait(flow, patient).then((leave) => {
        order.push(flow);
        leaves.push(leave);
      });
    }
    for (let i = 0; i < 5; i += 1) {
      leaves.shift()?.();
      await settle();
    }
    expect(order).toEqual(['b', 'c', 'a', 'b', 'a']);
  });

  test('is limited, one flow gets its share of it, and a new flow finds a place in it', async () => {
    const queue = create({ limit: 1, maxWaiting: 8 });
    queue.enter('a');
    const waiting = Array.from({ length: 10_000 }, () => reasonOf(queue.wait('flood', patient)));
    expect(queue.waiting).toBe(6);
    expect(await waiting.at(-1)).toBe('queue-full');
    for (let flow = 0; flow < 100; flow += 1) queue.wait(`flow-${flow}`, patient).catch(() => undefined);
    expect(queue.waiting).toBe(8);
    expect(queue.flows).toBeLessThanOrEqual(4);
  });

  test('without a queue there is no waiting', async () => {
    const queue = create({ limit: 1, maxWaiting: 0 });
    queue.enter('a');
    expect(await reasonOf(queue.wait('b', patient))).toBe('concurrency-limit');
  });

  test('who goes away leaves it at once', async () => {
    const queue = create({ limit: 1 });
    const first = queue.enter('a');
    const controller = new AbortController();
    const waiting = reasonOf(queue.wait('b', { ...patient, signal: controller.signal }));
    const next = queue.wait('b', patient);
    expect(queue.waiting).toBe(2);
    controller.abort();
    expect(queue.waiting).toBe(1);
    expect(await waiting).toBe('cancelled');
    expect(await reasonOf(queue.wait('b', { ...patient, signal: controller.signal }))).toBe('cancelled');
    first?.();
    (await next)();
    expect([queue.taken, queue.waiting, queue.flows]).toEqual([0, 0, 0]);
  });

  test('patience ends', async () => {
    const queue = create({ limit: 1 });
    queue.enter('a');
    const waiting = reasonOf(queue.wait('b', { ...patient, maxWaitMs: 15_000 }));
    await vi.advanceTimersByTimeAsync(14_999);
    expect(queue.waiting).toBe(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(await waiting).toBe('time-out');
    expect([queue.waiting, queue.flows]).toEqual([0, 1]);
    expect(await reasonOf(queue.wait('b', { ...patient, maxWaitMs: 0 }))).toBe('time-out');
  });

  test('leaves no timer and no listener behind', async () => {
    const queue = create({ limit: 1 });
    const controller = new AbortController();
    const remove = vi.spyOn(controller.signal, 'removeEventListener');
    const first = queue.enter('a');
    const waiting = queue.wait('b', { signal: controller.signal, maxWaitMs: 1e6 });
    first?.();
    (await waiting)();
    expect(vi.getTimerCount()).toBe(0);
    expect(remove).toHaveBeenCalledOnce();
  });
});

/** A small generator of numbers from 0 to 1 that gives the same ones for the same seed (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Sent {
  readonly flow: string;
  readonly at: number;
  startedAt?: number;
}

/** A server whose clock goes on only when it is told to. */
class Simulation {
  now = 0;
  readonly queue: FairQueue;
  readonly #ends: { at: number; leave: Leave }[] = [];
  readonly #cut = new AbortController();

  constructor(options: Partial<FairQueueOptions>) {
    this.queue = create(options);
  }

  /** Sends a request that takes `serviceMs` once it has a place. */
  send(flow: string, serviceMs: number): Sent {
    const sent: Sent = { flow, at: this.now };
    const serve = (leave: Leave) => {
      sent.startedAt = this.now;
      this.#ends.push({ at: this.now + serviceMs, leave });
    };
    const leave = this.queue.enter(flow);
    if (leave) serve(leave);
    else this.queue.wait(flow, { signal: this.#cut.signal, maxWaitMs: 1e9 }).then(serve, () => undefined);
    return sent;
  }

  async advance(ms: number): Promise<void> {
    const until = this.now + ms;
    for (;;) {
      const next = Math.min(...this.#ends.map(({ at }) => at));
      if (next > until) break;
      this.now = next;
      const index = this.#ends.findIndex(({ at }) => at === next);
      this.#ends.splice(index, 1)[0]?.leave();
      await turn();
    }
    this.now = until;
  }

  /** All who wait go away. */
  cut(): void {
    this.#cut.abort();
  }
}

const delayOf = ({ at, startedAt = Infinity }: Sent) => startedAt - at;
const startedOf = (all: readonly Sent[]) => all.filter(({ startedAt }) => startedAt !== undefined).length;

describe('fairness', () => {
  beforeEach(() => void vi.useRealTimers());

  test.each([1, 2, 8, 40])(
    'a flood of 10,000 requests delays a request of another by at most one service time (%i places)',
    async (limit) => {
      const server = new Simulation({ limit, maxWaiting: 100_000 });
      const flood = Array.from({ length: 10_000 }, () => server.send('flood', 100));
      const others: Sent[] = [];
      for (let i = 0; i < 20; i += 1) {
        await server.advance(237);
        others.push(server.send('other', 100));
      }
      await server.advance(1000);
      server.cut();
      expect(Math.max(...others.map(delayOf))).toBeLessThanOrEqual(100);
      // What nobody else wants is put to use.
      expect(startedOf(flood)).toBeGreaterThan(20 * limit);
    },
  );

  test('a flood whose requests never end leaves places to others', async () => {
    const server = new Simulation({ limit: 4 });
    for (let i = 0; i < 1000; i += 1) server.send('flood', 1e9);
    for (let i = 0; i < 50; i += 1) {
      expect(delayOf(server.send('other', 100))).toBe(0);
      await server.advance(100);
    }
    server.cut();
  });

  test.each([1, 2, 3, 4, 5, 6, 7, 8])('no flow starves, whatever comes when (seed %i)', async (seed) => {
    const random = randomOf(seed);
    const limit = 1 + Math.floor(random() * 10);
    const flows = 2 + Math.floor(random() * 20);
    const server = new Simulation({ limit, maxWaiting: 1e6, share: 0.2 + random() * 0.8 });
    const all: Sent[] = [];
    for (let i = 0; i < 2000; i += 1) {
      // A few flows send most of what comes, more than can be served.
      const flow = `flow-${Math.floor(random() ** 3 * flows)}`;
      all.push(server.send(flow, 1 + Math.floor(random() * 50)));
      expect(server.queue.taken).toBeLessThanOrEqual(limit);
      if (random() < 0.5) await server.advance((random() * 40) / limit);
    }
    await server.advance(1e6);
    const before = new Map<string, number>();
    for (const sent of all) {
      // At worst a request waits for those of its own flow before it, each time behind one of every other flow.
      const ownBefore = before.get(sent.flow) ?? 0;
      before.set(sent.flow, ownBefore + 1);
      expect(delayOf(sent)).toBeLessThanOrEqual((ownBefore + 1) * flows * 50);
    }
    expect([server.queue.taken, server.queue.waiting, server.queue.flows]).toEqual([0, 0, 0]);
  });

  test('two flows that want all get the same', async () => {
    const server = new Simulation({ limit: 20, maxWaiting: 100_000 });
    const first = Array.from({ length: 4000 }, () => server.send('first', 100));
    await server.advance(250);
    const second = Array.from({ length: 4000 }, () => server.send('second', 100));
    const before = startedOf(first);
    await server.advance(5000);
    server.cut();
    const ratio = (startedOf(first) - before) / startedOf(second);
    expect(ratio).toBeGreaterThan(0.8);
    expect(ratio).toBeLessThan(1.25);
  });
});
