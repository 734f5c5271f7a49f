import { isDeepStrictEqual } from 'node:util';
import type { KubeObject } from '../kube/object-meta.ts';
import {
  checkResourceVersion,
  compareResourceVersions,
  isResourceVersion,
  nextResourceVersion,
} from '../kube/resource-version.ts';
import { expired } from '../kube/status.ts';
import type { ObjectEvent, WatchEvent } from '../kube/watch-event.ts';
import type { ResourceList } from './resource.ts';

export interface WatchCacheOptions {
  /** Events that are kept for watchers; one that falls behind by more is told that its version expired. */
  readonly window?: number;
  /** Milliseconds that a watcher waits for a version that is not known yet: another replica may be ahead. */
  readonly futureGraceMs?: number;
}

interface Key {
  readonly name: string;
  readonly namespace?: string;
}

const keyOf = ({ name, namespace = '' }: Key) => `${namespace}/${name}`;

/**
 * Current objects and the last events. Resource versions are the caller's (a hub's), or count up by one where none is
 * given; those of events never go back. Watchers read the one window, each from its own place, so a slow one costs no
 * memory: it is ended with 410 when the window has moved past it. A watcher may be told an event twice when it comes
 * back with a version that several events share (what a relist found changed), but never misses one.
 */
export class WatchCache<T extends KubeObject> {
  readonly #window: number;
  readonly #futureGraceMs: number;
  readonly #objects = new Map<string, T>();
  readonly #waiting = new Set<() => void>();
  #events: ObjectEvent<T>[] = [];
  /** The number of the first event of `#events`, counted from the beginning. */
  #first = 0;
  #version = '1';
  /** Everything after this version is in `#events`. */
  #complete = '1';
  #sorted: readonly T[] | undefined;
  /** Events that a relist found: whoever knows their version from before was not told of them. */
  readonly #late = new WeakSet<ObjectEvent<T>>();
  /** The version before a relist, while its differences are found. */
  #relisted: string | undefined;

  constructor(options: WatchCacheOptions = {}) {
    this.#window = options.window ?? 1024;
    this.#futureGraceMs = options.futureGraceMs ?? 3_000;
  }

  get resourceVersion(): string {
    return this.#version;
  }

  get(name: string, namespace?: string): T | undefined {
    return this.#objects.get(keyOf({ name, ...(namespace === undefined ? {} : { namespace }) }));
  }

  /** In the order of namespace and name. */
  list(): ResourceList<T> {
    this.#sorted ??= sorted(this.#objects);
    return { items: this.#sorted, resourceVersion: this.#version };
  }

  /**
   * The list as it was at a version within the window: what happened since is taken back. Undefined for other
   * versions, and for one that several events share: not all of them may have been in the list that had it.
   */
  listAt(resourceVersion: string): ResourceList<T> | undefined {
    if (resourceVersion === this.#version) return this.list();
    const isKnown =
      compareResourceVersions(resourceVersion, this.#complete) >= 0 &&
      compareResourceVersions(resourceVersion, this.#version) < 0;
    if (!isKnown) return undefined;
    const since = this.#events.slice(this.#placeAfter(resourceVersion) - this.#first);
    const [first] = since;
    if (first?.resourceVersion === resourceVersion && !this.#late.has(first)) return undefined;
    const objects = new Map(this.#objects);
    for (const { type, object, previous } of since.reverse()) {
      if (type === 'ADDED') objects.delete(keyOf(object.metadata));
      else if (previous) objects.set(keyOf(previous.metadata), previous);
    }
    return { items: sorted(objects), resourceVersion };
  }

  /**
   * The whole new state: what differs becomes events. A version that went back means another history (a restored
   * hub): all watchers are ended with 410, and list anew.
   */
  replace(objects: readonly T[], resourceVersion?: string): void {
    if (resourceVersion !== undefined) checkResourceVersion(resourceVersion);
    const fresh = this.#first === 0 && this.#events.length === 0 && this.#objects.size === 0;
    const wentBack =
      resourceVersion !== undefined && compareResourceVersions(resourceVersion, this.#version) < 0;
    if (resourceVersion !== undefined && (fresh || wentBack)) {
      this.#startAnew(objects, resourceVersion);
      return;
    }
    // What a relist found has no version of its own, or one that others share. It stands at the old one: the new one
    // then means one thing only, and a watcher that comes back with the old one is told all of it.
    const before = resourceVersion === undefined ? undefined : this.#version;
    this.#relisted = before;
    const kept = new Set(objects.map(({ metadata }) => keyOf(metadata)));
    for (const object of [...this.#objects.values()]) {
      if (!kept.has(keyOf(object.metadata))) this.#remove(object, this.#versionFor(before));
    }
    for (const object of objects.toSorted(byVersion)) {
      if (!this.#isKnown(object)) this.#put(object, before && newest(before, object, resourceVersion));
    }
    this.#relisted = undefined;
    if (resourceVersion !== undefined) this.advance(resourceVersion);
  }

  /** An object that is equal to the known one makes no event. */
  upsert(object: T, resourceVersion?: string): void {
    if (resourceVersion !== undefined) checkResourceVersion(resourceVersion);
    if (!this.#isKnown(object)) this.#put(object, resourceVersion);
    else if (resourceVersion !== undefined) this.advance(resourceVersion);
  }

  remove(name: string, options: { resourceVersion?: string; namespace?: string } = {}): void {
    const { resourceVersion, namespace } = options;
    if (resourceVersion !== undefined) checkResourceVersion(resourceVersion);
    const object = this.get(name, namespace);
    if (object) this.#remove(object, this.#versionFor(resourceVersion));
    else if (resourceVersion !== undefined) this.advance(resourceVersion);
  }

  /** Nothing else changed up to this version: watchers are told by a bookmark. */
  advance(resourceVersion: string): void {
    checkResourceVersion(resourceVersion);
    if (compareResourceVersions(resourceVersion, this.#version) <= 0) return;
    this.#version = resourceVersion;
    this.#wake();
  }

  /**
   * What happens after `since`, or from now on, until the signal fires. Throws a 410 StatusError, at once or while it
   * is read, for a version that is older than the window, or that does not come within the grace.
   */
  events(since: string | undefined, signal: AbortSignal): AsyncIterable<WatchEvent<T>> {
    if (since === undefined) return this.#follow(this.#end, this.#version, signal);
    checkResourceVersion(since);
    if (compareResourceVersions(since, this.#complete) < 0)
      throw expired(`too old resource version: ${since} (${this.#complete})`);
    if (compareResourceVersions(since, this.#version) > 0) return this.#followFuture(since, signal);
    return this.#follow(this.#placeAfter(since), since, signal);
  }

  get #end(): number {
    return this.#first + this.#events.length;
  }

  #isKnown(object: T): boolean {
    const known = this.#objects.get(keyOf(object.metadata));
    if (known === undefined || known === object) return known !== undefined;
    // Without a version of its own the object was given ours.
    const { resourceVersion } = known.metadata;
    const comparable =
      object.metadata.resourceVersion === undefined && resourceVersion !== undefined
        ? withVersion(object, resourceVersion)
        : object;
    return isDeepStrictEqual(known, comparable);
  }

  /** Never less than the last one. */
  #versionFor(given: string | undefined): string {
    if (given === undefined) return nextResourceVersion(this.#version);
    return compareResourceVersions(given, this.#version) < 0 ? this.#version : given;
  }

  #put(given: T, resourceVersion: string | undefined): void {
    const version = this.#versionFor(resourceVersion);
    const own = given.metadata.resourceVersion;
    const keepsOwn = resourceVersion !== undefined && own !== undefined && isResourceVersion(own);
    const object = keepsOwn ? given : withVersion(given, version);
    const key = keyOf(object.metadata);
    const previous = this.#objects.get(key);
    // Informers compare by name: an object that was made anew under its old name is told as two events.
    if (previous && previous.metadata.uid !== object.metadata.uid) this.#remove(previous, version);
    this.#objects.set(key, object);
    const change = previous && previous.metadata.uid === object.metadata.uid ? { previous } : {};
    this.#push({
      type: 'previous' in change ? 'MODIFIED' : 'ADDED',
      object,
      ...change,
      resourceVersion: version,
    });
  }

  #remove(previous: T, resourceVersion: string): void {
    this.#objects.delete(keyOf(previous.metadata));
    const object = withVersion(previous, resourceVersion);
    this.#push({ type: 'DELETED', object, previous, resourceVersion });
  }

  #push(event: ObjectEvent<T>): void {
    this.#sorted = undefined;
    this.#version = event.resourceVersion;
    this.#events.push(event);
    if (event.resourceVersion === this.#relisted) this.#late.add(event);
    // Twice the window, so that the copy is made once in many events.
    if (this.#events.length >= 2 * this.#window) {
      const dropped = this.#events.length - this.#window;
      const lastDropped = this.#events[dropped - 1];
      const last = lastDropped?.resourceVersion ?? this.#complete;
      // Of several events with one version either all are kept or nobody may come back with it.
      const isShared = this.#events[dropped]?.resourceVersion === last;
      const isUntold = lastDropped !== undefined && this.#late.has(lastDropped);
      this.#complete = isShared || isUntold ? nextResourceVersion(last) : last;
      this.#events = this.#events.slice(dropped);
      this.#first += dropped;
    }
    this.#wake();
  }

  #startAnew(objects: readonly T[], resourceVersion: string): void {
    this.#objects.clear();
    for (const object of objects) {
      const stamped = object.metadata.resourceVersion === undefined;
      this.#objects.set(keyOf(object.metadata), stamped ? withVersion(object, resourceVersion) : object);
    }
    // One past the end: every place that a watcher may hold is before the window now.
    this.#first = this.#end + 1;
    this.#events = [];
    this.#version = this.#complete = resourceVersion;
    this.#sorted = undefined;
    this.#wake();
  }

  /**
   * The first event after `since`; the first with that version where several have it, or a relist found it: not all
   * may have been told.
   */
  #placeAfter(since: string): number {
    let [low, high] = [0, this.#events.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compareResourceVersions(this.#events[middle]?.resourceVersion ?? '', since) > 0) high = middle;
      else low = middle + 1;
    }
    let same = low;
    while (this.#events[same - 1]?.resourceVersion === since) same--;
    const event = this.#events[same];
    const isUntold = low - same > 1 || (event !== undefined && this.#late.has(event));
    return this.#first + (isUntold ? same : low);
  }

  async *#follow(start: number, since: string, signal: AbortSignal): AsyncGenerator<WatchEvent<T>> {
    let place = start;
    let told = since;
    while (!signal.aborted) {
      if (place < this.#first) throw expired('the watch fell too far behind');
      const event = this.#events[place - this.#first];
      if (event) {
        place++;
        told = event.resourceVersion;
        yield event;
      } else if (compareResourceVersions(this.#version, told) > 0) {
        told = this.#version;
        yield { type: 'BOOKMARK', resourceVersion: told };
      } else await this.#change(signal);
    }
  }

  async *#followFuture(since: string, signal: AbortSignal): AsyncGenerator<WatchEvent<T>> {
    const deadline = performance.now() + this.#futureGraceMs;
    while (!signal.aborted && compareResourceVersions(since, this.#version) > 0) {
      const left = deadline - performance.now();
      if (left <= 0) throw expired(`too large resource version: ${since} (${this.#version})`);
      await this.#change(signal, left);
    }
    if (!signal.aborted) yield* this.#follow(this.#placeAfter(since), since, signal);
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  /** Waits for the next change, the signal, or the time. */
  async #change(signal: AbortSignal, timeoutMs?: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const wake = () => resolve(undefined);
    const timer = timeoutMs === undefined ? undefined : setTimeout(wake, timeoutMs);
    signal.addEventListener('abort', wake, { once: true });
    this.#waiting.add(wake);
    await promise;
    clearTimeout(timer);
    signal.removeEventListener('abort', wake);
    this.#waiting.delete(wake);
  }
}

const sorted = <T extends KubeObject>(objects: ReadonlyMap<string, T>): T[] =>
  [...objects].sort(([left], [right]) => (left < right ? -1 : 1)).map(([, object]) => object);

const versionOf = ({ metadata: { resourceVersion = '' } }: KubeObject) =>
  isResourceVersion(resourceVersion) ? resourceVersion : '0';

const byVersion = (left: KubeObject, right: KubeObject) =>
  compareResourceVersions(versionOf(left), versionOf(right));

/** The object's own version where it lies in the time of a relist, else the one before it. */
function newest(before: string, object: KubeObject, after = before): string {
  const own = versionOf(object);
  const isBetween = compareResourceVersions(own, before) > 0 && compareResourceVersions(own, after) <= 0;
  return isBetween ? own : before;
}

/** A copy with that resource version; the object itself, where it has it. */
export function withVersion<T extends KubeObject>(object: T, resourceVersion: string): T {
  if (object.metadata.resourceVersion === resourceVersion) return object;
  return { ...object, metadata: { ...object.metadata, resourceVersion } };
}
