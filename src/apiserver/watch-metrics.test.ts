import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { WIDGETS, serveWidgets, watch, widget } from './testing/widgets.ts';
import { createWatchMetrics } from './watch-metrics.ts';

test('each event of a watch is counted, with the bytes of its line, by its resource', async () => {
  const registry = new Registry();
  const server = await serveWidgets({ watchObserver: createWatchMetrics(registry) });
  server.cache.upsert(widget('a'));
  const opened = await watch('HTTP/2', server.port, {
    path: `${WIDGETS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true`,
  });
  const lines = [await opened.next(), await opened.next()];
  server.cache.upsert(widget('b'));
  lines.push(await opened.next());
  opened.abort();
  expect(lines.map((line) => (line as { type: string }).type)).toEqual(['ADDED', 'BOOKMARK', 'ADDED']);
  const bytes = lines.reduce<number>((sum, line) => sum + JSON.stringify(line).length + 1, 0);
  const labels = 'group="example.dev",version="v1",resource="widgets"';
  const text = await registry.metrics();
  expect(text).toContain(`apiserver_watch_events_total{${labels}} 3\n`);
  expect(text).toContain(`apiserver_watch_events_sizes_sum{${labels}} ${bytes}\n`);
  expect(text).toContain(`apiserver_watch_events_sizes_bucket{le="1024",${labels}} 3\n`);
});
