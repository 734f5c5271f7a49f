import type { KubeObject } from './object-meta.ts';

/**
 * A change of one object. `previous` is what stood there before: a selector may have matched one and not the other.
 * The object of DELETED is its last state, with the resource version of the deletion.
 */
export interface ObjectEvent<T extends KubeObject> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: T;
  readonly previous?: T;
  readonly resourceVersion: string;
}

/** Nothing changed up to and with this resource version that was not told before. */
export interface BookmarkEvent {
  readonly type: 'BOOKMARK';
  readonly resourceVersion: string;
}

export type WatchEvent<T extends KubeObject> = ObjectEvent<T> | BookmarkEvent;
