import type { HeaderPair } from './fuzz-case.ts';

/** What the gateway adds, and by whom it is known at the target. */
export const CLUSTER_TOKEN = 'token-of-the-gateway-at-the-target';

interface HeaderRule {
  readonly reason: string;
  readonly matches: (name: string) => boolean;
}

const named = (reason: string, ...names: readonly string[]): HeaderRule => ({
  reason,
  matches: (name) => names.includes(name),
});
const prefixed = (reason: string, prefix: string): HeaderRule => ({
  reason,
  matches: (name) => name.startsWith(prefix),
});

const hopByHop = [
  'connection',
  'proxy-connection',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
];

/** Lines of a request that differ, or do not arrive, and why. Names in lower case. */
export const requestRules: readonly HeaderRule[] = [
  named('of the fuzzer itself', 'x-fuzz-case'),
  named('of one connection (RFC 9110 7.6.1)', ...hopByHop, 'proxy-authenticate', 'http2-settings'),
  named('bodies are framed anew; their bytes are compared', 'content-length'),
  named('the authority is that of the endpoint', 'host'),
  named('answered by the gateway (README, What is not there yet)', 'expect'),
  named("the caller's credentials are for the gateway", 'authorization', 'proxy-authorization', 'cookie'),
  named('a name for the log; checked apart', 'audit-id'),
  named('counted anew; checked apart', 'x-cluster-gateway-hops'),
  named('who the request came by is for the gateway to say; checked apart', 'x-forwarded-for'),
  named('what proxies said before is not believed', 'forwarded', 'x-real-ip', 'x-forwarded-host'),
  named('as before', 'x-forwarded-proto', 'x-forwarded-port', 'x-forwarded-uri', 'x-forwarded-server'),
  prefixed('identity is the front proxy’s to say', 'x-remote-'),
  prefixed('impersonation is for the gateway', 'impersonate-'),
];

/** Lines of an answer that differ, and why. */
export const answerRules: readonly HeaderRule[] = [
  named('of one connection (RFC 9110 7.6.1)', ...hopByHop, 'proxy-authenticate'),
  named('the time of whoever writes it', 'date'),
  named('a cluster’s cookies and other services are for nobody', 'set-cookie', 'alt-svc'),
];

const bearerProtocol = 'base64url.bearer.authorization.k8s.io.';

/** Values by name in lower case, in their order, without what a rule takes away or Connection nominates. */
export function comparable(
  headers: readonly HeaderPair[],
  rules: readonly HeaderRule[],
): Map<string, string[]> {
  const nominated = new Set(
    valuesOf(headers, 'connection').flatMap((value) =>
      value.split(',').map((token) => token.trim().toLowerCase()),
    ),
  );
  const values = new Map<string, string[]>();
  for (const [line, value] of headers) {
    const name = line.toLowerCase();
    if (nominated.has(name) || rules.some(({ matches }) => matches(name))) continue;
    const kept = name === 'sec-websocket-protocol' ? withoutToken(value) : value;
    if (kept === undefined) continue;
    values.set(name, [...(values.get(name) ?? []), kept]);
  }
  return values;
}

/** A browser's token travels as a subprotocol, and goes no further than the gateway. */
function withoutToken(value: string): string | undefined {
  const left = value.split(',').filter((protocol) => !protocol.trim().startsWith(bearerProtocol));
  return left.length === 0 ? undefined : left.join(',');
}

/** All values of a header, the name in lower case. */
export function valuesOf(headers: readonly HeaderPair[], wanted: string): string[] {
  return headers.filter(([name]) => name.toLowerCase() === wanted).map(([, value]) => value);
}
