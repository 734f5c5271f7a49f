import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { silentLog } from '../base/log.ts';
import { eventually, startHub } from './testing/fake-hub.ts';
import { bookmark, event, follow, listOf, settle, thing } from './testing/things.ts';

describe('watch', () => {
  test('tells what changed, in order, after the store shows it', async () => {
    const hub = await startHub();
    const { informer, heard, names } = await follow(hub);
    const watch = await settle(hub, [thing('a', '1')]);
    heard.length = 0;
    const seen: (string | undefined)[] = [];
    const lists: string[] = [names().join()];
    informer.subscribe((each) => {
      if ('name' in each) seen.push(informer.get(each.namespace, each.name)?.value);
      lists.push(names().join());
    });
    watch.events(
      event('ADDED', thing('b', '11')),
      event('MODIFIED', thing('a', '12', 'w')),
      event('DELETED', thing('b', '13')),
      event('DELETED', thing('unknown', '14')),
    );
    await eventually(() => informer.resourceVersion === '14');
    expect(heard).toEqual(['added b=v@11', 'modified a=w@12', 'deleted b=v@13', 'advanced@14']);
    expect(seen).toEqual(['v', 'w', undefined]);
    expect(lists).toEqual(['a', 'a,b', 'a,b', 'a', 'a']);
    expect(names()).toEqual(['a']);
  });

  test('a watch that ended well goes on at once, from the bookmark', async () => {
    const hub = await startHub();
    const { informer, heard } = await follow(hub);
    let watch = await settle(hub, [thing('a', '1')]);
    const startedAt = performance.now();
    for (let version = 50; version < 60; version += 1) {
      watch.events(bookmark(String(version)));
      watch.end();
      watch = await hub.next();
      expect(watch.isWatch).toBe(true);
      expect(watch.query.get('resourceVersion')).toBe(String(version));
      expect(informer.trouble).toBeUndefined();
    }
    // A pause of the backoff is 100 ms at least.
    expect(performance.now() - startedAt).toBeLessThan(900);
    expect(heard).toHaveLength(12);
  });

  test('bookmark, then cut: resumes from the bookmark, nothing lost, nothing twice', async () => {
    const hub = await startHub();
    const { informer, heard } = await follow(hub);
    const watch = await settle(hub, [thing('a', '1')]);
    watch.events(event('ADDED', thing('b', '11')), bookmark('50'));
    await eventually(() => informer.resourceVersion === '50');
    hub.cut();
    const second = await hub.next();
    expect(second.query.get('resourceVersion')).toBe('50');
    second.events(event('ADDED', thing('c', '51')));
    await eventually(() => informer.resourceVersion === '51');
    expect(heard).toEqual(['added a=v@1', 'replaced@10', 'added b=v@11', 'advanced@50', 'added c=v@51']);
    expect(hub.calls.filter((call) => !call.isWatch)).toHaveLength(1);
  });

  test('a version that was told already is not told again', async () => {
    const hub = await startHub();
    const { heard, informer } = await follow(hub);
    const watch = await settle(hub, [thing('a', '9')]);
    watch.events(event('ADDED', thing('a', '9')), event('MODIFIED', thing('a', '11')));
    await eventually(() => informer.resourceVersion === '11');
    expect(heard).toEqual(['added a=v@9', 'replaced@10', 'advanced@9', 'modified a=v@11']);
  });

  test('half a line before the cut is forgotten, and read again', async () => {
    const hub = await startHub();
    const { informer, heard } = await follow(hub);
    const watch = await settle(hub);
    const line = JSON.stringify(event('ADDED', thing('a', '11')));
    watch.events(event('ADDED', thing('z', '10')));
    watch.raw(line.slice(0, 30));
    await eventually(() => informer.resourceVersion === '10' && heard.length === 2);
    watch.end();
    const second = await hub.next();
    expect(second.query.get('resourceVersion')).toBe('10');
    second.raw(`${line}\n`);
    await eventually(() => heard.includes('added a=v@11'));
    expect(heard.filter((each) => each.startsWith('added a'))).toHaveLength(1);
  });

  test('UTF-8 that is split between frames', async () => {
    const hub = await startHub();
    const { informer } = await follow(hub);
    const watch = await settle(hub);
    const bytes = Buffer.from(`${JSON.stringify(event('ADDED', thing('a', '11', 'schön 🎈')))}\n`);
    for (const byte of bytes) {
      watch.raw(Buffer.from([byte]));
      await sleep(0);
    }
    await eventually(() => informer.get('x', 'a') !== undefined);
    expect(informer.get('x', 'a')?.value).toBe('schön 🎈');
  });

  test.each([
    ['a line that is no JSON', '{"token": "s3cret"\n'],
    ['no event', '42\n'],
    ['an event without a version', '{"type":"ADDED","object":{"metadata":{"name":"a"}}}\n'],
    ['an object without a name', '{"type":"ADDED","object":{"metadata":{"resourceVersion":"12"}}}\n'],
    ['a bookmark without a version', '{"type":"BOOKMARK","object":null}\n'],
  ])('%s: from before it again, then a new list', async (_name, line) => {
    const hub = await startHub();
    const { informer, names } = await follow(hub);
    const watch = await settle(hub, [thing('a', '1')]);
    watch.raw(line);
    const second = await hub.next();
    expect(second.isWatch).toBe(true);
    expect(second.query.get('resourceVersion')).toBe('10');
    expect(informer.trouble).not.toContain('s3cret');
    expect(names()).toEqual(['a']);
    second.raw(line);
    const list = await hub.next();
    expect(list.isWatch).toBe(false);
    list.json(listOf('30', [thing('b', '20')]));
    expect((await hub.next()).query.get('resourceVersion')).toBe('30');
    expect(names()).toEqual(['b']);
  });

  test('an event of a type that nobody knows is passed over', async () => {
    const hub = await startHub();
    const { informer, heard } = await follow(hub);
    const watch = await settle(hub);
    watch.events(event('FUTURE', thing('a', '11')), event('ADDED', thing('b', '12')));
    await eventually(() => informer.resourceVersion === '12');
    expect(heard).toEqual(['replaced@10', 'added b=v@12']);
  });

  test('an object that can no longer be read goes; when it can, it is back', async () => {
    const hub = await startHub();
    const { informer, heard, names } = await follow(hub);
    const watch = await settle(hub, [thing('a', '1')]);
    heard.length = 0;
    watch.events(event('MODIFIED', thing('a', '11', 'bad')));
    await eventually(() => informer.resourceVersion === '11');
    expect(names()).toEqual([]);
    expect(informer.state.skipped).toBe(1);
    watch.events(event('MODIFIED', thing('a', '12', 'good')), event('MODIFIED', thing('c', '13', 'bad')));
    watch.events(event('DELETED', thing('c', '14', 'bad')));
    await eventually(() => informer.resourceVersion === '14');
    expect(informer.state.skipped).toBe(0);
    expect(heard).toEqual(['deleted a=v@11', 'added a=good@12', 'advanced@13', 'advanced@14']);
  });

  test('a listener that throws stops neither the others nor the watch', async () => {
    const hub = await startHub();
    const error = vi.fn();
    const { informer, heard } = await follow(hub, { log: { ...silentLog, error } });
    const end = informer.subscribe(() => {
      throw new Error('listener');
    });
    const late: string[] = [];
    informer.subscribe((each) => late.push(each.type));
    const watch = await settle(hub);
    watch.events(event('ADDED', thing('a', '11')));
    await eventually(() => late.includes('added'));
    end();
    const before = error.mock.calls.length;
    watch.events(event('ADDED', thing('b', '12')));
    await eventually(() => heard.includes('added b=v@12'));
    expect(before).toBe(2);
    expect(error.mock.calls.length).toBe(2);
  });
});
