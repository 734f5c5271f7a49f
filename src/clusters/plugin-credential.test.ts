import { beforeEach, describe, expect, test } from 'vitest';
import { PluginCredential } from './plugin-credential.ts';

interface Printed {
  readonly number: number;
}

let now: number;
let runs: number;
let failures: unknown[];
/** What the next runs do. */
let lifeMs: number | undefined;
let failing: boolean;
let gate: Promise<void> | undefined;
let plugin: PluginCredential<Printed>;

beforeEach(() => {
  now = 1_000_000;
  runs = 0;
  failures = [];
  lifeMs = undefined;
  failing = false;
  gate = undefined;
  plugin = new PluginCredential<Printed>({
    now: () => now,
    onFailed: (error) => failures.push(error),
    run: async () => {
      runs += 1;
      const number = runs;
      await gate;
      if (failing) throw new Error(`run ${number} failed`);
      return { credential: { number }, expiresAt: lifeMs === undefined ? undefined : now + lifeMs };
    },
  });
});

/** What a caller gets, and whether it had to wait for it. */
async function ask(): Promise<{ number: number | undefined; waited: boolean }> {
  const resolved = plugin.resolve();
  const waited = resolved instanceof Promise;
  const printed = await resolved;
  // What runs behind the caller comes to its end.
  await new Promise((resolve) => setImmediate(resolve));
  return { number: printed.number, waited };
}

async function refused(): Promise<void> {
  plugin.reject(await plugin.resolve());
}

test('runs once for many callers, and is remembered', async () => {
  const asked = await Promise.all(Array.from({ length: 100 }, ask));
  expect(new Set(asked.map(({ number }) => number))).toEqual(new Set([1]));
  expect(await ask()).toEqual({ number: 1, waited: false });
  expect(runs).toBe(1);
});

describe('a credential that ends', () => {
  test('is renewed behind the callers a minute before', async () => {
    lifeMs = 3_600_000;
    await ask();
    expect(plugin.expiresAt).toBe(now + lifeMs);
    now += lifeMs - 60_001;
    expect(await ask()).toEqual({ number: 1, waited: false });
    expect(runs).toBe(1);
    now += 1;
    expect(await ask()).toEqual({ number: 1, waited: false });
    expect(await ask()).toEqual({ number: 2, waited: false });
    expect(runs).toBe(2);
  });

  test('is renewed once, however many ask meanwhile', async () => {
    lifeMs = 100_000;
    await ask();
    now += 90_000;
    const opened = Promise.withResolvers<undefined>();
    gate = opened.promise;
    const asked = await Promise.all(Array.from({ length: 50 }, ask));
    expect(asked).toEqual(Array(50).fill({ number: 1, waited: false }));
    expect(runs).toBe(2);
    opened.resolve(undefined);
    await expect.poll(ask).toEqual({ number: 2, waited: false });
  });

  test('in a short life is renewed in the last fifth of it: not at every request', async () => {
    lifeMs = 10_000;
    await ask();
    now += 7_999;
    await ask();
    expect(runs).toBe(1);
    now += 1;
    await ask();
    expect(runs).toBe(2);
  });

  test('and could not be renewed is used to its end, and then the failure is told', async () => {
    lifeMs = 100_000;
    await ask();
    failing = true;
    now += 90_000;
    expect(await ask()).toEqual({ number: 1, waited: false });
    now += 9_999;
    expect(await ask()).toEqual({ number: 1, waited: false });
    now += 1;
    await expect(plugin.resolve()).rejects.toThrow('failed');
  });

  test('is waited for when nobody asked in time', async () => {
    lifeMs = 100_000;
    await ask();
    now += lifeMs;
    expect(await ask()).toEqual({ number: 2, waited: true });
  });
});

test('a credential without an end is renewed after ten minutes, and goes on where that fails', async () => {
  await ask();
  now += 599_999;
  await ask();
  expect(runs).toBe(1);
  failing = true;
  now += 1;
  expect(await ask()).toEqual({ number: 1, waited: false });
  expect(runs).toBe(2);
  now += 86_400_000;
  expect(await ask()).toEqual({ number: 1, waited: false });
});

test('a plugin that fails runs again after pauses that grow to 30 s, whoever asks how often', async () => {
  failing = true;
  const ranAt: number[] = [];
  const started = now;
  for (; now < started + 100_000; now += 100) {
    const before = runs;
    await expect(plugin.resolve()).rejects.toThrow(`run ${Math.max(1, runs)} failed`);
    if (runs > before) ranAt.push((now - started) / 1000);
  }
  expect(ranAt).toEqual([0, 1, 3, 7, 15, 31, 61, 91]);
  expect(failures).toHaveLength(8);
  failing = false;
  now += 30_000;
  expect(await ask()).toMatchObject({ number: 9 });
  failing = true;
  now += 600_000;
  await ask();
  now += 1_000;
  await ask();
  expect(runs).toBe(11);
});

describe('a 401 of the cluster', () => {
  test('has the plugin run for the next request, once for many', async () => {
    const credential = await plugin.resolve();
    for (let i = 0; i < 10; i += 1) plugin.reject(credential);
    expect(runs).toBe(1);
    const asked = await Promise.all(Array.from({ length: 10 }, ask));
    expect(asked).toEqual(Array(10).fill({ number: 2, waited: true }));
    expect(runs).toBe(2);
    // Answers to requests that were sent with the old one.
    plugin.reject(credential);
    expect(await ask()).toEqual({ number: 2, waited: false });
  });

  test('and a plugin that fails, too: the old credential goes on', async () => {
    await refused();
    failing = true;
    expect(await ask()).toEqual({ number: 1, waited: true });
    expect(await ask()).toEqual({ number: 1, waited: false });
    expect(failures).toHaveLength(1);
  });

  test('that comes again and again runs it after pauses that grow to a minute', async () => {
    const ranAt: number[] = [];
    const started = now;
    await ask();
    for (; now < started + 300_000; now += 500) {
      const before = runs;
      await refused();
      await ask();
      if (runs > before) ranAt.push((now - started) / 1000);
    }
    expect(ranAt).toEqual([0, 1, 3, 7, 15, 31, 63, 123, 183, 243]);
  });

  test('counts at once where the credential was a good one for long', async () => {
    await ask();
    for (let i = 0; i < 8; i += 1) {
      await refused();
      await ask();
      now += 60_000;
    }
    const before = runs;
    now += 60_001;
    await refused();
    await ask();
    now += 1_000;
    await refused();
    await ask();
    expect(runs).toBe(before + 2);
  });
});
