import { Failure, errorText } from '../base/failure.ts';
import { parseGoDuration } from '../kube/go-duration.ts';
import { parseQuery } from '../kube/query.ts';
import { StatusError, badRequest } from '../kube/status.ts';
import type { Exchange } from './exchange.ts';
import type { Patience } from './fair-queue.ts';

export interface RequestDeadlineOptions {
  /** `--request-timeout`; the deadline runs from the making of this. */
  readonly timeoutMs: number;
  /** Called when the time is up, before whoever works on the request is told: what breaks for it is no answer. */
  readonly onExpired: () => void;
}

/** No request waits longer for a place (apiserver pkg/server/filters/priority-and-fairness.go). */
const maxWaitMs = 60_000;
/** setTimeout's largest. */
const maxTimerMs = 2 ** 31 - 1;

const text = 'request did not complete within the allotted timeout';

/** 504 in kube-apiserver's words (apiserver pkg/server/filters/timeout.go). */
export const timeoutError = (): StatusError =>
  new StatusError('Timeout', `Timeout: ${text}`, { details: {} });

/** What the exchange's signal fires with when the time is up. */
export const timeoutFailure = (): Failure => new Failure('timeout', text, { sent: true });

/**
 * The time that a request has, whoever it waits for: authentication, a place, authorization, and its answer. When it is
 * over, the exchange's signal fires with a `Failure` (`timeout`), so that all work for it ends
 * (apiserver pkg/endpoints/filters/request_deadline.go).
 */
export class RequestDeadline implements Patience {
  readonly #exchange: Exchange;
  readonly #onExpired: () => void;
  readonly #startedAt = performance.now();
  #timeoutMs: number;
  #dueAt: number;
  #timer: NodeJS.Timeout | undefined;
  #over = false;

  constructor(exchange: Exchange, { timeoutMs, onExpired }: RequestDeadlineOptions) {
    this.#exchange = exchange;
    this.#onExpired = onExpired;
    this.#timeoutMs = timeoutMs;
    this.#dueAt = this.#startedAt + timeoutMs;
    this.#arm();
    exchange.onEnd(() => this.lift());
  }

  get signal(): AbortSignal {
    return this.#exchange.signal;
  }

  /** A quarter of the time may be spent in a queue, from the arrival on. */
  get maxWaitMs(): number {
    return this.#startedAt + Math.min(this.#timeoutMs / 4, maxWaitMs) - performance.now();
  }

  /** Makes it end earlier; a time that is not above 0, or longer than what is allowed, changes nothing. */
  lower(timeoutMs: number): void {
    if (timeoutMs <= 0 || timeoutMs >= this.#timeoutMs || this.#over) return;
    this.#timeoutMs = timeoutMs;
    this.#dueAt = this.#startedAt + timeoutMs;
    this.#arm();
  }

  /** The whole time anew: something happened that shows that the request goes on. Cheap enough for every chunk. */
  restart(): void {
    this.#dueAt = performance.now() + this.#timeoutMs;
  }

  /** There is no deadline any more. */
  lift(): void {
    this.#over = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #arm(): void {
    clearTimeout(this.#timer);
    const leftMs = Math.min(Math.max(1, Math.ceil(this.#dueAt - performance.now())), maxTimerMs);
    this.#timer = setTimeout(() => this.#onTimer(), leftMs);
  }

  #onTimer(): void {
    if (this.#over) return;
    if (performance.now() < this.#dueAt) {
      this.#arm();
      return;
    }
    this.lift();
    this.#onExpired();
    this.#exchange.cancel(timeoutFailure());
  }
}

/**
 * Milliseconds of `?timeout=`, undefined where there is none. Throws BadRequest for what is no Go duration. Which
 * requests may be shortened by it, the caller decides: kube-apiserver heeds it for all but long-running ones.
 */
export function requestedTimeout(target: string): number | undefined {
  if (!target.includes('timeout')) return undefined;
  const value = parseQuery(target.slice(target.indexOf('?') + 1)).first('timeout');
  if (!value) return undefined;
  try {
    return parseGoDuration(value);
  } catch (error) {
    throw badRequest(`invalid timeout specified in the request URL - ${errorText(error)}`);
  }
}
