import { WatchCache } from '../apiserver/watch-cache.ts';
import type { ClusterRecord } from '../clusters/cluster.ts';
import type { ClusterRegistry } from '../clusters/registry.ts';
import type { KubeObject } from '../kube/object-meta.ts';

export interface ClusterCacheOptions<T extends KubeObject> {
  /** Shows a cluster; undefined where this kind does not. */
  readonly show: (record: ClusterRecord) => T | undefined;
  /** Objects that are always there. */
  readonly fixed?: readonly T[];
  /** Whether what is shown of a cluster is another at one time than it was at an earlier one; undefined: time changes nothing. */
  readonly changesWithTime?: (record: ClusterRecord, from: number, to: number) => boolean;
}

export interface ClusterCache<T extends KubeObject> {
  readonly cache: WatchCache<T>;
  /** Ends the subscription to the registry, and the looking after what time changes. */
  readonly destroy: () => void;
}

/** How long lists and watches may be behind the clock. */
const lookAgainMs = 30_000;

/**
 * One object for each cluster, to list and to watch. Resource versions are those of the hub's Secrets, so a watch goes
 * on at another replica where it stopped; with a version from before the first list of that replica it gets 410.
 */
export function createClusterCache<T extends KubeObject>(
  registry: Pick<ClusterRegistry, 'hasSynced' | 'list' | 'resourceVersion' | 'subscribe'>,
  { show, fixed = [], changesWithTime }: ClusterCacheOptions<T>,
): ClusterCache<T> {
  const cache = new WatchCache<T>();
  const replace = (resourceVersion: string) =>
    cache.replace([...fixed, ...registry.list().flatMap((record) => show(record) ?? [])], resourceVersion);
  let isWhole = registry.hasSynced;
  if (isWhole) replace(registry.resourceVersion);
  const unsubscribe = registry.subscribe((change) => {
    if (change.type === 'replaced') {
      isWhole = true;
      replace(change.resourceVersion);
      return;
    }
    // The first list tells its objects before it tells that it is there. As events they would make the cache believe that it
    // knows all that happened since ever, and a watch from before our start would miss what was deleted in between.
    if (!isWhole) return;
    if (change.type === 'advanced') {
      cache.advance(change.resourceVersion);
      return;
    }
    if (fixed.some(({ metadata }) => metadata.name === change.name)) {
      cache.advance(change.resourceVersion);
      return;
    }
    const object = change.record && show(change.record);
    if (object) cache.upsert(object, change.resourceVersion);
    else cache.remove(change.name, { resourceVersion: change.resourceVersion });
  });
  let lookedAt = Date.now();
  const lookAgain = () => {
    const [from, to] = [lookedAt, (lookedAt = Date.now())];
    const changed = new Map<string, T>();
    for (const record of registry.list()) {
      const object = changesWithTime?.(record, from, to) ? show(record) : undefined;
      if (object) changed.set(record.name, object);
    }
    if (changed.size === 0) return;
    const { items, resourceVersion } = cache.list();
    // As a relist would tell it: the hub has no version for what happened.
    cache.replace(
      items.map((item) => changed.get(item.metadata.name) ?? item),
      resourceVersion,
    );
  };
  const timer = changesWithTime && setInterval(lookAgain, lookAgainMs).unref();
  return {
    cache,
    destroy: () => {
      unsubscribe();
      clearInterval(timer);
    },
  };
}
