import { z } from 'zod';
import { Backoff } from '../base/backoff.ts';
import { Failure, errorText } from '../base/failure.ts';
import type { Log } from '../base/log.ts';
import type { Closable } from '../base/scope.ts';
import { isVersionUnknown, statusFromValue } from './answer-status.ts';
import type { HubClient } from './client.ts';
import { linkSignal, untilAborted } from './deadline.ts';
import { InformerStore } from './informer-store.ts';
import type { InformerEvent, StagedList } from './informer-store.ts';
import { UnreadableEvent } from './response-body.ts';

export type { InformerEvent, InformerObject } from './informer-store.ts';

/** For readiness, metrics and people. */
export interface InformerState {
  /** The hub has accepted the watch, and it has not ended. */
  readonly connected: boolean;
  /** What the last try ended with; gone as soon as the watch is open. */
  readonly lastError?: string;
  /** When the hub last told something: a list, an event or a bookmark. Milliseconds since 1970. */
  readonly lastSyncAt?: number;
  /** Objects at the hub that `decode` threw at. */
  readonly skipped: number;
}

export interface Informer<T> extends Closable {
  readonly hasSynced: boolean;
  /** Resolves with the first complete list. */
  synced(signal: AbortSignal): Promise<void>;
  get(namespace: string, name: string): T | undefined;
  list(): readonly T[];
  /** That of the last list, event or bookmark; '' before the first list. */
  readonly resourceVersion: string;
  /** Called in order, after the store shows the change. Gives back what ends it. */
  subscribe(listener: (event: InformerEvent<T>) => void): () => void;
  /** Why the store is not current; undefined while the watch is open, and while a watch that ended well is renewed. */
  readonly trouble: string | undefined;
  readonly state: InformerState;
}

export interface InformerOptions<T> {
  readonly client: HubClient;
  /** Of the list: `/api/v1/namespaces/x/secrets`. */
  readonly path: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Makes a value of an object; what it throws leaves that one object out, also where an older one could be read. */
  readonly decode: (object: unknown) => T;
  readonly log: Log;
}

/**
 * Follows a list of the hub: LIST in pages, WATCH from there, LIST again only when the hub has forgotten our version.
 * While the hub is away the store keeps what it has.
 *
 * @example
 * const secrets = createInformer({ client, path: '/api/v1/namespaces/x/secrets', decode: secretFrom, log });
 * secrets.subscribe((event) => console.log(event.type));
 * await secrets.synced(signal);
 */
export function createInformer<T>(options: InformerOptions<T>): Informer<T> {
  const informer = new ListWatchInformer(options);
  informer.start();
  return informer;
}

const listShape = z.object({
  metadata: z.object({ resourceVersion: z.string().min(1), continue: z.string().optional() }),
  items: z.array(z.unknown()).nullish(),
});
const eventShape = z.object({ type: z.string(), object: z.unknown() });
const versionShape = z.object({ metadata: z.object({ resourceVersion: z.string().min(1) }) });

const pageSize = 500;
const listTimeoutMs = 60_000;
/** A watch that lived this long has shown that the hub is well. */
const goodWatchMs = 5_000;
/** How much longer than it was asked for a watch may live before it is taken for stuck. */
const watchGraceMs = 30_000;

class ListWatchInformer<T> implements Informer<T> {
  hasSynced = false;
  resourceVersion = '';
  readonly #options: InformerOptions<T>;
  readonly #store: InformerStore<T>;
  readonly #ended = new AbortController();
  readonly #listeners = new Set<(event: InformerEvent<T>) => void>();
  readonly #synced = Promise.withResolvers<undefined>();
  #running: Promise<void> | undefined;
  #mustList = true;
  #connected = false;
  #trouble: string | undefined = 'the first list has not come yet';
  #lastSyncAt: number | undefined;
  /** The version after which an event could not be read. */
  #unreadableAfter: string | undefined;

  constructor(options: InformerOptions<T>) {
    this.#options = options;
    this.#synced.promise.catch(() => undefined);
    this.#store = new InformerStore({
      decode: options.decode,
      onUnreadable: (where, error) => {
        const reason = errorText(error);
        options.log.warn({ path: options.path, ...where, reason }, 'an object of the hub cannot be read');
      },
    });
  }

  start(): void {
    this.#running = this.#run();
  }

  get trouble(): string | undefined {
    return this.#trouble;
  }

  get state(): InformerState {
    return {
      connected: this.#connected,
      skipped: this.#store.skipped,
      ...(this.#trouble === undefined ? {} : { lastError: this.#trouble }),
      ...(this.#lastSyncAt === undefined ? {} : { lastSyncAt: this.#lastSyncAt }),
    };
  }

  get(namespace: string, name: string): T | undefined {
    return this.#store.get(namespace, name);
  }

  list(): readonly T[] {
    return this.#store.list();
  }

  async synced(signal: AbortSignal): Promise<void> {
    await untilAborted(this.#synced.promise, signal);
  }

  subscribe(listener: (event: InformerEvent<T>) => void): () => void {
    // A function of its own, so that one listener may subscribe twice.
    const own = (event: InformerEvent<T>) => listener(event);
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  async close(): Promise<void> {
    this.destroy();
    await this.#running;
  }

  destroy(): void {
    this.#ended.abort(new Failure('cancelled', 'the informer has ended'));
    this.#synced.reject(new Failure('cancelled', 'the informer has ended'));
    this.#listeners.clear();
    this.#connected = false;
  }

  /** Pauses of 3 s at most: a hub that comes back is to be followed again well within 5 s. */
  async #run(): Promise<void> {
    const backoff = new Backoff({ initialMs: 200, maxMs: 3_000 });
    const { signal } = this.#ended;
    while (!signal.aborted) {
      let failed = false;
      let startedAt = performance.now();
      let before = this.resourceVersion;
      try {
        if (this.#mustList) await this.#listAll();
        startedAt = performance.now();
        before = this.resourceVersion;
        await this.#watchOnce();
      } catch (error) {
        failed = true;
        this.#fail(error);
      }
      this.#connected = false;
      const useful = this.resourceVersion !== before || performance.now() - startedAt > goodWatchMs;
      if (useful) backoff.reset();
      // At once after a good end; but a watch that ends as soon as it is open must not become a busy loop.
      if (failed || !useful) await backoff.wait(signal);
    }
  }

  #fail(error: unknown): void {
    if (this.#ended.signal.aborted) return;
    const { path, log } = this.#options;
    if (isVersionUnknown(error)) {
      this.#mustList = true;
      log.info({ path }, 'the hub no longer knows our resource version; listing again');
      return;
    }
    if (error instanceof UnreadableEvent) {
      // Read again from before it; when that gives the same, it can only be passed by a list.
      this.#mustList ||= this.#unreadableAfter === this.resourceVersion;
      this.#unreadableAfter = this.resourceVersion;
    }
    const reason = errorText(error);
    if (this.#trouble !== reason) log.warn({ path, reason }, 'cannot follow a list of the hub; trying again');
    this.#trouble = reason;
  }

  async #listAll(): Promise<void> {
    const listed = await this.#listPages(pageSize).catch((error: unknown) => {
      if (!(error instanceof ContinueExpired)) throw error;
      // As client-go: pages that cannot keep up with etcd's compaction never would; once without them.
      return this.#listPages(undefined);
    });
    const events = this.#store.replace(listed.staged, listed.resourceVersion);
    this.resourceVersion = listed.resourceVersion;
    this.#mustList = false;
    this.#unreadableAfter = undefined;
    this.#lastSyncAt = Date.now();
    this.hasSynced = true;
    this.#trouble = undefined;
    for (const event of events) this.#emit(event);
    this.#synced.resolve(undefined);
  }

  async #listPages(
    limit: number | undefined,
  ): Promise<{ readonly staged: StagedList<T>; readonly resourceVersion: string }> {
    const staged = this.#store.stage();
    let token = '';
    for (;;) {
      const page = await this.#listPage(limit, token);
      this.#store.add(staged, page.items ?? []);
      const { continue: next = '', resourceVersion } = page.metadata;
      if (next === '') return { staged, resourceVersion };
      if (next === token) throw new Failure('reset', 'the hub gave the same page of a list twice');
      token = next;
    }
  }

  async #listPage(limit: number | undefined, token: string): Promise<z.infer<typeof listShape>> {
    const { client, path } = this.#options;
    const query = {
      ...this.#selectors(),
      ...(limit === undefined ? {} : { limit: String(limit) }),
      ...(token === '' ? {} : { continue: token }),
    };
    const { signal } = this.#ended;
    try {
      const answer = await client.request({ method: 'GET', path, query, signal, timeoutMs: listTimeoutMs });
      const page = listShape.safeParse(answer).data;
      // Not the parser's own message: it may show what stands in the objects.
      if (!page) throw new Failure('reset', 'the hub answered with something that is not a list');
      return page;
    } catch (error) {
      if (token !== '' && isVersionUnknown(error)) throw new ContinueExpired(error);
      throw error;
    }
  }

  async #watchOnce(): Promise<void> {
    const { client, path } = this.#options;
    const timeoutSeconds = 300 + Math.floor(Math.random() * 300);
    // The hub ends a watch in time. One that it forgets would look like one where nothing happens.
    const { signal, release } = linkSignal(
      this.#ended.signal,
      timeoutSeconds * 1000 + watchGraceMs,
      `a watch of ${path}`,
    );
    try {
      const events = client.watch({
        path,
        query: {
          ...this.#selectors(),
          resourceVersion: this.resourceVersion,
          allowWatchBookmarks: 'true',
          timeoutSeconds: String(timeoutSeconds),
        },
        signal,
        onOpen: () => {
          this.#connected = true;
          this.#trouble = undefined;
        },
      });
      for await (const value of events) {
        if (signal.aborted) return;
        this.#apply(value);
      }
    } finally {
      release();
    }
  }

  #apply(value: unknown): void {
    const event = eventShape.safeParse(value).data;
    if (!event) throw new UnreadableEvent('the hub sent something that is not a watch event');
    const { type, object } = event;
    if (type === 'ERROR') throw statusFromValue(object, 500);
    if (type !== 'BOOKMARK' && type !== 'ADDED' && type !== 'MODIFIED' && type !== 'DELETED') {
      this.#options.log.warn({ path: this.#options.path, type }, 'the hub sent an event of an unknown type');
      return;
    }
    const version = versionShape.safeParse(object).data?.metadata.resourceVersion;
    if (version === undefined) throw new UnreadableEvent('the hub sent an event without a resource version');
    const change: InformerEvent<T> | undefined =
      type === 'BOOKMARK'
        ? { type: 'advanced', resourceVersion: version }
        : this.#store.apply(type, object, version);
    if (!change) throw new UnreadableEvent('the hub sent an event whose object has no name');
    this.resourceVersion = version;
    this.#lastSyncAt = Date.now();
    this.#emit(change);
  }

  #emit(event: InformerEvent<T>): void {
    for (const listener of [...this.#listeners]) {
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

/** The hub compacted its history while a list was read page by page. */
class ContinueExpired extends Error {
  constructor(cause: unknown) {
    super('the list has expired between two pages', { cause });
  }
}
