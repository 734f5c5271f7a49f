import { isIPv6 } from 'node:net';
import type { AgentLink } from './agent-link.ts';

/** How an agent is found for a dial (`--proxy-strategies`): the first of the list that finds one counts. */
export type Strategy = 'destHost' | 'defaultRoute' | 'default';

/** The host of `host:port`; IPv6 addresses stand in brackets. A name without a port is one. */
export function hostOf(address: string): string {
  const bracketed = /^\[([^\]]*)\](?::\d*)?$/.exec(address)?.[1];
  if (bracketed !== undefined) return bracketed;
  if (isIPv6(address)) return address;
  const colon = address.lastIndexOf(':');
  return colon < 0 ? address : address.slice(0, colon);
}

/** Agents in the order of their coming, found at random or by the least load. */
class AgentList {
  readonly #links: AgentLink[] = [];
  readonly #places = new Map<AgentLink, number>();

  get size(): number {
    return this.#links.length;
  }

  add(link: AgentLink): void {
    if (this.#places.has(link)) return;
    this.#places.set(link, this.#links.length);
    this.#links.push(link);
  }

  delete(link: AgentLink): void {
    const place = this.#places.get(link);
    if (place === undefined) return;
    this.#places.delete(link);
    const last = this.#links.pop();
    if (!last || last === link) return;
    this.#links[place] = last;
    this.#places.set(last, place);
  }

  /**
   * Two at random, and of them the one with less to do: as good as looking at all, for any number of them. One that
   * drains is only taken when there is no other.
   */
  pick(random: () => number): AgentLink | undefined {
    const count = this.#links.length;
    if (count <= 2) return better(this.#links[0], this.#links[1]);
    const first = Math.floor(random() * count);
    const second = (first + 1 + Math.floor(random() * (count - 1))) % count;
    const chosen = better(this.#links[first], this.#links[second]);
    return chosen?.isDraining === true ? this.#links.reduce<AgentLink | undefined>(better, chosen) : chosen;
  }
}

function better(one: AgentLink | undefined, other: AgentLink | undefined): AgentLink | undefined {
  if (!one || !other) return one ?? other;
  if (one.isDraining !== other.isDraining) return one.isDraining ? other : one;
  return other.load < one.load ? other : one;
}

/** The agents that are connected, by what they can be found by. */
export class AgentTable {
  readonly #strategies: readonly Strategy[];
  readonly #random: () => number;
  readonly #all = new AgentList();
  readonly #defaultRoute = new AgentList();
  readonly #byHost = new Map<string, AgentList>();
  readonly #links = new Set<AgentLink>();

  constructor(strategies: readonly Strategy[], random: () => number = Math.random) {
    this.#strategies = strategies;
    this.#random = random;
  }

  get size(): number {
    return this.#links.size;
  }

  links(): Iterable<AgentLink> {
    return this.#links;
  }

  add(link: AgentLink): void {
    this.#links.add(link);
    this.#all.add(link);
    if (link.identifiers.defaultRoute) this.#defaultRoute.add(link);
    for (const host of hostsOf(link)) {
      const list = this.#byHost.get(host) ?? new AgentList();
      this.#byHost.set(host, list);
      list.add(link);
    }
  }

  delete(link: AgentLink): void {
    this.#links.delete(link);
    this.#all.delete(link);
    this.#defaultRoute.delete(link);
    for (const host of hostsOf(link)) {
      const list = this.#byHost.get(host);
      list?.delete(link);
      if (list?.size === 0) this.#byHost.delete(host);
    }
  }

  /** The agent for a destination, `host:port`. */
  pick(address: string): AgentLink | undefined {
    for (const strategy of this.#strategies) {
      const found = this.#listOf(strategy, address)?.pick(this.#random);
      if (found) return found;
    }
    return undefined;
  }

  /** How many agents each strategy has, for metrics. */
  counts(): Map<Strategy, number> {
    const counts = { default: this.#all.size, defaultRoute: this.#defaultRoute.size };
    return new Map(
      this.#strategies.map((strategy) => [
        strategy,
        strategy === 'destHost' ? this.#byHost.size : counts[strategy],
      ]),
    );
  }

  #listOf(strategy: Strategy, address: string): AgentList | undefined {
    switch (strategy) {
      case 'destHost':
        return this.#byHost.get(hostOf(address));
      case 'defaultRoute':
        return this.#defaultRoute;
      case 'default':
        return this.#all;
    }
  }
}

const hostsOf = ({ identifiers }: AgentLink) => [
  ...identifiers.host,
  ...identifiers.ipv4,
  ...identifiers.ipv6,
];
