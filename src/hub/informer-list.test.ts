import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { silentLog } from '../base/log.ts';
import { eventually, startHub } from './testing/fake-hub.ts';
import { follow, listOf, never, path, settle, thing } from './testing/things.ts';

describe('list', () => {
  test('takes pages, and is synced with the last one', async () => {
    const hub = await startHub();
    const { informer, heard, names } = await follow(hub, {
      labelSelector: 'a in (b,c)',
      fieldSelector: 'metadata.name=q',
    });
    const first = await hub.next();
    expect(Object.fromEntries(first.query)).toEqual({
      labelSelector: 'a in (b,c)',
      fieldSelector: 'metadata.name=q',
      limit: '500',
    });
    expect(first.path).toBe(path);
    first.json(listOf('10', [thing('a', '3')], 'more'));
    const second = await hub.next();
    expect(second.query.get('continue')).toBe('more');
    expect(informer.hasSynced).toBe(false);
    expect(names()).toEqual([]);
    second.json(listOf('10', [thing('b', '4')]));
    await informer.synced(never);
    expect(names()).toEqual(['a', 'b']);
    expect(heard).toEqual(['added a=v@3', 'added b=v@4', 'replaced@10']);
    const watch = await hub.next();
    expect(watch.isWatch).toBe(true);
    expect(watch.query.get('resourceVersion')).toBe('10');
    expect(watch.query.get('allowWatchBookmarks')).toBe('true');
    const seconds = Number(watch.query.get('timeoutSeconds'));
    expect(seconds).toBeGreaterThanOrEqual(300);
    expect(seconds).toBeLessThanOrEqual(600);
  });

  test('410 between two pages: all of it again, without pages', async () => {
    const hub = await startHub();
    const { informer, names } = await follow(hub);
    (await hub.next()).json(listOf('10', [thing('old', '3')], 'more'));
    (await hub.next()).refuse(410, 'Expired');
    const again = await hub.next();
    expect(again.query.get('continue')).toBeNull();
    expect(again.query.get('limit')).toBeNull();
    again.json(listOf('20', [thing('a', '12')]));
    await informer.synced(never);
    expect(names()).toEqual(['a']);
    expect(informer.resourceVersion).toBe('20');
  });

  test('a hub that gives one page for ever is not followed for ever', async () => {
    const hub = await startHub((call) => call.json(listOf('10', [], 'same')));
    const { informer } = await follow(hub);
    await eventually(() => informer.trouble?.includes('same page') ?? false);
    expect(informer.hasSynced).toBe(false);
  });

  test.each([
    ['an object', {}],
    ['null', null],
    ['no version', { metadata: {}, items: [] }],
    ['items that are none', { metadata: { resourceVersion: '1' }, items: 'secret-text' }],
  ])('an answer that is no list (%s) is tried again, and not quoted', async (_name, answer) => {
    const hub = await startHub();
    const { informer } = await follow(hub);
    (await hub.next()).json(answer);
    const again = await hub.next();
    expect(informer.trouble).toBe('the hub answered with something that is not a list');
    again.json(listOf('10', []));
    await informer.synced(never);
  });

  test('403 backs off and shows', async () => {
    const hub = await startHub((call) => call.refuse(403, 'Forbidden'));
    const { informer } = await follow(hub);
    await sleep(1500);
    expect(hub.calls.length).toBeGreaterThanOrEqual(2);
    expect(hub.calls.length).toBeLessThan(9);
    expect(informer.trouble).toBe('Forbidden says the hub');
    expect(informer.state).toMatchObject({ connected: false, lastError: 'Forbidden says the hub' });
  });

  test('an object that cannot be read is left out, and counted', async () => {
    const hub = await startHub();
    const warnings: object[] = [];
    const log = { ...silentLog, warn: (fields: object) => void warnings.push(fields) };
    const { informer, names } = await follow(hub, { log });
    await settle(hub, [thing('a', '1'), thing('b', '2', 'bad'), 'garbage', null, { metadata: {} }]);
    expect(names()).toEqual(['a']);
    expect(informer.state.skipped).toBe(2);
    expect(warnings).toEqual([{ path, namespace: 'x', name: 'b', reason: 'bad value' }]);
  });

  test('synced ends with whoever waits, and with the informer', async () => {
    const hub = await startHub(() => undefined);
    const { informer } = await follow(hub);
    await expect(informer.synced(AbortSignal.timeout(20))).rejects.toThrow();
    const waiting = informer.synced(never);
    informer.destroy();
    await expect(waiting).rejects.toMatchObject({ kind: 'cancelled' });
  });
});
