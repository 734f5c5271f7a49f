import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { silentLog } from '../base/log.ts';
import { Scope } from '../base/scope.ts';
import { createDiscoveredServerCount } from './server-count.ts';

let scope: Scope;
let answer: readonly { family: number }[] | Error;
let asked: string[];
const log = { ...silentLog, info: vi.fn(), warn: vi.fn() };

beforeEach(() => {
  scope = new Scope();
  asked = [];
  vi.clearAllMocks();
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
});
afterEach(async () => {
  await scope.close();
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

const addresses = (...families: number[]) => families.map((family) => ({ family }));
const discover = async () =>
  scope.own(
    await createDiscoveredServerCount({
      host: 'anp.ns',
      resolve: (host) => {
        asked.push(host);
        return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
      },
      log,
    }),
  );

test.each([
  [addresses(4, 4, 4), 3],
  [addresses(6, 6), 2],
  // Two stacks: each server has one of both.
  [addresses(4, 4, 6, 6), 2],
  [addresses(4, 6, 6), 2],
  [[], 1],
])('%j are %i servers', async (addressList, count) => {
  answer = addressList;
  expect((await discover()).current()).toBe(count);
  expect(asked).toEqual(['anp.ns']);
});

test('the count follows the name every 30 s', async () => {
  answer = addresses(4);
  const servers = await discover();
  answer = addresses(4, 4, 4);
  await vi.advanceTimersByTimeAsync(29_999);
  expect(servers.current()).toBe(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(servers.current()).toBe(3);
  expect(log.info).toHaveBeenCalledTimes(1);
});

test('a look-up that fails leaves the count as it is, and is told once until one succeeds', async () => {
  answer = addresses(4, 4);
  const servers = await discover();
  for (const [next, warnings] of [
    [new Error('ENOTFOUND'), 1],
    [new Error('ENOTFOUND'), 1],
    [addresses(4, 4), 1],
    [new Error('ENOTFOUND'), 2],
  ] as const) {
    answer = next;
    await vi.advanceTimersByTimeAsync(30_000);
    expect(servers.current()).toBe(2);
    expect(log.warn).toHaveBeenCalledTimes(warnings);
  }
});

test('without any look-up that succeeds there is one', async () => {
  answer = new Error('ENOTFOUND');
  expect((await discover()).current()).toBe(1);
});

test('the resolver of the machine knows localhost', async () => {
  const servers = scope.own(await createDiscoveredServerCount({ host: 'localhost', log }));
  expect(servers.current()).toBe(1);
  expect(log.warn).not.toHaveBeenCalled();
});
