import { type FuzzCase, targetOf } from './fuzz-case.ts';
import { valuesOf } from './expected-headers.ts';

export interface RefusalRule {
  readonly reason: string;
  readonly statuses: readonly number[];
  readonly applies: (fuzzCase: FuzzCase) => boolean;
  /** It must be refused, not only may. */
  readonly always: boolean;
}

const dotSegment = /(?:^|\/|%2f|\\|%5c)(?:\.|%2e){1,2}(?:\/|%2f|\\|%5c|$)/i;
const badEscape = /%(?![0-9a-f]{2})/i;

/** What the gateway refuses though the target would take it, and why. A refusal without a row is a difference. */
export const refusals: readonly RefusalRule[] = [
  rule('dot segments can be read in two ways (README, The way of a request)', ({ path }) =>
    dotSegment.test(path),
  ),
  rule('empty segments can be read in two ways', ({ path }) => path.includes('//')),
  rule('a NUL in the path ends it for some servers', ({ path }) => path.includes('%00')),
  rule('a path that is not percent-encoded UTF-8 is no name of anything', ({ path }) => !isDecodable(path)),
  rule('a path has visible ASCII only (RFC 3986 2)', ({ path }) => /[^\x21-\x7e]/.test(path)),
  rule('a request target has no fragment (RFC 9112 3.2)', (fuzzCase) => targetOf(fuzzCase).includes('#')),
  rule('two Host lines (RFC 9112 3.2)', ({ framing }) => framing === 'two-hosts'),
  {
    ...rule(
      'nothing may follow a request that ends its connection (RFC 9112 9.6)',
      ({ framing, headers }) =>
        framing === 'pipelined' && valuesOf(headers, 'connection').some((value) => value === 'close'),
    ),
    statuses: [400, 0],
    always: false,
  },
  {
    ...rule('an expectation that is not known cannot be met (RFC 9110 10.1.1)', ({ headers }) =>
      valuesOf(headers, 'expect').some((value) => value.toLowerCase() !== '100-continue'),
    ),
    statuses: [417],
    always: false,
  },
  {
    ...rule('the hub decides on Impersonate-*; the token may not be everybody', ({ headers }) =>
      headers.some(([name]) => name.toLowerCase().startsWith('impersonate-')),
    ),
    statuses: [400, 403],
  },
  {
    ...rule('too many gateways on the way, or a number that is none', ({ headers }) =>
      valuesOf(headers, 'x-cluster-gateway-hops').some((line) =>
        line.split(',').some((value) => !/^\d+$/.test(value.trim()) || Number(value) >= 5),
      ),
    ),
    statuses: [400, 508],
  },
  rule(
    'who is asked for must be clear (README, Who callers are at a cluster)',
    ({ query = '' }) => /impersonate/.test(query) && (query.includes(';') || badEscape.test(query)),
  ),
  rule('a path verb needs a resource (kube-apiserver requestinfo.go)', ({ path }) =>
    /^\/+(?:api\/[^/]+|apis\/[^/]+\/[^/]+)\/(?:watch|proxy)\/*$/.test(path),
  ),
];

function rule(reason: string, applies: (fuzzCase: FuzzCase) => boolean): RefusalRule {
  return { reason, applies, statuses: [400], always: true };
}

function isDecodable(path: string): boolean {
  if (badEscape.test(path)) return false;
  try {
    decodeURIComponent(path);
    return true;
  } catch {
    return false;
  }
}
