import { getEventListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { KubeObject } from '../kube/object-meta.ts';
import type { WatchEvent } from '../kube/watch-event.ts';
import { WatchCache } from './watch-cache.ts';

interface Thing extends KubeObject {
  readonly value: string;
}

const thing = (name: string, value = '', resourceVersion?: string): Thing => ({
  apiVersion: 'v1',
  kind: 'Thing',
  metadata: { name, ...(resourceVersion === undefined ? {} : { resourceVersion }) },
  value,
});

const shown = (event: WatchEvent<Thing> | undefined) => {
  if (event?.type === undefined) return 'end';
  if (event.type === 'BOOKMARK') return `BOOKMARK@${event.resourceVersion}`;
  const { name, resourceVersion = '?' } = event.object.metadata;
  return `${event.type} ${name}@${resourceVersion}`;
};

/** Reads what is there now, without waiting for more. */
async function readAll(events: AsyncIterable<WatchEvent<Thing>>): Promise<string[]> {
  const found: string[] = [];
  const iterator = events[Symbol.asyncIterator]();
  for (;;) {
    const next = await Promise.race([iterator.next(), sleep(20, 'nothing')]);
    if (typeof next === 'string' || next.done) return found;
    found.push(shown(next.value));
  }
}

const until = () => new AbortController();

describe('versions that count up', () => {
  test('every change is one event with a greater version', async () => {
    const cache = new WatchCache<Thing>();
    const since = cache.resourceVersion;
    cache.upsert(thing('a'));
    cache.upsert(thing('b'));
    cache.upsert(thing('a', 'new'));
    cache.remove('b');
    cache.remove('nobody');
    expect(await readAll(cache.events(since, until().signal))).toEqual([
      'ADDED a@2',
      'ADDED b@3',
      'MODIFIED a@4',
      'DELETED b@5',
    ]);
    expect(await readAll(cache.events('3', until().signal))).toEqual(['MODIFIED a@4', 'DELETED b@5']);
    expect(cache.list()).toEqual({ items: [thing('a', 'new', '4')], resourceVersion: '5' });
    expect(cache.get('a')?.value).toBe('new');
    expect(cache.get('b')).toBeUndefined();
  });

  test('an equal object is no change', () => {
    const cache = new WatchCache<Thing>();
    cache.upsert(thing('a', 'x'));
    cache.upsert(thing('a', 'x'));
    cache.replace([thing('a', 'x')]);
    expect(cache.resourceVersion).toBe('2');
  });

  test('what was there before is told', async () => {
    const cache = new WatchCache<Thing>();
    cache.upsert(thing('a', 'old'));
    const events = cache.events(undefined, until().signal)[Symbol.asyncIterator]();
    const next = events.next();
    cache.upsert(thing('a', 'new'));
    expect((await next).value).toMatchObject({ type: 'MODIFIED', previous: { value: 'old' } });
  });

  test('an object made anew under its name is deleted and added', async () => {
    const cache = new WatchCache<Thing>();
    const made = (uid: string) => ({ ...thing('a'), metadata: { name: 'a', uid } });
    cache.upsert(made('1'));
    const since = cache.resourceVersion;
    cache.upsert(made('2'));
    expect((await readAll(cache.events(since, until().signal))).map((line) => line.split('@')[0])).toEqual([
      'DELETED a',
      'ADDED a',
    ]);
  });
});

describe("a hub's versions", () => {
  test('objects keep their own, events never go back', async () => {
    const cache = new WatchCache<Thing>();
    cache.replace([thing('a', '', '90')], '100');
    expect(cache.list()).toEqual({ items: [thing('a', '', '90')], resourceVersion: '100' });
    cache.upsert(thing('b', '', '105'), '105');
    cache.upsert(thing('c', '', '103'), '103');
    expect(cache.resourceVersion).toBe('105');
    cache.remove('a', { resourceVersion: '107' });
    expect(await readAll(cache.events('100', until().signal))).toEqual([
      'ADDED b@105',
      'ADDED c@103',
      'DELETED a@107',
    ]);
    expect(cache.resourceVersion).toBe('107');
  });

  test('versions are compared as numbers of any length', async () => {
    const cache = new WatchCache<Thing>();
    cache.replace([], '9');
    cache.upsert(thing('a', '', '10'), '10');
    cache.upsert(thing('b', '', '90071992547409930001'), '90071992547409930001');
    expect(await readAll(cache.events('10', until().signal))).toEqual(['ADDED b@90071992547409930001']);
  });

  test('a relist makes events of the differences, and one that comes back misses none of them', async () => {
    const cache = new WatchCache<Thing>();
    cache.replace([thing('a', '', '1'), thing('b', '', '2'), thing('c', '', '3')], '10');
    cache.replace([thing('c', 'new', '18'), thing('d', '', '15')], '20');
    const all = ['DELETED a@10', 'DELETED b@10', 'ADDED d@15', 'MODIFIED c@18', 'BOOKMARK@20'];
    expect(await readAll(cache.events('10', until().signal))).toEqual(all);
    expect(await readAll(cache.events('15', until().signal))).toEqual(all.slice(3));
    expect(await readAll(cache.events('20', until().signal))).toEqual([]);
  });

  test('one difference that a relist found is told to one that comes back with the version before', async () => {
    const cache = new WatchCache<Thing>();
    cache.replace([thing('a', '', '1')], '10');
    cache.replace([], '20');
    expect(await readAll(cache.events('10', until().signal))).toEqual(['DELETED a@10', 'BOOKMARK@20']);
    expect(await readAll(cache.events('20', until().signal))).toEqual([]);
  });

  test('advance is told by a bookmark', async () => {
    const cache = new WatchCache<Thing>();
    cache.replace([], '10');
    cache.advance('12');
    cache.advance('11');
    expect(await readAll(cache.events('10', until().signal))).toEqual(['BOOKMARK@12']);
  });

  test('a history that went back ends all watches', async () => {
    const cache = new WatchCache<Thing>();
    cache.replace([thing('a', '', '1')], '100');
    const next = cache.events('100', until().signal)[Symbol.asyncIterator]().next();
    cache.replace([thing('a', '', '1')], '50');
    await expect(next).rejects.toMatchObject({ status: { code: 410 } });
    expect(cache.resourceVersion).toBe('50');
    expect(() => cache.events('49', until().signal)).toThrow('too old');
  });
});

describe('the list as it was', () => {
  const named = (list: ReturnType<WatchCache<Thing>['listAt']>) =>
    list && [...list.items.map(({ metadata, value }) => `${metadata.name}=${value}`), list.resourceVersion];

  test('at every version of the window', () => {
    const cache = new WatchCache<Thing>();
    cache.replace([thing('a', '0', '1')], '5');
    cache.upsert(thing('b', '1', '6'), '6');
    cache.upsert(thing('a', '2', '7'), '7');
    cache.remove('b', { resourceVersion: '8' });
    cache.advance('12');
    cache.upsert(thing('0', '3', '13'), '13');
    expect(named(cache.listAt('13'))).toEqual(['0=3', 'a=2', '13']);
    expect(named(cache.listAt('12'))).toEqual(['a=2', '12']);
    expect(named(cache.listAt('10'))).toEqual(['a=2', '10']);
    expect(named(cache.listAt('7'))).toEqual(['a=2', 'b=1', '7']);
    expect(named(cache.listAt('6'))).toEqual(['a=0', 'b=1', '6']);
    expect(named(cache.listAt('5'))).toEqual(['a=0', '5']);
    expect(cache.listAt('4')).toBeUndefined();
    expect(cache.listAt('14')).toBeUndefined();
    expect(cache.list()).toMatchObject({ resourceVersion: '13', items: [{}, {}] });
  });

  test('not at one that is out of the window, or that events share', () => {
    const cache = new WatchCache<Thing>({ window: 10 });
    for (let i = 0; i < 25; i++) cache.upsert(thing(`t${i}`));
    expect(cache.listAt('11')?.items).toHaveLength(10);
    expect(cache.listAt('10')).toBeUndefined();
    cache.upsert(thing('x'), '40');
    cache.upsert(thing('y'), '40');
    cache.advance('41');
    expect(cache.listAt('40')).toBeUndefined();
    expect(cache.listAt('41')).toBeDefined();
  });

  test('before what a relist found', () => {
    const cache = new WatchCache<Thing>();
    cache.replace([thing('a', '0', '1')], '10');
    cache.replace([thing('b', '1', '15')], '20');
    expect(named(cache.listAt('10'))).toEqual(['a=0', '10']);
    cache.replace([], '30');
    expect(named(cache.listAt('20'))).toEqual(['b=1', '20']);
  });
});

describe('what cannot be told is 410', () => {
  test('before the window', () => {
    const cache = new WatchCache<Thing>({ window: 10 });
    for (let i = 0; i < 100; i++) cache.upsert(thing(`t${i}`));
    const oldest = Number(cache.resourceVersion) - 20;
    expect(() => cache.events('1', until().signal)).toThrow('too old resource version');
    expect(() => cache.events(String(oldest - 1), until().signal)).toThrow('too old resource version');
    expect(() => cache.events('abc', until().signal)).toThrow('invalid resource version');
  });

  test('exactly up to the window', async () => {
    const cache = new WatchCache<Thing>({ window: 10 });
    for (let i = 0; i < 25; i++) cache.upsert(thing(`t${i}`));
    const told = await readAll(cache.events('11', until().signal));
    expect(told).toHaveLength(15);
    expect(told[0]).toBe('ADDED t10@12');
    expect(() => cache.events('10', until().signal)).toThrow('too old');
  });

  test('a watcher that falls behind', async () => {
    const cache = new WatchCache<Thing>({ window: 10 });
    const events = cache.events(undefined, until().signal)[Symbol.asyncIterator]();
    const first = events.next();
    cache.upsert(thing('a'));
    expect(shown((await first).value as WatchEvent<Thing>)).toBe('ADDED a@2');
    for (let i = 0; i < 20; i++) cache.upsert(thing(`t${i}`));
    await expect(events.next()).rejects.toMatchObject({ status: { code: 410, reason: 'Expired' } });
  });

  test('one version that many events share is not cut in two', () => {
    const cache = new WatchCache<Thing>({ window: 10 });
    cache.replace([], '5');
    for (let i = 0; i < 20; i++) cache.upsert(thing(`t${i}`), '9');
    expect(() => cache.events('9', until().signal)).toThrow('too old');
  });

  test('the version before a relist whose differences have left the window', () => {
    const cache = new WatchCache<Thing>({ window: 10 });
    cache.replace([thing('a', '', '1')], '5');
    for (let i = 0; i < 9; i++) cache.upsert(thing(`t${i}`, '', `${10 + i}`), `${10 + i}`);
    const { items } = cache.list();
    cache.replace(items.slice(1), '19');
    for (let i = 0; i < 9; i++) cache.upsert(thing(`u${i}`), String(20 + i));
    expect(() => cache.events('18', until().signal)).not.toThrow();
    cache.upsert(thing('last'), '30');
    expect(() => cache.events('18', until().signal)).toThrow('too old');
    expect(() => cache.events('19', until().signal)).not.toThrow();
  });

  test('after the grace, a version that nobody knows', async () => {
    const cache = new WatchCache<Thing>({ futureGraceMs: 30 });
    const events = cache.events('5', until().signal)[Symbol.asyncIterator]();
    await expect(events.next()).rejects.toMatchObject({ status: { code: 410 } });
  });

  test('but not one that comes within the grace', async () => {
    const cache = new WatchCache<Thing>({ futureGraceMs: 5_000 });
    cache.replace([], '3');
    const next = cache.events('5', until().signal)[Symbol.asyncIterator]().next();
    cache.advance('5');
    cache.upsert(thing('a', '', '6'), '6');
    expect(shown((await next).value as WatchEvent<Thing>)).toBe('ADDED a@6');
  });
});

test('the signal ends a watch that waits, and nothing stays behind', async () => {
  const cache = new WatchCache<Thing>();
  const controller = until();
  const events = cache.events(undefined, controller.signal)[Symbol.asyncIterator]();
  const next = events.next();
  await sleep(1);
  controller.abort();
  expect(await next).toEqual({ done: true, value: undefined });
});

test('waiting again and again leaves one listener at most', async () => {
  const cache = new WatchCache<Thing>();
  const controller = until();
  const events = cache.events(undefined, controller.signal)[Symbol.asyncIterator]();
  for (let i = 0; i < 20; i++) {
    const next = events.next();
    cache.upsert(thing(`t${i}`));
    await next;
  }
  expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0);
});

test('a thousand watchers see the same objects', async () => {
  const cache = new WatchCache<Thing>();
  const controller = until();
  const watchers = Array.from({ length: 1000 }, () =>
    cache.events(undefined, controller.signal)[Symbol.asyncIterator](),
  );
  const firsts = watchers.map((watcher) => watcher.next());
  cache.upsert(thing('a'));
  const told = await Promise.all(firsts);
  expect(new Set(told.map(({ value }) => value as unknown)).size).toBe(1);
});
