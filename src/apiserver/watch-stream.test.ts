import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { WidgetServer } from './testing/widgets.ts';
import { GROUP, WIDGETS, protocols, serveWidgets, watch, widget } from './testing/widgets.ts';
import type { OpenWatch, WatchLine } from './testing/widgets.ts';

const shown = (line: WatchLine | undefined) => {
  if (!line) return 'end';
  const { name, resourceVersion } = line.object.metadata as { name?: string; resourceVersion?: string };
  return [line.type, name, resourceVersion].filter((part) => part !== undefined).join(' ');
};

async function take(opened: OpenWatch, count: number): Promise<string[]> {
  const lines: string[] = [];
  for (let i = 0; i < count; i++) lines.push(shown(await opened.next()));
  return lines;
}

async function eventually(check: () => boolean): Promise<void> {
  for (let i = 0; i < 200 && !check(); i++) await sleep(10);
  expect(check()).toBe(true);
}

/** Long enough for an event that should not come. */
const nothing = (opened: OpenWatch) => Promise.race([opened.next().then(shown), sleep(100, 'nothing')]);

describe.each(protocols)('%s', (protocol) => {
  const open = ({ port }: WidgetServer, query = '', accept?: string) =>
    watch(protocol, port, {
      path: `${WIDGETS}?watch=1${query}`,
      ...(accept === undefined ? {} : { headers: { accept } }),
    });

  test('headers come at once, then every change', async () => {
    const server = await serveWidgets();
    const opened = await open(server, '&resourceVersion=1');
    expect(opened.status).toBe(200);
    expect(opened.headers).toMatchObject({
      'content-type': 'application/json',
      'cache-control': 'no-cache, private',
      'audit-id': 'audit-1',
    });
    expect(opened.headers['content-length']).toBeUndefined();
    server.cache.upsert(widget('a'));
    expect(await opened.next()).toEqual({
      type: 'ADDED',
      object: { ...widget('a'), metadata: { name: 'a', resourceVersion: '2' } },
    });
    server.cache.upsert(widget('a', 2));
    server.cache.remove('a');
    expect(await take(opened, 2)).toEqual(['MODIFIED a 3', 'DELETED a 4']);
    opened.abort();
  });

  test('without a version it begins with what there is', async () => {
    const server = await serveWidgets();
    server.cache.upsert(widget('a'));
    server.cache.upsert(widget('b'));
    for (const query of ['', '&resourceVersion=0', '&resourceVersion=']) {
      const opened = await open(server, query);
      expect(await take(opened, 2)).toEqual(['ADDED a 2', 'ADDED b 3']);
      opened.abort();
    }
    const later = await open(server, '&resourceVersion=2');
    expect(await take(later, 1)).toEqual(['ADDED b 3']);
    later.abort();
  });

  test('many initial objects', async () => {
    const server = await serveWidgets();
    for (let i = 0; i < 5_000; i++) server.cache.upsert(widget(`w${i}`));
    const opened = await open(server);
    const names = new Set((await take(opened, 5_000)).map((line) => line.split(' ')[1]));
    expect(names.size).toBe(5_000);
    opened.abort();
  });

  test('sendInitialEvents ends them with a bookmark', async () => {
    const server = await serveWidgets();
    const query =
      '&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&resourceVersion=2';
    server.cache.upsert(widget('a'));
    server.cache.upsert(widget('b'));
    const opened = await open(server, query);
    expect(await take(opened, 2)).toEqual(['ADDED a 2', 'ADDED b 3']);
    expect(await opened.next()).toEqual({
      type: 'BOOKMARK',
      object: {
        kind: 'Widget',
        apiVersion: 'example.dev/v1',
        metadata: {
          resourceVersion: '3',
          creationTimestamp: null,
          annotations: { 'k8s.io/initial-events-end': 'true' },
        },
      },
    });
    server.cache.upsert(widget('c'));
    expect(await take(opened, 1)).toEqual(['ADDED c 4']);
    opened.abort();
  });

  test('sendInitialEvents=false begins with what changes from now on', async () => {
    const server = await serveWidgets();
    server.cache.upsert(widget('a'));
    const opened = await open(server, '&sendInitialEvents=false&resourceVersionMatch=NotOlderThan');
    await eventually(() => server.api.watches === 1);
    server.cache.upsert(widget('b'));
    expect(await take(opened, 1)).toEqual(['ADDED b 3']);
    opened.abort();
  });

  test('bookmarks while it is quiet, and at the end of the time', async () => {
    const server = await serveWidgets({ bookmarkIntervalMs: 50 });
    const opened = await open(server, '&resourceVersion=1&allowWatchBookmarks=true&timeoutSeconds=1');
    expect(await take(opened, 1)).toEqual(['BOOKMARK 1']);
    server.cache.advance('7');
    await eventually(() => server.cache.resourceVersion === '7');
    await sleep(100);
    const lines: string[] = [];
    for (let line = shown(await opened.next()); line !== 'end'; line = shown(await opened.next()))
      lines.push(line);
    expect(lines.at(-1)).toBe('BOOKMARK 7');
    expect(lines.every((line) => line.startsWith('BOOKMARK'))).toBe(true);
  });

  test('no bookmarks for those who did not ask, and a clean end', async () => {
    const server = await serveWidgets({ bookmarkIntervalMs: 20 });
    const started = performance.now();
    const opened = await open(server, '&resourceVersion=1&timeoutSeconds=1');
    expect(shown(await opened.next())).toBe('end');
    expect(performance.now() - started).toBeGreaterThan(900);
    expect(opened.body.errored).toBeNull();
    await eventually(() => server.api.watches === 0);
  });

  test('without a time it lasts --min-request-timeout to twice that, and not all of them as long', async () => {
    const server = await serveWidgets({ minWatchTimeoutMs: 300 });
    const lengthOf = async (query: string) => {
      const started = performance.now();
      const opened = await open(server, `&resourceVersion=1${query}`);
      expect(shown(await opened.next())).toBe('end');
      return performance.now() - started;
    };
    const [named, ...lengths] = await Promise.all(
      ['&timeoutSeconds=1', ...Array<string>(8).fill('')].map(lengthOf),
    );
    expect(named).toBeGreaterThan(990);
    expect(Math.min(...lengths)).toBeGreaterThan(290);
    expect(Math.max(...lengths)).toBeLessThan(3_000);
    // Of eight all fall into a tenth of the range once in more than a million times.
    expect(Math.max(...lengths) - Math.min(...lengths)).toBeGreaterThan(30);
  });

  test('a version that is too old is 410, and so is one that falls out', async () => {
    const server = await serveWidgets({ cache: { window: 10, futureGraceMs: 50 } });
    for (let i = 0; i < 50; i++) server.cache.upsert(widget(`w${i}`));
    const opened = await open(server, '&resourceVersion=1');
    expect(opened.status).toBe(410);
    expect(await opened.next()).toMatchObject({ kind: 'Status', reason: 'Expired', code: 410 });
    const future = await open(server, '&resourceVersion=9000');
    expect(await future.next()).toMatchObject({ type: 'ERROR', object: { code: 410, reason: 'Expired' } });
    expect(shown(await future.next())).toBe('end');
  });

  test('a caller that does not read is ended, and costs no memory', async () => {
    const server = await serveWidgets({ cache: { window: 10 } });
    const opened = await open(server, '&resourceVersion=1&timeoutSeconds=2');
    opened.body.pause();
    const text = 'x'.repeat(1024 * 1024);
    for (let i = 0; i < 60; i++) {
      server.cache.upsert({ ...widget(`w${i % 20}`), spec: { size: i, text } });
      await sleep(1);
    }
    await eventually(() => server.api.watches === 1);
    await sleep(2_200);
    await eventually(() => server.api.watches === 0);
    // Cut, not ended: what it missed must not look like all there was.
    let ended = false;
    opened.body.once('end', () => (ended = true)).resume();
    await eventually(() => opened.body.destroyed);
    expect(ended).toBe(false);
  });

  test('a slow caller is told that it fell behind', async () => {
    const server = await serveWidgets({ cache: { window: 10 } });
    const opened = await open(server, '&resourceVersion=1');
    const text = 'x'.repeat(1024 * 1024);
    for (let i = 0; i < 60; i++) {
      server.cache.upsert({ ...widget(`w${i % 20}`), spec: { size: i, text } });
      if (i % 5 === 0) await sleep(5);
    }
    let last: WatchLine | undefined;
    for (let line = await opened.next(); line; line = await opened.next()) last = line;
    expect(last).toMatchObject({ type: 'ERROR', object: { code: 410, reason: 'Expired' } });
  });

  test('selectors: what ceases to match is DELETED, what begins to is ADDED', async () => {
    const server = await serveWidgets();
    server.cache.upsert(widget('a', 1, { color: 'red' }));
    server.cache.upsert(widget('b', 1, { color: 'blue' }));
    const opened = await open(server, '&labelSelector=color%3Dred');
    expect(await take(opened, 1)).toEqual(['ADDED a 2']);
    server.cache.upsert(widget('b', 2, { color: 'blue' }));
    server.cache.upsert(widget('b', 2, { color: 'red' }));
    server.cache.upsert(widget('a', 2, { color: 'red' }));
    server.cache.upsert(widget('a', 2, { color: 'green' }));
    server.cache.upsert(widget('a', 3, { color: 'green' }));
    expect(await take(opened, 2)).toEqual(['ADDED b 5', 'MODIFIED a 6']);
    // The last state that matched, with the version of the change.
    expect(await opened.next()).toMatchObject({
      type: 'DELETED',
      object: { metadata: { name: 'a', resourceVersion: '7', labels: { color: 'red' } }, spec: { size: 2 } },
    });
    server.cache.remove('a');
    server.cache.remove('b');
    expect(await take(opened, 1)).toEqual(['DELETED b 10']);
    opened.abort();
    const named = await open(server, '&fieldSelector=metadata.name%3Dn&resourceVersion=10');
    server.cache.upsert(widget('m'));
    server.cache.upsert(widget('n'));
    expect(await take(named, 1)).toEqual(['ADDED n 12']);
    expect(await nothing(named)).toBe('nothing');
    named.abort();
  });

  test('as a Table columns come with the first event only', async () => {
    const server = await serveWidgets();
    const opened = await open(server, '', 'application/json;as=Table;v=v1;g=meta.k8s.io');
    server.cache.upsert(widget('a', 5));
    server.cache.upsert(widget('b', 6));
    expect(await opened.next()).toMatchObject({
      type: 'ADDED',
      object: {
        kind: 'Table',
        apiVersion: 'meta.k8s.io/v1',
        metadata: { resourceVersion: '2' },
        columnDefinitions: [{ name: 'Name' }, { name: 'Size' }],
        rows: [{ cells: ['a', 5], object: { kind: 'PartialObjectMetadata' } }],
      },
    });
    expect(await opened.next()).toMatchObject({
      object: { columnDefinitions: [], rows: [{ cells: ['b', 6] }] },
    });
    opened.abort();
  });

  test('a Table begins with columns for each watcher', async () => {
    const server = await serveWidgets();
    const accept = 'application/json;as=Table;v=v1;g=meta.k8s.io';
    server.cache.upsert(widget('a'));
    server.cache.upsert(widget('b'));
    const columnsOfB = async (since: number) => {
      const opened = await open(server, `&resourceVersion=${since}`, accept);
      for (let i = since; i < 2; i++) await opened.next();
      const line = await opened.next();
      opened.abort();
      return (line?.object.columnDefinitions as object[]).length;
    };
    expect([await columnsOfB(1), await columnsOfB(2), await columnsOfB(1)]).toEqual([0, 2, 0]);
  });

  test('a Table begins with columns where the first event is a bookmark, and its bookmark has no cells to make', async () => {
    const server = await serveWidgets();
    const accept = 'application/json;as=Table;v=v1;g=meta.k8s.io';
    const query = '&sendInitialEvents=1&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=1';
    for (let i = 0; i < 2; i++) {
      const opened = await open(server, query, accept);
      expect(await opened.next()).toMatchObject({
        type: 'BOOKMARK',
        object: {
          kind: 'Table',
          columnDefinitions: [{ name: 'Name' }, { name: 'Size' }],
          rows: [{ object: { metadata: { annotations: { 'k8s.io/initial-events-end': 'true' } } } }],
        },
      });
      opened.abort();
    }
  });

  test('as PartialObjectMetadata', async () => {
    const server = await serveWidgets();
    const opened = await open(server, '', 'application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io');
    server.cache.upsert(widget('a', 5));
    const line = await opened.next();
    expect(line?.object).toEqual({
      kind: 'PartialObjectMetadata',
      apiVersion: 'meta.k8s.io/v1',
      metadata: { name: 'a', resourceVersion: '2' },
    });
    opened.abort();
  });

  test('a caller that goes away leaves nothing behind', async () => {
    const server = await serveWidgets();
    const opened = await Promise.all(Array.from({ length: 20 }, () => open(server)));
    await eventually(() => server.api.watches === 20);
    for (const each of opened) each.abort();
    await eventually(() => server.api.watches === 0);
    server.cache.upsert(widget('a'));
  });

  test('the end of the server ends them in good order, with a last bookmark', async () => {
    const server = await serveWidgets();
    const opened = await open(server, '&resourceVersion=1&allowWatchBookmarks=1');
    const quiet = await open(server, '&resourceVersion=1');
    await eventually(() => server.api.watches === 2);
    server.streams.endAll(0);
    expect(await take(opened, 2)).toEqual(['BOOKMARK 1', 'end']);
    expect(shown(await quiet.next())).toBe('end');
    expect(opened.body.errored).toBeNull();
    const late = await open(server, '&resourceVersion=1');
    expect(shown(await late.next())).toBe('end');
    await server.api.close();
  });

  test('no watch where none is offered', async () => {
    const server = await serveWidgets();
    const refused = await watch(protocol, server.port, { path: `${GROUP}/doodads?watch=true` });
    expect(refused.status).toBe(405);
    expect(await refused.next()).toMatchObject({
      message: 'watch is not supported on resources of kind "doodads.example.dev"',
    });
  });

  test('a source that breaks ends its watch with an ERROR that tells nothing', async () => {
    const server = await serveWidgets();
    const opened = await open(server, '&resourceVersion=1');
    const bad = widget('bad') as unknown as { spec: { loop?: unknown } };
    bad.spec.loop = bad.spec;
    server.cache.upsert(bad as never);
    expect(await opened.next()).toMatchObject({ type: 'ERROR', object: { code: 500 } });
    expect(shown(await opened.next())).toBe('end');
  });
});
