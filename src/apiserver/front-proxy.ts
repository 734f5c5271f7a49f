import { decodeHeaderText } from '../base/header-lines.ts';
import type { HeaderLines } from '../base/header-lines.ts';
import type { RequestHeaderSettings } from '../hub/authentication-config.ts';
import type { UserInfo } from '../kube/user-info.ts';
import { createChainVerifier } from '../pki/verify-chain.ts';
import type { ChainVerifier } from '../pki/verify-chain.ts';
import { clientSubject } from '../pki/subject.ts';
import { none } from './authenticator.ts';
import type { AuthenticationMethod } from './authenticator.ts';
import { verifyOncePerConnection } from './verified-chain.ts';

interface CompiledConfig {
  readonly verifier: ChainVerifier;
  readonly username: readonly string[];
  readonly group: readonly string[];
  readonly uid: readonly string[];
  readonly extraPrefixes: readonly string[];
  readonly allowedNames: ReadonlySet<string>;
}

/**
 * Authenticates what kube-aggregator vouches for: its client certificate must chain to the request-header CA and bear
 * an allowed name; then the identity headers say who calls (apiserver headerrequest/requestheader.go).
 */
export function createFrontProxyMethod(
  current: () => RequestHeaderSettings | undefined,
): AuthenticationMethod {
  const asker = { key: {} };
  let source: RequestHeaderSettings | undefined;
  let compiled: CompiledConfig | undefined;
  return (exchange) => {
    const config = current();
    if (!config) return none;
    if (config !== source || !compiled) {
      compiled = compile(config);
      source = config;
    }
    const { connection } = exchange;
    const leaf = connection.peerChain[0];
    if (!leaf) return none;
    const verdict = verifyOncePerConnection(connection, compiled.verifier, asker);
    if (!verdict.ok) return { type: 'rejected', reason: `front proxy certificate: ${verdict.reason}` };
    if (compiled.allowedNames.size > 0 && !compiled.allowedNames.has(clientSubject(leaf).commonName)) {
      return { type: 'rejected', reason: 'front proxy certificate: its common name is not allowed' };
    }
    const user = identityFromHeaders(exchange.headers, compiled);
    return user ? { type: 'authenticated', user, frontProxy: true } : none;
  };
}

function compile(config: RequestHeaderSettings): CompiledConfig {
  const lower = (names: readonly string[]) => names.map((name) => name.toLowerCase());
  return {
    verifier: createChainVerifier(config.caPem, { purpose: 'client' }),
    username: lower(config.usernameHeaders),
    group: lower(config.groupHeaders),
    uid: lower(config.uidHeaders),
    extraPrefixes: lower(config.extraHeaderPrefixes),
    allowedNames: new Set(config.allowedNames),
  };
}

/** Reads the raw lines in one pass: joined headers would make `a, b` and two groups alike. */
function identityFromHeaders(lines: HeaderLines, config: CompiledConfig): UserInfo | undefined {
  const first = new Map<string, string>();
  const groupsByHeader = new Map<string, string[]>();
  const extra: Record<string, string[]> = Object.create(null) as Record<string, string[]>;
  let hasExtra = false;
  for (let i = 0; i + 1 < lines.length; i += 2) {
    const name = (lines[i] ?? '').toLowerCase();
    const value = lines[i + 1] ?? '';
    if (value === '') continue;
    if (config.group.includes(name)) {
      const groups = groupsByHeader.get(name) ?? [];
      groups.push(decodeHeaderText(value));
      groupsByHeader.set(name, groups);
    } else if (config.username.includes(name) || config.uid.includes(name)) {
      if (!first.has(name)) first.set(name, decodeHeaderText(value));
    } else {
      const prefix = config.extraPrefixes.find((candidate) => name.startsWith(candidate));
      if (prefix === undefined) continue;
      const extraKey = unescapeExtraKey(name.slice(prefix.length));
      (extra[extraKey] ??= []).push(decodeHeaderText(value));
      hasExtra = true;
    }
  }
  const pick = (names: readonly string[]) =>
    names.map((name) => first.get(name)).find((value) => value !== undefined);
  const user = pick(config.username);
  if (user === undefined) return undefined;
  const uid = pick(config.uid);
  return {
    name: user,
    groups: config.group.flatMap((name) => groupsByHeader.get(name) ?? []),
    ...(uid === undefined ? {} : { uid }),
    ...(hasExtra ? { extra: { ...extra } } : {}),
  };
}

/** Keys come lower case and percent-encoded; one that does not decode is taken as it is (requestheader.go). */
function unescapeExtraKey(key: string): string {
  try {
    return decodeURIComponent(key);
  } catch {
    return key;
  }
}
