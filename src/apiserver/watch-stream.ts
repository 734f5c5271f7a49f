import { once } from 'node:events';
import type { Writable } from 'node:stream';
import type { Log } from '../base/log.ts';
import type { KubeObject } from '../kube/object-meta.ts';
import type { WatchEvent } from '../kube/watch-event.ts';
import type { NodePair } from './exchange.ts';
import type { ListOptions } from './list-options.ts';
import type { AnyResource, ResourceContext } from './resource.ts';
import { listFor } from './resource-read.ts';
import { statusErrorOf } from './status-response.ts';
import type { WatchEncoder, WatchView } from './watch-encoder.ts';
import { selectEvent } from './watch-encoder.ts';

export type NodeResponse = NodePair['response'];

export interface WatchRequest {
  readonly resource: AnyResource;
  readonly encoder: WatchEncoder;
  readonly options: ListOptions;
  readonly view: WatchView;
  /** Told of the bytes of each event. */
  readonly observe?: ((bytes: number) => void) | undefined;
  readonly context: ResourceContext;
}

/** What a watch begins with, and what follows. */
export interface OpenedWatch {
  readonly initial: readonly KubeObject[];
  /** The caller asked for a bookmark behind the initial objects. */
  readonly marksInitialEnd: boolean;
  /** Nothing before it has to be told; undefined until something is known. */
  readonly resourceVersion: string | undefined;
  readonly events: AsyncIterable<WatchEvent<KubeObject>>;
}

/**
 * Finds the beginning of a watch. Without a version, or with `0`, it begins with the state as it is; so it does when
 * the caller asks for initial events. Throws a StatusError while it can still be the answer.
 */
export async function openWatch({ resource, options, context }: WatchRequest): Promise<OpenedWatch> {
  const { resourceVersion, sendInitialEvents } = options;
  const isAny = resourceVersion === '' || resourceVersion === '0';
  if (!resource.watch) throw new TypeError(`${resource.plural} cannot be watched`);
  const beginsWithState = sendInitialEvents ?? isAny;
  if (!beginsWithState) {
    const since = isAny ? undefined : resourceVersion;
    return {
      initial: [],
      marksInitialEnd: false,
      resourceVersion: since,
      events: resource.watch(since, context),
    };
  }
  const list = await listFor(resource, options, context);
  return {
    initial: list.items,
    marksInitialEnd: sendInitialEvents === true,
    resourceVersion: list.resourceVersion,
    events: resource.watch(list.resourceVersion, context),
  };
}

/** Lines are gathered up to this many bytes while many are at hand: the initial objects. */
const batchBytes = 64 * 1024;

/** One open watch: writes lines until its signal fires, the source fails, or the caller is gone. */
export class WatchStream {
  readonly #request: WatchRequest;
  readonly #response: NodeResponse;
  readonly #log: Log;
  #told: string | undefined;
  #isFirst = true;
  #blocked = false;
  #gone = false;

  constructor(request: WatchRequest, { response, log }: { response: NodeResponse; log: Log }) {
    this.#request = request;
    this.#response = response;
    this.#log = log;
    response.once('close', () => (this.#gone = true));
  }

  async run(opened: OpenedWatch): Promise<void> {
    try {
      await this.#writeInitial(opened);
      await this.#follow(opened.events);
      if (!this.#blocked) this.bookmark();
    } catch (error) {
      this.#fail(error);
    }
    this.#end();
  }

  /** Tells how far the watch has come; not to a caller that does not read, nor to one that did not ask. */
  bookmark(): void {
    if (!this.#request.options.allowWatchBookmarks || this.#told === undefined || this.#blocked) return;
    void this.#write(this.#bookmarkBytes(this.#told, false));
  }

  async #writeInitial(opened: OpenedWatch): Promise<void> {
    const { encoder, options, view } = this.#request;
    let batch: Buffer[] = [];
    let size = 0;
    for (const object of opened.initial) {
      const event = { type: 'ADDED', object, resourceVersion: '' } as const;
      const selected = selectEvent(event, options);
      if (!selected) continue;
      const bytes = encoder.event(selected, view, this.#takeFirst());
      this.#request.observe?.(bytes.length);
      batch.push(bytes);
      size += bytes.length;
      if (size < batchBytes) continue;
      await this.#write(Buffer.concat(batch));
      [batch, size] = [[], 0];
    }
    this.#told = opened.resourceVersion;
    if (opened.marksInitialEnd && this.#told !== undefined) batch.push(this.#bookmarkBytes(this.#told, true));
    if (batch.length > 0) await this.#write(Buffer.concat(batch));
  }

  async #follow(events: AsyncIterable<WatchEvent<KubeObject>>): Promise<void> {
    const { encoder, options, view } = this.#request;
    for await (const event of events) {
      this.#told = event.resourceVersion;
      if (event.type === 'BOOKMARK') continue;
      const selected = selectEvent(event, options);
      if (!selected) continue;
      const bytes = encoder.event(selected, view, this.#takeFirst());
      this.#request.observe?.(bytes.length);
      await this.#write(bytes);
    }
  }

  #bookmarkBytes(resourceVersion: string, isInitialEnd: boolean): Buffer {
    const { encoder, view } = this.#request;
    const bytes = encoder.bookmark({ resourceVersion, isInitialEnd }, view, this.#takeFirst());
    this.#request.observe?.(bytes.length);
    return bytes;
  }

  #takeFirst(): boolean {
    const isFirst = this.#isFirst;
    this.#isFirst = false;
    return isFirst;
  }

  /** Waits while the caller does not read: its place in the source's window is all that it costs. */
  async #write(bytes: Buffer): Promise<void> {
    const { signal } = this.#request.context;
    if (this.#gone || (this.#blocked && signal.aborted)) return;
    const out: Writable = this.#response;
    if (out.write(bytes)) return;
    this.#blocked = true;
    // The signal fires when the caller goes, too.
    await once(out, 'drain', { signal }).then(
      () => (this.#blocked = false),
      () => undefined,
    );
  }

  #fail(error: unknown): void {
    if (this.#gone) return;
    const failure = statusErrorOf(error);
    if (failure.status.code >= 500)
      this.#log.error(
        { err: failure.cause ?? error, auditID: this.#request.context.auditId },
        'watch failed',
      );
    const bytes = this.#request.encoder.error(failure.status);
    this.#request.observe?.(bytes.length);
    void this.#write(bytes);
  }

  /** A caller that does not read would never see the end: its stream is cut. */
  #end(): void {
    if (this.#gone) return;
    if (!this.#blocked) this.#response.end();
    else this.#response.destroy();
  }
}
