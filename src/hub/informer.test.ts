import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { eventually, startHub, startRelay, status } from './testing/fake-hub.ts';
import type { FakeHub } from './testing/fake-hub.ts';
import { bookmark, event, follow, listOf, never, settle, thing } from './testing/things.ts';

describe('the hub forgets, breaks and dies', () => {
  const gone = event('ERROR', status(410, 'Expired'));

  test.each([
    ['410 as the answer', (call: Awaited<ReturnType<FakeHub['next']>>) => call.refuse(410, 'Expired')],
    ['an ERROR event 410', (call: Awaited<ReturnType<FakeHub['next']>>) => call.events(gone)],
    [
      'a version from the future',
      (call: Awaited<ReturnType<FakeHub['next']>>) =>
        call.refuse(504, 'Timeout', { details: { causes: [{ reason: 'ResourceVersionTooLarge' }] } }),
    ],
  ])('%s: lists again; what went away is told as deleted', async (_name, refuse) => {
    const hub = await startHub();
    const { informer, heard, names } = await follow(hub);
    const watch = await settle(hub, [thing('a', '1'), thing('b', '2'), thing('c', '3')]);
    watch.events(bookmark('11'));
    await eventually(() => informer.resourceVersion === '11');
    watch.end();
    heard.length = 0;
    refuse(await hub.next());
    const list = await hub.next();
    expect(list.isWatch).toBe(false);
    // Readers see the last state until the new list is whole.
    expect(informer.resourceVersion).toBe('11');
    expect(names()).toEqual(['a', 'b', 'c']);
    list.json(listOf('40', [thing('b', '2'), thing('c', '30', 'new'), thing('d', '31')]));
    const next = await hub.next();
    expect(next.query.get('resourceVersion')).toBe('40');
    expect(heard).toEqual(['deleted a=v@40', 'modified c=new@30', 'added d=v@31', 'replaced@40']);
    expect(names()).toEqual(['b', 'c', 'd']);
  });

  test('another ERROR event does not list again', async () => {
    const hub = await startHub();
    const { informer } = await follow(hub);
    const watch = await settle(hub);
    watch.events(event('ERROR', status(500, 'InternalError')));
    const second = await hub.next();
    expect(second.isWatch).toBe(true);
    expect(informer.trouble).toBe('InternalError says the hub');
    second.open();
    await eventually(() => informer.trouble === undefined);
  });

  test('a watch that is denied backs off, shows, and is open again when it is allowed', async () => {
    const hub = await startHub();
    const { informer, names } = await follow(hub);
    (await hub.next()).json(listOf('10', [thing('a', '1')]));
    const first = await hub.next();
    const watches: number[] = [];
    hub.handle = (call) => {
      watches.push(performance.now());
      if (watches.length < 4) call.refuse(403, 'Forbidden');
      else call.open();
    };
    first.refuse(403, 'Forbidden');
    await eventually(() => watches.length === 1);
    expect(informer.trouble).toBe('Forbidden says the hub');
    expect(informer.state.connected).toBe(false);
    expect(names()).toEqual(['a']);
    await eventually(() => informer.state.connected, 8000);
    expect(informer.trouble).toBeUndefined();
    expect((watches[3] ?? 0) - (watches[0] ?? 0)).toBeGreaterThan(600);
  });

  test('a hub whose watches end as they open is not asked in a busy loop', async () => {
    const hub = await startHub((call) => (call.isWatch ? call.end() : call.json(listOf('10', []))));
    await follow(hub);
    await sleep(1500);
    expect(hub.calls.length).toBeLessThan(10);
  });

  test('nor one whose watches are always gone', async () => {
    let version = 10;
    const hub = await startHub((call) => {
      if (call.isWatch) call.refuse(410, 'Expired');
      else call.json(listOf(String((version += 1)), []));
    });
    await follow(hub);
    await sleep(1500);
    expect(hub.calls.length).toBeLessThan(18);
  });

  test('dead for 3 s: the state stays, and soon after it is followed again', async () => {
    const hub = await startHub();
    const { informer, heard, names } = await follow(hub);
    await settle(hub, [thing('a', '1')]);
    await hub.stop();
    await eventually(() => informer.trouble !== undefined);
    await sleep(3000);
    expect(names()).toEqual(['a']);
    expect(informer.state.connected).toBe(false);
    expect(informer.state.lastError).toContain('connection refused');
    await hub.start();
    const backAt = performance.now();
    const watch = await hub.next();
    expect(performance.now() - backAt).toBeLessThan(3500);
    expect(watch.query.get('resourceVersion')).toBe('10');
    watch.events(event('DELETED', thing('a', '11')));
    await eventually(() => heard.includes('deleted a=v@11'));
    expect(informer.state.connected).toBe(true);
  });

  test('a hub that is not there at the start', async () => {
    const hub = await startHub();
    await hub.stop();
    const { informer } = await follow(hub);
    await eventually(() => informer.trouble?.includes('refused') ?? false);
    await hub.start();
    (await hub.next()).json(listOf('10', []));
    await informer.synced(never);
  });

  test('a connection that falls silent is noticed', async () => {
    const hub = await startHub();
    const relay = await startRelay(hub);
    const client = await hub.client({
      config: await hub.config({ address: { host: '127.0.0.1', port: relay.port } }),
      limits: { pingIntervalMs: 100, pingTimeoutMs: 200 },
    });
    const { informer } = await follow(hub, { client });
    await settle(hub);
    relay.silence();
    const second = await hub.next();
    expect(second.isWatch).toBe(true);
    expect(second.query.get('resourceVersion')).toBe('10');
    second.open();
    await eventually(() => informer.state.connected);
  });
});

describe('the end', () => {
  test.each(['close', 'destroy'] as const)('%s leaves no socket, no timer, and asks no more', async (how) => {
    const timers = () => process.getActiveResourcesInfo().filter((each) => each === 'Timeout').length;
    const before = timers();
    const hub = await startHub();
    const { informer, client, heard } = await follow(hub);
    const watch = await settle(hub, [thing('a', '1')]);
    await informer[how]();
    await client[how]();
    await eventually(() => hub.sockets.size === 0 && client.connections === 0);
    await eventually(() => timers() <= before);
    const { length } = hub.calls;
    const told = heard.length;
    watch.events(event('ADDED', thing('b', '11')));
    await sleep(500);
    expect(hub.calls).toHaveLength(length);
    expect(heard).toHaveLength(told);
  });

  test('while it waits to try again', async () => {
    const hub = await startHub((call) => call.refuse(503, 'ServiceUnavailable'));
    const { informer } = await follow(hub);
    await eventually(() => hub.calls.length >= 3);
    const { length } = hub.calls;
    await informer.close();
    await sleep(800);
    expect(hub.calls).toHaveLength(length);
  });
});
