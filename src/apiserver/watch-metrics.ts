import { Counter, Histogram } from 'prom-client';
import type { Registry } from 'prom-client';
import type { AnyResource } from './resource.ts';

/** Told of each event that goes to a watcher: how many bytes its line has. Bookmarks and errors count, too. */
export type WatchObserver = (resource: AnyResource, bytes: number) => void;

/** kube-apiserver's names, labels and bounds (apiserver pkg/endpoints/metrics). */
export function createWatchMetrics(registry: Registry): WatchObserver {
  const labelNames = ['group', 'version', 'resource'];
  const events = new Counter({
    name: 'apiserver_watch_events_total',
    help: 'Events that were sent to watchers.',
    labelNames,
    registers: [registry],
  });
  const sizes = new Histogram({
    name: 'apiserver_watch_events_sizes',
    help: 'Bytes of the events that were sent to watchers.',
    labelNames,
    buckets: [1, 2, 4, 8, 16, 32, 64, 128].map((kibibytes) => kibibytes * 1024),
    registers: [registry],
  });
  const childrenOf = ({ group, version, plural }: AnyResource) => {
    const labels = { group, version, resource: plural };
    return { count: events.labels(labels), size: sizes.labels(labels) };
  };
  const known = new Map<AnyResource, ReturnType<typeof childrenOf>>();
  return (resource, bytes) => {
    let children = known.get(resource);
    if (!children) known.set(resource, (children = childrenOf(resource)));
    children.count.inc();
    children.size.observe(bytes);
  };
}
