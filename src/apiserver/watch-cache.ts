import type { KubeObject } from '../kube/object-meta.ts';
import type { WatchEvent } from '../kube/watch-event.ts';
import type { ResourceList } from './resource.ts';

export interface WatchCacheOptions {
  /** Events that are kept for watchers; one that falls behind by more is told that its version expired. */
  readonly window?: number;
  /** Milliseconds that a watcher may wait for a version that is not known yet (another replica may be ahead). */
  readonly futureGraceMs?: number;
}

/**
 * Current objects by name, and the last events. Resource versions are the caller's (a hub's), or count up by one where
 * none is given; they never go back.
 */
export declare class WatchCache<T extends KubeObject> {
  constructor(options?: WatchCacheOptions);
  get resourceVersion(): string;
  get(name: string, namespace?: string): T | undefined;
  list(): ResourceList<T>;
  /** The whole new state: what differs becomes events. */
  replace(objects: readonly T[], resourceVersion?: string): void;
  upsert(object: T, resourceVersion?: string): void;
  remove(name: string, options?: { resourceVersion?: string; namespace?: string }): void;
  /** Nothing changed up to this version: watchers are told by a bookmark. */
  advance(resourceVersion: string): void;
  /** Throws a 410 StatusError, at once or while it is read, for a `since` outside of what is known. */
  events(since: string | undefined, signal: AbortSignal): AsyncIterable<WatchEvent<T>>;
}
