import type { KubeObject } from '../kube/object-meta.ts';
import type { Status } from '../kube/status.ts';
import type { ObjectEvent } from '../kube/watch-event.ts';
import type { ListOptions } from './list-options.ts';
import { isSelected } from './list-options.ts';
import type { Transform } from './negotiation.ts';
import { groupVersionOf } from './resource-names.ts';
import type { AnyResource } from './resource.ts';
import type { IncludeObject } from './table-conversion.ts';
import { bookmarkTable, toPartialObject, toTable } from './table-conversion.ts';
import { withVersion } from './watch-cache.ts';

type EventType = ObjectEvent<KubeObject>['type'];

export interface WatchView {
  readonly transform: Transform | undefined;
  readonly includeObject: IncludeObject;
}

/**
 * What a watcher with these selectors is told of an event: an object that begins to match is ADDED, one that ceases to
 * is DELETED in the last state that matched.
 */
export function selectEvent(
  event: ObjectEvent<KubeObject>,
  options: ListOptions,
): { readonly type: EventType; readonly object: KubeObject } | undefined {
  const { type, object, previous, resourceVersion } = event;
  if (type === 'DELETED') return isSelected(previous ?? object, options) ? { type, object } : undefined;
  const matches = isSelected(object, options);
  if (type === 'ADDED') return matches ? { type, object } : undefined;
  // A source that does not tell the previous state: nobody can know more than that it does not match now.
  const matched = previous ? isSelected(previous, options) : true;
  if (matches) return { type: matched ? 'MODIFIED' : 'ADDED', object };
  if (matched) return { type: 'DELETED', object: withVersion(previous ?? object, resourceVersion) };
  return undefined;
}

/** Writes the events of one resource as lines. Many watchers share the bytes of an object: each view is written once. */
export class WatchEncoder {
  readonly #resource: AnyResource;
  // Objects are values that never change, and are shared by the cache, its events and all watchers.
  readonly #encoded = new WeakMap<KubeObject, Map<string, Buffer>>();

  constructor(resource: AnyResource) {
    this.#resource = resource;
  }

  /** `isFirst`: a Table's column definitions are told once. */
  event(
    { type, object }: { type: EventType; object: KubeObject },
    view: WatchView,
    isFirst: boolean,
  ): Buffer {
    const isTable = view.transform?.kind === 'Table';
    const key = isTable
      ? `${type}/Table/${view.transform.version}/${view.includeObject}/${isFirst}`
      : `${type}/${view.transform?.kind ?? ''}/${view.transform?.version ?? ''}`;
    const byView = this.#encoded.get(object) ?? new Map<string, Buffer>();
    this.#encoded.set(object, byView);
    const bytes = byView.get(key) ?? line(type, this.#show(object, view, isFirst));
    byView.set(key, bytes);
    return bytes;
  }

  #show(object: KubeObject, { transform, includeObject }: WatchView, withColumns: boolean): object {
    if (!transform) return object;
    const { version, kind } = transform;
    if (kind !== 'Table') return toPartialObject(object, version);
    const metadata = { resourceVersion: object.metadata.resourceVersion ?? '' };
    const content = { objects: [object], metadata };
    return toTable(this.#resource, content, { version, includeObject, withColumns });
  }

  /** `isInitialEnd` marks the end of the objects that existed when the watch began (KEP-3157). */
  bookmark(
    { resourceVersion, isInitialEnd }: { resourceVersion: string; isInitialEnd: boolean },
    { transform }: WatchView,
    isFirst: boolean,
  ): Buffer {
    const annotations = isInitialEnd ? { 'k8s.io/initial-events-end': 'true' } : undefined;
    // A bookmark has no name: it is about no object.
    const metadata = { resourceVersion, creationTimestamp: null, ...(annotations ? { annotations } : {}) };
    const bookmark = {
      kind: this.#resource.kind,
      apiVersion: groupVersionOf(this.#resource),
      metadata: metadata as unknown as KubeObject['metadata'],
    };
    if (!transform) return line('BOOKMARK', bookmark);
    const { kind, version } = transform;
    return line(
      'BOOKMARK',
      kind === 'Table'
        ? bookmarkTable(this.#resource, bookmark, { version, withColumns: isFirst })
        : toPartialObject(bookmark, version),
    );
  }

  error(status: Status): Buffer {
    return line('ERROR', status);
  }
}

const line = (type: string, object: object) => Buffer.from(`${JSON.stringify({ type, object })}\n`);
