import { lookup } from 'node:dns/promises';
import { isIP, isIPv4 } from 'node:net';
import { Failure, errorText } from '../../base/failure.ts';
import type { Log } from '../../base/log.ts';
import { dialFailure } from '../../net/node-errors.ts';
import { until } from './until.ts';

/** All addresses of a name. */
export type Resolve = (host: string) => Promise<readonly string[]>;

/** Where tunnel servers are. */
export interface ServerAddresses {
  /** Empty until they are known; another array when they are others. */
  readonly list: readonly string[];
  /**
   * One address (of a family) may stand for several servers, as a Service's does: who connects again may come to another
   * one.
   */
  readonly mayBeShared: boolean;
  /** Waits for the first ones. Rejects with a `Failure` when there are none to be had. */
  known(signal: AbortSignal): Promise<void>;
  /** Looks again, unless that was done just now. Does not throw. */
  refresh(): Promise<void>;
}

export interface ResolvedAddressesOptions {
  readonly host: string;
  readonly port: number;
  readonly resolve: Resolve;
  /** Between two look-ups at the least. */
  readonly minPauseMs: number;
  readonly log: Log;
}

export const resolveByDns: Resolve = async (host) =>
  (await lookup(host, { all: true })).map(({ address }) => address);

/** The one place that there is, and that is not looked up: an IP address, a Unix socket. */
export function fixedAddress(address: string, mayBeShared: boolean): ServerAddresses {
  return {
    list: [address],
    mayBeShared,
    known: () => Promise.resolve(),
    refresh: () => Promise.resolve(),
  };
}

/** Those behind a name. */
export function createServerAddresses(options: ResolvedAddressesOptions): ServerAddresses {
  return isIP(options.host) === 0 ? new ResolvedAddresses(options) : fixedAddress(options.host, true);
}

/** What was known stays when the name cannot be resolved. */
class ResolvedAddresses implements ServerAddresses {
  readonly #options: ResolvedAddressesOptions;
  #list: readonly string[] = [];
  #running: Promise<void> | undefined;
  #lastAt = -Infinity;
  #failure: Failure | undefined;

  constructor(options: ResolvedAddressesOptions) {
    this.#options = options;
  }

  get list(): readonly string[] {
    return this.#list;
  }

  get mayBeShared(): boolean {
    const ofIpv4 = this.#list.filter((address) => isIPv4(address)).length;
    return ofIpv4 <= 1 && this.#list.length - ofIpv4 <= 1;
  }

  async known(signal: AbortSignal): Promise<void> {
    if (this.#list.length > 0) return;
    await until(this.refresh(), signal);
    // What others have just asked for in vain is not asked for again.
    const failure = this.#failure;
    if (failure) throw new Failure(failure.kind, failure.message, { cause: failure });
  }

  refresh(): Promise<void> {
    if (!this.#running && performance.now() - this.#lastAt < this.#options.minPauseMs)
      return Promise.resolve();
    this.#running ??= this.#lookUp().finally(() => {
      this.#running = undefined;
      this.#lastAt = performance.now();
    });
    return this.#running;
  }

  async #lookUp(): Promise<void> {
    const { host, port, resolve, log } = this.#options;
    let found: readonly string[];
    try {
      found = [...new Set(await resolve(host))].sort();
      if (found.length === 0) throw new Error(`lookup ${host}: the name has no addresses`);
    } catch (error) {
      if (!this.#failure)
        log.warn({ host, reason: errorText(error) }, 'the tunnel server cannot be looked up');
      this.#failure = dialFailure(error, { host, port });
      return;
    }
    this.#failure = undefined;
    if (found.join() === this.#list.join()) return;
    this.#list = found;
    log.info({ host, addresses: found }, 'addresses of the tunnel server');
  }
}
