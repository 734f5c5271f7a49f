import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { ReviewCache } from './review-cache.ts';
import type { Answer } from './review-cache.ts';

const signal = AbortSignal.timeout(60_000);

/** A hub that answers when it is told to, with what it is told. */
function setUp() {
  const cache = new ReviewCache<{ text: string }>(10);
  const asked: { answer: (text: string, ttlMs?: number) => void; fail: () => void }[] = [];
  const ask = () =>
    new Promise<Answer<{ text: string }>>((resolve, reject) => {
      asked.push({
        answer: (text, ttlMs = 100) => resolve({ value: { text }, ttlMs }),
        fail: () => reject(new Error('the hub is away')),
      });
    });
  const get = async () => (await cache.get('key', ask, signal)).text;
  /** Asks for it for the first time. */
  const begin = async () => {
    const first = get();
    asked[0]?.answer('first');
    expect(await first).toBe('first');
  };
  return { cache, asked, get, begin };
}

describe('answers of the hub', () => {
  test('that are used near their end are renewed behind those who use them, once', async () => {
    const { asked, get, begin, cache } = setUp();
    await begin();
    await sleep(85);
    for (let i = 0; i < 5; i += 1) expect(await get()).toBe('first');
    expect(asked.length).toBe(2);
    asked[1]?.answer('second');
    await sleep(0);
    expect(await get()).toBe('second');
    await sleep(70);
    // The first one's time is over, and nobody waited.
    expect(await get()).toBe('second');
    expect(asked.length).toBe(2);
    expect(cache.counts).toMatchObject({ misses: 1, errors: 0 });
  });

  test('are not renewed when nobody uses them, nor used beyond their time', async () => {
    const { asked, get, begin } = setUp();
    await begin();
    await sleep(120);
    expect(asked.length).toBe(1);
    const late = get();
    expect(asked.length).toBe(2);
    asked[1]?.answer('second');
    expect(await late).toBe('second');
  });

  test('serve to their end when the hub cannot be asked, which is tried once', async () => {
    const { asked, get, begin, cache } = setUp();
    await begin();
    await sleep(85);
    expect(await get()).toBe('first');
    asked[1]?.fail();
    await sleep(0);
    expect(await get()).toBe('first');
    expect(asked.length).toBe(2);
    expect(cache.counts.errors).toBe(1);
    await sleep(30);
    const late = get();
    asked[2]?.fail();
    await expect(late).rejects.toThrow('the hub is away');
  });

  test('are gone at once when the new one is not to be kept', async () => {
    const { asked, get, begin } = setUp();
    await begin();
    await sleep(85);
    expect(await get()).toBe('first');
    asked[1]?.answer('no', 0);
    await sleep(0);
    const next = get();
    expect(asked.length).toBe(3);
    asked[2]?.answer('no', 0);
    expect(await next).toBe('no');
  });
});
