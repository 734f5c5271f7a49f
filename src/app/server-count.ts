import { lookup } from 'node:dns/promises';
import { errorText } from '../base/failure.ts';
import type { Log } from '../base/log.ts';
import type { Closable } from '../base/scope.ts';

/** The addresses of a host. */
export type ResolveHost = (host: string) => Promise<readonly { readonly family: number }[]>;

export interface DiscoveredServerCountOptions {
  readonly host: string;
  /** Between two look-ups, 30 s unless told. */
  readonly intervalMs?: number;
  readonly resolve?: ResolveHost;
  readonly log: Log;
}

export interface DiscoveredServerCount extends Closable {
  /** 1 at least. */
  current(): number;
}

const defaultIntervalMs = 30_000;
/** By the resolver of the machine, which knows the search domains of a pod. */
const lookUpAll: ResolveHost = (host) => lookup(host, { all: true });

/**
 * How many servers there are, by the addresses of a name that has all of them. A look-up that fails leaves the last
 * count in place, and is told once. The first one has been made when this resolves.
 */
export async function createDiscoveredServerCount(
  options: DiscoveredServerCountOptions,
): Promise<DiscoveredServerCount> {
  const { host, intervalMs = defaultIntervalMs, resolve = lookUpAll, log } = options;
  const state = { count: 1, failing: false, ended: false };
  const lookUp = async () => {
    try {
      const count = serversOf(await resolve(host));
      if (state.ended) return;
      if (count !== state.count) log.info({ host, count }, 'the number of servers has changed');
      state.count = count;
      state.failing = false;
    } catch (error) {
      if (!state.failing && !state.ended)
        log.warn({ host, reason: errorText(error), count: state.count }, 'servers cannot be counted');
      state.failing = true;
    }
  };
  await lookUp();
  const timer = setInterval(() => void lookUp(), intervalMs);
  timer.unref();
  const end = () => {
    state.ended = true;
    clearInterval(timer);
  };
  return {
    current: () => state.count,
    close: () => {
      end();
      return Promise.resolve();
    },
    destroy: end,
  };
}

/** A server has one address of each family that there is. */
function serversOf(addresses: readonly { readonly family: number }[]): number {
  const ofIpv6 = addresses.filter(({ family }) => family === 6).length;
  return Math.max(1, ofIpv6, addresses.length - ofIpv6);
}
