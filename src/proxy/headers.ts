import { headerTokens } from '../base/header-lines.ts';
import type { HeaderLines } from '../base/header-lines.ts';
import { HOPS_HEADER } from './hop-count.ts';

/** Of one connection only (RFC 9110 7.6.1), with their older kin. */
const hopByHop = new Set([
  'connection',
  'proxy-connection',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
  'proxy-authenticate',
]);

/** What a caller sent to prove who it is, and what proxies before us said of the way: neither is for the cluster. */
const neverSent = new Set([
  'host',
  'expect',
  'authorization',
  'proxy-authorization',
  'cookie',
  'audit-id',
  'forwarded',
  'x-real-ip',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-forwarded-port',
  'x-forwarded-uri',
  'x-forwarded-server',
  HOPS_HEADER,
]);

const neverSentPrefixes = ['x-remote-', 'impersonate-'];
const bearerProtocol = 'base64url.bearer.authorization.k8s.io.';

/** Identity headers that the hub is configured to use, beyond the customary ones; lower case. */
export interface IdentityHeaders {
  readonly names: ReadonlySet<string>;
  readonly prefixes: readonly string[];
}

export interface RequestHeaderOptions {
  readonly identityHeaders: IdentityHeaders;
  /** Of the gateway at the cluster: the value of Authorization. */
  readonly authorization: string | undefined;
  readonly auditId: string;
  readonly forwardedFor: string;
  /** Of {@link HOPS_HEADER}. */
  readonly hops: string;
  /** Impersonate-* lines; none: the cluster sees the gateway alone. */
  readonly impersonation: HeaderLines;
}

/**
 * The header lines for the cluster, in one pass. Lines that Connection nominates go first, ours come last, and nothing
 * is removed after that: a caller cannot talk us out of our own (CVE-2021-31999, CVE-2022-23652, CVE-2021-33197).
 */
export function requestHeaders(lines: HeaderLines, options: RequestHeaderOptions): string[] {
  const { identityHeaders, authorization } = options;
  const nominated = nominatedBy(lines);
  const kept: string[] = [];
  for (let i = 0; i + 1 < lines.length; i += 2) {
    const line = lines[i] ?? '';
    const name = line.toLowerCase();
    if (hopByHop.has(name) || neverSent.has(name) || nominated?.has(name)) continue;
    if (neverSentPrefixes.some((prefix) => name.startsWith(prefix))) continue;
    if (identityHeaders.names.has(name) || identityHeaders.prefixes.some((prefix) => name.startsWith(prefix)))
      continue;
    if (name === 'sec-websocket-protocol') {
      const protocols = withoutBearer(lines[i + 1] ?? '');
      if (protocols !== '') kept.push(line, protocols);
      continue;
    }
    kept.push(line, lines[i + 1] ?? '');
  }
  kept.push('x-forwarded-for', options.forwardedFor, 'audit-id', options.auditId, HOPS_HEADER, options.hops);
  if (authorization !== undefined) kept.push('authorization', authorization);
  for (const part of options.impersonation) kept.push(part);
  return kept;
}

/** A browser's token travels as a subprotocol; what is left of the list is for the cluster (apiserver websocket/protocol.go). */
function withoutBearer(value: string): string {
  return value
    .split(',')
    .map((protocol) => protocol.trim())
    .filter((protocol) => protocol !== '' && !protocol.startsWith(bearerProtocol))
    .join(', ');
}

/** A cluster's cookies are for nobody, and its other services (Alt-Svc) are not ours. */
const neverReturned = new Set(['set-cookie', 'alt-svc']);

/**
 * The target's header lines for the caller. Hop-by-hop lines must go: Node throws when an HTTP/2 answer has one, and
 * every chunked answer of an HTTP/1.1 target does (contract 0.10).
 */
export function responseHeaders(lines: HeaderLines): string[] {
  const nominated = nominatedBy(lines);
  const kept: string[] = [];
  for (let i = 0; i + 1 < lines.length; i += 2) {
    const line = lines[i] ?? '';
    const name = line.toLowerCase();
    if (hopByHop.has(name) || neverReturned.has(name) || nominated?.has(name)) continue;
    kept.push(line, lines[i + 1] ?? '');
  }
  return kept;
}

function nominatedBy(lines: HeaderLines): ReadonlySet<string> | undefined {
  const tokens = headerTokens(lines, 'connection');
  return tokens.length === 0 ? undefined : new Set(tokens);
}

/** The addresses a request came by: only what the hub (an authenticated front proxy) wrote is believed. */
export function forwardedFor(before: string | undefined, peer: string): string {
  return before === undefined || before === '' ? peer : `${before}, ${peer}`;
}
