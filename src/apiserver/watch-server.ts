import type { Log } from '../base/log.ts';
import type { SpreadEnds } from '../base/spread-ends.ts';
import type { WatchObserver } from './watch-metrics.ts';
import type { NodeResponse, WatchRequest } from './watch-stream.ts';
import { WatchStream, openWatch } from './watch-stream.ts';

export interface WatchServerOptions {
  readonly bookmarkIntervalMs: number;
  /** A watch whose caller names no time lasts this long, or up to twice as long (`--min-request-timeout`). */
  readonly minTimeoutMs: number;
  /** Told of each watch, so that all can be ended when the server stops. */
  readonly streams?: Pick<SpreadEnds, 'add'>;
  readonly observe?: WatchObserver;
  readonly log: Log;
}

export interface ServedWatch extends Omit<WatchRequest, 'context' | 'observe'> {
  readonly context: Omit<WatchRequest['context'], 'signal'>;
  readonly response: NodeResponse;
  /** Called when the watch has begun: headers may go out. */
  readonly onOpen: () => void;
}

/** setTimeout's largest. */
const maxTimeoutMs = 2 ** 31 - 1;

/** By chance where the caller names no time: many watches must not end, and begin anew, at once. */
function timeoutMsOf(seconds: number | undefined, minTimeoutMs: number): number {
  const timeoutMs = seconds ? seconds * 1000 : (1 + Math.random()) * minTimeoutMs;
  return Math.min(Math.max(0, timeoutMs), maxTimeoutMs);
}

/** The open watches: each has its time, its bookmarks, and an end when the server ends. */
export class WatchServer {
  readonly #options: WatchServerOptions;
  readonly #open = new Set<AbortController>();
  #ended = false;

  constructor(options: WatchServerOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#open.size;
  }

  /** Ends all watches, and those that come, in good order: callers begin anew elsewhere. */
  end(): void {
    this.#ended = true;
    for (const controller of this.#open) controller.abort(new Error('the server is stopping'));
  }

  /** Resolves when the watch is over. Throws a StatusError only before `onOpen`. */
  async serve({ response, onOpen, context, ...rest }: ServedWatch): Promise<void> {
    const controller = new AbortController();
    const observe = (bytes: number) => this.#options.observe?.(rest.resource, bytes);
    const request = { ...rest, observe, context: { ...context, signal: controller.signal } };
    let gone = false;
    const onClose = () => {
      gone = true;
      controller.abort(new Error('the caller went away'));
    };
    response.once('close', onClose);
    this.#open.add(controller);
    if (this.#ended) controller.abort(new Error('the server is stopping'));
    const remove = this.#options.streams?.add(() => controller.abort(new Error('the server is stopping')));
    const timers: NodeJS.Timeout[] = [];
    try {
      const opened = await openWatch(request);
      onOpen();
      // eslint-disable-next-line @typescript-eslint/no-unnecessary-condition -- it may change while the watch is opened
      if (gone) return;
      const stream = new WatchStream(request, { response, log: this.#options.log });
      const deadlineMs = timeoutMsOf(rest.options.timeoutSeconds, this.#options.minTimeoutMs);
      timers.push(
        setTimeout(() => controller.abort(new Error('the time of the watch is over')), deadlineMs),
        setInterval(() => stream.bookmark(), this.#options.bookmarkIntervalMs),
      );
      await stream.run(opened);
    } finally {
      remove?.();
      for (const timer of timers) clearTimeout(timer);
      response.removeListener('close', onClose);
      this.#open.delete(controller);
    }
  }
}
