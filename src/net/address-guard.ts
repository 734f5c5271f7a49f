import { lookup as systemLookup } from 'node:dns';
import { BlockList, isIP, isIPv4 } from 'node:net';
import type { LookupFunction } from 'node:net';
import { Failure } from '../base/failure.ts';
import type { Dial } from './dial.ts';
import { ipv6Bytes } from './ipv6-bytes.ts';
import { hostPort } from './node-errors.ts';

/** Which addresses may be connected to. */
export interface AddressGuard {
  /** Of an IPv4 or IPv6 address in any form. Whatever is none is not allowed. */
  allows(address: string): boolean;
}

/** Networks by the names that an operator may write. */
const groups: ReadonlyMap<string, readonly string[]> = new Map([
  // The unspecified address leads to the own machine, too.
  ['loopback', ['127.0.0.0/8', '0.0.0.0/8', '::1/128', '::/128']],
  // The last one is the metadata service of Amazon.
  ['link-local', ['169.254.0.0/16', 'fe80::/10', 'fd00:ec2::254/128']],
  [
    'private',
    [
      ...['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10'],
      ...['fc00::/7', 'fec0::/10', '64:ff9b:1::/48'],
    ],
  ],
]);

/**
 * Denies networks: `loopback`, `link-local`, `private`, or addresses and CIDRs. Throws an Error for anything else.
 *
 * @example
 * const guard = denyAddresses(['link-local', '203.0.113.0/24']);
 */
export function denyAddresses(rules: readonly string[]): AddressGuard {
  const denied = new BlockList();
  for (const rule of rules) for (const network of groups.get(rule) ?? [rule]) addNetwork(denied, network);
  return {
    allows(address) {
      const version = isIP(address);
      if (version === 0) return false;
      if (version === 4) return !denied.check(address);
      const inner = embeddedIpv4(address);
      return !denied.check(address, 'ipv6') && (inner === undefined || !denied.check(inner));
    },
  };
}

function addNetwork(denied: BlockList, text: string): void {
  const [address = '', prefix, ...more] = text.split('/');
  const bits = isIPv4(address) ? 32 : 128;
  const length = prefix === undefined ? bits : /^\d{1,3}$/.test(prefix) ? Number(prefix) : NaN;
  if (isIP(address) === 0 || address.includes('%') || more.length > 0 || !(length <= bits))
    throw new Error(
      `${JSON.stringify(text)} is not ${[...groups.keys()].join(', ')}, an IP address or a CIDR`,
    );
  denied.addSubnet(address, length, bits === 32 ? 'ipv4' : 'ipv6');
}

/** Where the IPv4 address stands, behind prefixes of IPv6 that lead to it. */
const embedding: readonly (readonly [prefix: string, at: number])[] = [
  ['00000000000000000000ffff', 12], // mapped, RFC 4291
  ['000000000000000000000000', 12], // compatible, RFC 4291
  ['0000000000000000ffff0000', 12], // translated, RFC 2765
  ['0064ff9b0000000000000000', 12], // NAT64, RFC 6052
  ['2002', 2], // 6to4, RFC 3056
];

function embeddedIpv4(address: string): string | undefined {
  const bytes = ipv6Bytes(address);
  const hex = bytes.toString('hex');
  const found = embedding.find(([prefix]) => hex.startsWith(prefix));
  return found && bytes.subarray(found[1], found[1] + 4).join('.');
}

/**
 * Resolves names as `lookup` does, and leaves out what the guard denies: what is connected to is what was checked, and
 * nobody asks a second time (CVE-2020-8562).
 */
export function guardedLookup(guard: AddressGuard, lookup: LookupFunction = systemLookup): LookupFunction {
  return (host, options, done) => {
    lookup(host, { ...options, all: true }, (error, found, family) => {
      const all = typeof found === 'string' ? [{ address: found, family: family ?? isIP(found) }] : found;
      if (error) {
        done(error, all);
        return;
      }
      const allowed = all.filter(({ address }) => guard.allows(address));
      const [first] = allowed;
      if (first === undefined) done(deniedFailure(host), []);
      else if (options.all === true) done(null, allowed);
      else done(null, first.address, first.family);
    });
  };
}

/** What a name resolves to is not told: callers would learn of networks that they cannot see. */
function deniedFailure(host: string): Failure {
  return new Failure('refused', `dial tcp: lookup ${host}: no address that may be connected to`);
}

/** For a way on which somebody else resolves names: addresses are checked, names are that one's business. */
export function guardLiterals(guard: AddressGuard, dial: Dial): Dial {
  return async (address, signal) => {
    if (isIP(address.host) !== 0 && !guard.allows(address.host))
      throw new Failure('refused', `dial tcp ${hostPort(address)}: this address may not be connected to`);
    return dial(address, signal);
  };
}
