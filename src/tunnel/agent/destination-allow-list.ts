import { BlockList, isIP, isIPv6 } from 'node:net';
import type { Address } from '../../net/dial.ts';
import { plainName } from './host-port.ts';

/** Where servers may let this agent connect to. */
export interface DestinationAllowList {
  allows(address: Address): boolean;
}

interface Rule {
  /** Undefined: any. */
  readonly port: number | undefined;
  readonly matches: (host: string) => boolean;
}

/**
 * Allows `host`, `host:port`, networks (`10.0.0.0/8:443`, `[fd00::/8]:443`) and names with `*` for any characters;
 * `*` alone is everything. Without a port all ports are meant. Networks are of addresses that are dialled as such: what
 * a name resolves to is not looked at, so a pattern of names trusts whoever gives those names.
 *
 * @throws Error that says which entry is none of these
 */
export function createDestinationAllowList(entries: readonly string[]): DestinationAllowList {
  const rules = entries.map(readRule);
  return {
    allows: ({ host, port }) =>
      rules.some((rule) => (rule.port === undefined || rule.port === port) && rule.matches(host)),
  };
}

function readRule(entry: string): Rule {
  const { host, port } = splitPort(entry);
  if (host === '*') return { port, matches: () => true };
  if (host.includes('/') || isIP(host) !== 0) return { port, matches: networkMatcher(host, entry) };
  if (!/^[\w.*-]{1,255}$/.test(host) || /^[\d.*]+$/.test(host)) throw unreadable(entry);
  const pieces = plainName(host).split('*');
  return { port, matches: (asked) => isIP(asked) === 0 && matchesPieces(plainName(asked), pieces) };
}

function unreadable(entry: string): Error {
  return new Error(
    `${JSON.stringify(entry)} is not *, a name (with * for any characters), an IP address or a CIDR, with :port behind it or not`,
  );
}

function splitPort(entry: string): { host: string; port: number | undefined } {
  const bracketed = /^\[([^[\]]+)\](?::(\d{1,5}|\*))?$/.exec(entry);
  if (!bracketed && isIPv6(entry.split('/')[0] ?? '')) return { host: entry, port: undefined };
  const plain = bracketed ?? /^([^:[\]]+)(?::(\d{1,5}|\*))?$/.exec(entry);
  const [, host = '', port = '*'] = plain ?? [];
  if (!plain || (port !== '*' && !(Number(port) >= 1 && Number(port) <= 65_535))) throw unreadable(entry);
  if (bracketed && !isIPv6(host.split('/')[0] ?? '')) throw unreadable(entry);
  return { host, port: port === '*' ? undefined : Number(port) };
}

function networkMatcher(network: string, entry: string): Rule['matches'] {
  const [address = '', prefix, ...more] = network.split('/');
  const family = isIPv6(address) ? 'ipv6' : 'ipv4';
  const bits = family === 'ipv6' ? 128 : 32;
  const length = prefix === undefined ? bits : /^\d{1,3}$/.test(prefix) ? Number(prefix) : NaN;
  if (isIP(address) === 0 || address.includes('%') || more.length > 0 || !(length <= bits))
    throw unreadable(entry);
  const addresses = new BlockList();
  addresses.addSubnet(address, length, family);
  return (asked) => {
    const plain = asked.replace(/%.*$/, '');
    return isIP(plain) !== 0 && addresses.check(plain, isIPv6(plain) ? 'ipv6' : 'ipv4');
  };
}

/** What stands between the stars, in this order; no regular expression, because servers choose the other text. */
function matchesPieces(text: string, pieces: readonly string[]): boolean {
  const [first = '', ...rest] = pieces;
  const last = rest.pop();
  if (last === undefined) return text === first;
  if (!text.startsWith(first) || !text.endsWith(last)) return false;
  let at = first.length;
  for (const piece of rest) {
    const found = text.indexOf(piece, at);
    if (found < 0) return false;
    at = found + piece.length;
  }
  return at <= text.length - last.length;
}
