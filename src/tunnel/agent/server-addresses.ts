import { lookup } from 'node:dns/promises';
import { isIP, isIPv6 } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from '../../base/failure.ts';
import { SingleFlight } from '../../base/single-flight.ts';
import type { Address } from '../../net/dial.ts';
import { dialFailure } from '../../net/node-errors.ts';
import { parseHostPort } from './host-port.ts';

/** One address of a tunnel server. */
export interface ServerAddress {
  /** What was asked for: the server's certificate must be for it. */
  readonly host: string;
  readonly ip: string;
  readonly port: number;
}

/** Gives every IP address of a name; rejects with Node's error. */
export type LookupAll = (host: string) => Promise<readonly string[]>;

/** What is known of the servers' addresses now; names that could not be resolved keep what they had. */
export interface ResolvedServers {
  readonly addresses: readonly ServerAddress[];
  readonly failures: readonly Failure[];
}

const systemLookup: LookupAll = async (host) =>
  (await lookup(host, { all: true })).map(({ address }) => address);

/** Addresses of one name; more are not used. */
const mostAddresses = 64;
const lookupTimeoutMs = 10_000;

/**
 * Reads `host,host:port,[ipv6]:port`; a host without a port has the one that is given beside it.
 *
 * @throws Error that says which member is wrong
 */
export function parseServers(text: string, port: number): Address[] {
  const members = text.split(',').map((member) => member.trim());
  return members.map((member) => {
    const plain = isIPv6(member) ? `[${member}]` : member;
    const server = parseHostPort(plain) ?? parseHostPort(`${plain}:${port}`);
    if (!server) throw new Error(`${JSON.stringify(member)} is not a host, or a host and a port`);
    return server;
  });
}

/** Finds all addresses of all servers. */
export class ServerResolver {
  readonly #servers: readonly Address[];
  readonly #lookup: LookupAll;
  /** `getaddrinfo` cannot be stopped: a name that nobody answers for is asked for once, however often we look. */
  readonly #flights = new SingleFlight<readonly string[]>();
  readonly #known = new Map<string, readonly string[]>();

  constructor(servers: readonly Address[], lookupAll: LookupAll = systemLookup) {
    this.#servers = servers;
    this.#lookup = lookupAll;
  }

  async resolve(signal: AbortSignal): Promise<ResolvedServers> {
    const failures: Failure[] = [];
    const hosts = [...new Set(this.#servers.map(({ host }) => host))];
    await Promise.all(
      hosts.map(async (host) => {
        try {
          this.#known.set(host, await this.#addressesOf(host, signal));
        } catch (error) {
          failures.push(error instanceof Failure ? error : dialFailure(error, { host, port: 0 }));
        }
      }),
    );
    const addresses = this.#servers.flatMap(({ host, port }) =>
      (this.#known.get(host) ?? []).map((ip) => ({ host, ip, port })),
    );
    return { addresses, failures };
  }

  async #addressesOf(host: string, signal: AbortSignal): Promise<readonly string[]> {
    if (isIP(host) !== 0) return [host];
    const timeout = new AbortController();
    const late = sleep(lookupTimeoutMs, undefined, {
      ref: false,
      signal: AbortSignal.any([signal, timeout.signal]),
    }).then(() => {
      throw new Failure('timeout', `lookup ${host}: i/o timeout`);
    });
    try {
      const found = await Promise.race([this.#flights.run(host, () => this.#lookup(host)), late]);
      return [...new Set(found)].slice(0, mostAddresses);
    } finally {
      timeout.abort();
    }
  }
}
