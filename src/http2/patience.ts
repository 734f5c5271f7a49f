import { Http2ConnectionError, errorCode } from './frame.ts';

const most = 10_000;
/** What each frame that brings something forward makes good. */
const restored = 8;
const perSecond = 1_000;

/**
 * Counts the frames of a peer that bring no request forward (PING, SETTINGS, PRIORITY, empty DATA, unknown ones) against
 * those that do: a flood of them costs as much as requests, and nobody is asked whether it may (CVE-2019-9512, -9513,
 * -9515, -9518).
 */
export class Patience {
  #left = most;
  #at = performance.now();

  /** @throws Http2ConnectionError when none is left */
  take(count = 1): void {
    this.#left -= count;
    if (this.#left > 0) return;
    const now = performance.now();
    this.#left = Math.min(most, this.#left + ((now - this.#at) / 1000) * perSecond);
    this.#at = now;
    if (this.#left <= 0) throw new Http2ConnectionError(errorCode.enhanceYourCalm, 'too many control frames');
  }

  restore(): void {
    if (this.#left < most) this.#left = Math.min(most, this.#left + restored);
  }
}
