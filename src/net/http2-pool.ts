import { Failure } from '../base/failure.ts';
import type { Http2Session, Http2SessionOwner } from './http2-session.ts';
import { abortFailure, connectionFailure } from './node-errors.ts';

export interface Http2PoolOptions {
  /** Connects and wraps; undefined when the peer speaks no HTTP/2 and the connection went elsewhere. */
  readonly open: (owner: Http2SessionOwner, signal: AbortSignal) => Promise<Http2Session | undefined>;
  /** Where this leads, for messages. */
  readonly name: string;
  readonly maxSessions: number;
  /** Requests that wait for a connection or a place on one. */
  readonly maxWaiting: number;
}

/** The share of a session's places after which the next session is opened ahead of need. */
const openAheadAt = 0.75;
const openAheadPauseMs = 1000;

/**
 * HTTP/2 sessions to one target. A request gets a place on a session or waits for one; no session ever carries more
 * streams than its peer allows. Sessions fill in order, so that the last ones fall idle and close.
 */
export class Http2Pool implements Http2SessionOwner {
  readonly #options: Http2PoolOptions;
  readonly #sessions: Http2Session[] = [];
  /** Sessions that end with their last stream. */
  readonly #draining = new Set<Http2Session>();
  readonly #waiters = new Set<Waiter>();
  readonly #dials = new Set<{ readonly controller: AbortController; readonly ahead: boolean }>();
  #usualLimit = 100;
  #noOpenAheadBefore = 0;
  #closed = false;
  #destroyed = false;
  #onEmpty: (() => void) | undefined;

  constructor(options: Http2PoolOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#sessions.length + this.#draining.size;
  }

  /** A session with a place taken on it, if there is one now. */
  tryAcquire(): Http2Session | undefined {
    for (const session of this.#sessions) {
      if (!session.hasRoom) continue;
      session.open += 1;
      if (session.open > session.limit * openAheadAt) this.#openAhead();
      return session;
    }
    return undefined;
  }

  /**
   * As `tryAcquire`, but waits. Undefined: the peer speaks no HTTP/2. `accepted` before the pool was closed, a request
   * is still carried: on a connection of the last hour, if need be.
   */
  acquire(signal: AbortSignal, accepted = false): Promise<Http2Session | undefined> {
    if (signal.aborted) return Promise.reject(abortFailure(signal));
    if (this.#destroyed || (this.#closed && !accepted)) return Promise.reject(this.#closedFailure());
    const session = this.tryAcquire();
    if (session) return Promise.resolve(session);
    if (this.#waiters.size >= this.#options.maxWaiting) {
      const text = `too many requests wait for a connection to ${this.#options.name}`;
      return Promise.reject(new Failure('refused', text));
    }
    return new Promise((resolve, reject) => {
      this.#waiters.add(new Waiter({ resolve, reject, signal }, (waiter) => this.#dropWaiter(waiter)));
      this.#dialForWaiters();
    });
  }

  onRoom(session: Http2Session): void {
    for (const waiter of this.#waiters) {
      if (!session.hasRoom) return;
      session.open += 1;
      this.#waiters.delete(waiter);
      waiter.resolve(session);
    }
  }

  onDrain(session: Http2Session): void {
    const at = this.#sessions.indexOf(session);
    if (at >= 0) this.#sessions.splice(at, 1);
    this.#draining.add(session);
    this.#dialForWaiters();
  }

  onClose(session: Http2Session): void {
    this.#draining.delete(session);
    this.#tellEmpty();
  }

  /** Takes no new request; resolves when the last one that it took, waiting or running, has ended. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const { controller, ahead } of this.#dials) if (ahead) controller.abort(this.#closedFailure());
    // Whoever has just got a place starts first.
    await new Promise((resolve) => setImmediate(resolve));
    for (const session of [...this.#sessions]) session.close();
    if (this.#isBusy)
      await new Promise<void>((resolve) => {
        this.#onEmpty = resolve;
      });
  }

  get #isBusy(): boolean {
    return this.size + this.#waiters.size + this.#dials.size > 0;
  }

  destroy(failure: Failure): void {
    this.#closed = true;
    this.#destroyed = true;
    this.#endWaiting(failure);
    for (const session of [...this.#sessions, ...this.#draining]) session.destroy(failure);
  }

  #endWaiting(failure: Failure): void {
    for (const waiter of this.#waiters) waiter.reject(copyOf(failure));
    this.#waiters.clear();
    for (const { controller } of this.#dials) controller.abort(failure);
  }

  #closedFailure(): Failure {
    return new Failure('unreachable', `the connections to ${this.#options.name} were closed`);
  }

  #dropWaiter(waiter: Waiter): void {
    this.#waiters.delete(waiter);
    if (this.#waiters.size > 0) return;
    for (const { controller, ahead } of this.#dials)
      if (!ahead) controller.abort(new Failure('cancelled', 'nobody waits for the connection any more'));
  }

  #openAhead(): void {
    if (this.#dials.size > 0 || performance.now() < this.#noOpenAheadBefore) return;
    let room = 0;
    for (const { limit, open } of this.#sessions) room += Math.max(0, limit - open);
    if (room < this.#usualLimit * (1 - openAheadAt)) this.#dial(true);
  }

  /** As many dials as it takes to seat all who wait, if the coming sessions are like the last. */
  #dialForWaiters(): void {
    while (this.#dials.size * this.#usualLimit < this.#waiters.size && this.#dial(false));
  }

  #dial(ahead: boolean): boolean {
    if (this.#destroyed || (this.#closed && this.#waiters.size === 0)) return false;
    if (this.#sessions.length + this.#dials.size >= this.#options.maxSessions) return false;
    const dial = { controller: new AbortController(), ahead };
    this.#dials.add(dial);
    this.#options.open(this, dial.controller.signal).then(
      (session) => {
        this.#dials.delete(dial);
        this.#onOpened(session);
        this.#tellEmpty();
      },
      (error: unknown) => {
        this.#dials.delete(dial);
        this.#onDialFailed(connectionFailure(error, false), ahead);
        this.#tellEmpty();
      },
    );
    return true;
  }

  #onOpened(session: Http2Session | undefined): void {
    if (!session) {
      for (const waiter of this.#waiters) waiter.resolve(undefined);
      this.#waiters.clear();
      return;
    }
    if (this.#destroyed || (this.#closed && this.#waiters.size === 0)) session.close();
    if (!session.usable) {
      this.#dialForWaiters();
      return;
    }
    if (session.limit < 1) {
      // Dialling on would only bring more like it.
      session.destroy(new Failure('refused', `${this.#options.name} allows no HTTP/2 stream`));
      this.#onDialFailed(new Failure('refused', `${this.#options.name} allows no HTTP/2 stream`), false);
      return;
    }
    this.#usualLimit = session.limit;
    this.#sessions.push(session);
    this.onRoom(session);
    if (this.#closed) setImmediate(() => session.close());
    this.#dialForWaiters();
  }

  #onDialFailed(failure: Failure, ahead: boolean): void {
    if (ahead) this.#noOpenAheadBefore = performance.now() + openAheadPauseMs;
    // Who came after the last waiter of a cancelled dial has done nothing wrong.
    if (failure.kind === 'cancelled' && !this.#destroyed) this.#dialForWaiters();
    // An early one has failed for nobody in particular: whoever waits has got a dial too, or gets one now.
    else if (ahead && this.#sessions.length > 0) this.#dialForWaiters();
    else {
      for (const waiter of this.#waiters) waiter.reject(copyOf(failure));
      this.#waiters.clear();
    }
  }

  #tellEmpty(): void {
    if (!this.#isBusy) this.#onEmpty?.();
  }
}

/** Each request has its own error: they are annotated and logged apart. */
function copyOf(failure: Failure): Failure {
  return new Failure(failure.kind, failure.message, { cause: failure.cause, sent: false });
}

interface Settle {
  readonly resolve: (session: Http2Session | undefined) => void;
  readonly reject: (failure: Failure) => void;
  readonly signal: AbortSignal;
}

class Waiter {
  readonly #settle: Settle;
  readonly #onAbort: (waiter: Waiter) => void;

  constructor(settle: Settle, onAbort: (waiter: Waiter) => void) {
    this.#settle = settle;
    this.#onAbort = onAbort;
    settle.signal.addEventListener('abort', this);
  }

  handleEvent(): void {
    this.#onAbort(this);
    this.reject(abortFailure(this.#settle.signal));
  }

  resolve(session: Http2Session | undefined): void {
    this.#settle.signal.removeEventListener('abort', this);
    this.#settle.resolve(session);
  }

  reject(failure: Failure): void {
    this.#settle.signal.removeEventListener('abort', this);
    this.#settle.reject(failure);
  }
}
