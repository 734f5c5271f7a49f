import { z } from 'zod';
import { Backoff } from '../base/backoff.ts';
import { errorText } from '../base/failure.ts';
import type { Log } from '../base/log.ts';
import type { Closable } from '../base/scope.ts';
import { StatusError } from '../kube/status.ts';
import { statusFromValue } from './answer-status.ts';
import type { HubClient } from './client.ts';

export interface InformerObject<T> {
  readonly namespace: string;
  readonly name: string;
  readonly object: T;
}

/**
 * `replaced`: a new list has taken the place of all objects (the first one, and after the hub has forgotten our
 * version). `advanced`: nothing changed up to this version. `deleted` has the last object.
 */
export type InformerEvent<T> =
  | (InformerObject<T> & {
      readonly type: 'added' | 'modified' | 'deleted';
      readonly resourceVersion: string;
    })
  | { readonly type: 'replaced'; readonly resourceVersion: string }
  | { readonly type: 'advanced'; readonly resourceVersion: string };

export interface Informer<T> extends Closable {
  readonly hasSynced: boolean;
  /** Resolves with the first complete list. */
  synced(signal: AbortSignal): Promise<void>;
  get(namespace: string, name: string): T | undefined;
  list(): readonly T[];
  readonly resourceVersion: string;
  /** Called in order, after the store shows the change. */
  subscribe(listener: (event: InformerEvent<T>) => void): () => void;
  /** Why the store is not current; undefined while the watch is open. */
  readonly trouble: string | undefined;
}

export interface InformerOptions<T> {
  readonly client: HubClient;
  /** Of the list: `/api/v1/namespaces/x/secrets`. */
  readonly path: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Makes a value of an object; what it throws leaves that one object out. */
  readonly decode: (object: unknown) => T;
  readonly log: Log;
}

/** Follows a list of the hub: LIST in pages, WATCH from there, LIST again only when the hub has forgotten our version. */
export function createInformer<T>(options: InformerOptions<T>): Informer<T> {
  return new ListWatchInformer(options);
}

const listShape = z.object({
  metadata: z.object({ resourceVersion: z.string(), continue: z.string().optional() }),
  items: z.array(z.unknown()).nullish(),
});
const objectShape = z.object({
  metadata: z.object({
    name: z.string(),
    namespace: z.string().optional(),
    resourceVersion: z.string().optional(),
  }),
});
const eventShape = z.object({
  type: z.enum(['ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK', 'ERROR']),
  object: z.unknown(),
});

interface Entry<T> extends InformerObject<T> {
  readonly version: string;
}

const pageSize = '500';

class ListWatchInformer<T> implements Informer<T> {
  hasSynced = false;
  resourceVersion = '';
  trouble: string | undefined = 'the first list has not come yet';
  readonly #options: InformerOptions<T>;
  readonly #ended = new AbortController();
  readonly #listeners = new Set<(event: InformerEvent<T>) => void>();
  readonly #synced = Promise.withResolvers<undefined>();
  readonly #running: Promise<void>;
  #entries = new Map<string, Entry<T>>();
  #values: readonly T[] | undefined;

  constructor(options: InformerOptions<T>) {
    this.#options = options;
    this.#synced.promise.catch(() => undefined);
    this.#running = this.#run();
  }

  get(namespace: string, name: string): T | undefined {
    return this.#entries.get(`${namespace}/${name}`)?.object;
  }

  list(): readonly T[] {
    this.#values ??= [...this.#entries.values()].map(({ object }) => object);
    return this.#values;
  }

  async synced(signal: AbortSignal): Promise<void> {
    const aborted = Promise.withResolvers<undefined>();
    const onAbort = () =>
      aborted.reject(signal.reason instanceof Error ? signal.reason : new Error('aborted'));
    signal.addEventListener('abort', onAbort);
    if (signal.aborted) onAbort();
    try {
      await Promise.race([this.#synced.promise, aborted.promise]);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  subscribe(listener: (event: InformerEvent<T>) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    this.destroy();
    await this.#running;
  }

  destroy(): void {
    this.#ended.abort(new Error('the informer has ended'));
    this.#synced.reject(new Error('the informer has ended'));
    this.#listeners.clear();
  }

  /** Five seconds at most: a hub that comes back is to be followed again within them. */
  async #run(): Promise<void> {
    const backoff = new Backoff({ initialMs: 200, maxMs: 4_000 });
    const { signal } = this.#ended;
    while (!signal.aborted) {
      try {
        if (this.resourceVersion === '') await this.#listAll();
        const startedAt = performance.now();
        await this.#watchOnce(() => backoff.reset());
        // A watch that ends at once, again and again, must not become a busy loop.
        if (performance.now() - startedAt < 1_000) await backoff.wait(signal);
      } catch (error) {
        if (signal.aborted) return;
        if (isExpired(error)) this.resourceVersion = '';
        this.#note(error);
        await backoff.wait(signal);
      }
    }
  }

  #note(error: unknown): void {
    const { path, log } = this.#options;
    const reason = errorText(error);
    if (this.trouble !== reason) log.warn({ path, reason }, 'cannot follow a list of the hub; trying again');
    this.trouble = reason;
  }

  async #listAll(): Promise<void> {
    const entries = new Map<string, Entry<T>>();
    let version = '';
    let token: string | undefined;
    do {
      const page = listShape.parse(
        await this.#options.client.request({
          method: 'GET',
          path: this.#options.path,
          query: {
            ...this.#selectors(),
            limit: pageSize,
            ...(token === undefined ? {} : { continue: token }),
          },
          signal: this.#ended.signal,
          timeoutMs: 60_000,
        }),
      );
      for (const item of page.items ?? []) this.#store(entries, item);
      version = page.metadata.resourceVersion;
      token = page.metadata.continue === '' ? undefined : page.metadata.continue;
    } while (token !== undefined);
    const before = this.#entries;
    this.#entries = entries;
    this.#values = undefined;
    this.resourceVersion = version;
    this.#tellDifferences(before, entries, version);
    this.#emit({ type: 'replaced', resourceVersion: version });
    this.trouble = undefined;
    this.hasSynced = true;
    this.#synced.resolve(undefined);
  }

  #tellDifferences(before: Map<string, Entry<T>>, after: Map<string, Entry<T>>, version: string): void {
    for (const [key, entry] of before) {
      if (!after.has(key)) this.#emitObject('deleted', entry, version);
    }
    for (const [key, entry] of after) {
      const old = before.get(key);
      if (old?.version !== entry.version) this.#emitObject(old ? 'modified' : 'added', entry, entry.version);
    }
  }

  async #watchOnce(onOpen: () => void): Promise<void> {
    const events = this.#options.client.watch({
      path: this.#options.path,
      query: {
        ...this.#selectors(),
        resourceVersion: this.resourceVersion,
        allowWatchBookmarks: 'true',
        timeoutSeconds: String(300 + Math.floor(Math.random() * 300)),
      },
      signal: this.#ended.signal,
    });
    // client.watch answers with its first event or its end; the store is current as soon as it is open.
    this.trouble = undefined;
    for await (const value of events) {
      onOpen();
      this.trouble = undefined;
      this.#apply(value);
    }
  }

  #apply(value: unknown): void {
    const { type, object } = eventShape.parse(value);
    if (type === 'ERROR') throw statusFromValue(object, 500);
    const { metadata } = objectOrVersion(object);
    const version = metadata.resourceVersion ?? this.resourceVersion;
    if (type === 'BOOKMARK') {
      this.resourceVersion = version;
      this.#emit({ type: 'advanced', resourceVersion: version });
      return;
    }
    const key = keyOf(object);
    const before = this.#entries.get(key);
    // Whatever the new state is, the old one is over: fail closed when it cannot be read.
    this.#entries.delete(key);
    const entry = type === 'DELETED' ? undefined : this.#store(this.#entries, object);
    this.#values = undefined;
    this.resourceVersion = version;
    if (entry) this.#emitObject(before ? 'modified' : 'added', entry, version);
    else if (before) this.#emitObject('deleted', before, version);
  }

  #store(entries: Map<string, Entry<T>>, value: unknown): Entry<T> | undefined {
    try {
      const { metadata } = objectShape.parse(value);
      const entry: Entry<T> = {
        namespace: metadata.namespace ?? '',
        name: metadata.name,
        version: metadata.resourceVersion ?? '',
        object: this.#options.decode(value),
      };
      entries.set(`${entry.namespace}/${entry.name}`, entry);
      return entry;
    } catch (error) {
      this.#options.log.warn(
        {
          path: this.#options.path,
          reason: error instanceof z.ZodError ? 'unknown shape' : errorText(error),
        },
        'an object of the hub cannot be read',
      );
      return undefined;
    }
  }

  #emitObject(type: 'added' | 'modified' | 'deleted', entry: Entry<T>, resourceVersion: string): void {
    this.#emit({ type, namespace: entry.namespace, name: entry.name, object: entry.object, resourceVersion });
  }

  #emit(event: InformerEvent<T>): void {
    for (const listener of this.#listeners) {
      try {
        listener(event);
      } catch (error) {
        this.#options.log.error({ err: error, path: this.#options.path }, 'a listener of an informer failed');
      }
    }
  }

  #selectors(): Record<string, string> {
    const { labelSelector, fieldSelector } = this.#options;
    return {
      ...(labelSelector === undefined ? {} : { labelSelector }),
      ...(fieldSelector === undefined ? {} : { fieldSelector }),
    };
  }
}

const versionShape = z.object({ metadata: z.object({ resourceVersion: z.string().optional() }) });
const objectOrVersion = (object: unknown) => versionShape.parse(object);

function keyOf(object: unknown): string {
  const { metadata } = objectShape.parse(object);
  return `${metadata.namespace ?? ''}/${metadata.name}`;
}

const isExpired = (error: unknown) => error instanceof StatusError && error.status.code === 410;
