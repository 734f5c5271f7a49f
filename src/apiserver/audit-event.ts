import { isIP } from 'node:net';
import { decodeHeaderText, firstHeader } from '../base/header-lines.ts';
import type { HeaderLines } from '../base/header-lines.ts';
import type { Status } from '../kube/status.ts';
import type { UserInfo } from '../kube/user-info.ts';
import type { AuditLevel, AuditStage } from './audit-policy.ts';

/** authentication.k8s.io/v1 UserInfo as events have it: nothing that is empty. */
export interface AuditedUser {
  readonly username?: string;
  readonly uid?: string;
  readonly groups?: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

/** audit.k8s.io/v1 ObjectReference. */
export interface AuditedObject {
  readonly resource?: string;
  readonly namespace?: string;
  readonly name?: string;
  readonly uid?: string;
  readonly apiGroup?: string;
  readonly apiVersion?: string;
  readonly resourceVersion?: string;
  readonly subresource?: string;
}

/** metav1.Status as events have it: of a success only the code is known. */
export type AuditedStatus = Partial<Omit<Status, 'kind' | 'apiVersion'>> & Pick<Status, 'metadata'>;

/** audit.k8s.io/v1 Event. Never holds a header but User-Agent and the addresses, and no token. */
export interface AuditEvent {
  readonly kind: 'Event';
  readonly apiVersion: 'audit.k8s.io/v1';
  readonly level: AuditLevel;
  readonly auditID: string;
  readonly stage: AuditStage;
  readonly requestURI: string;
  readonly verb: string;
  readonly user: AuditedUser;
  readonly impersonatedUser?: AuditedUser | undefined;
  readonly sourceIPs?: readonly string[] | undefined;
  readonly userAgent?: string | undefined;
  readonly objectRef?: AuditedObject | undefined;
  readonly responseStatus?: AuditedStatus | undefined;
  readonly requestObject?: unknown;
  readonly responseObject?: unknown;
  /** metav1.MicroTime. */
  readonly requestReceivedTimestamp: string;
  readonly stageTimestamp: string;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
}

export function auditedUser(user: UserInfo | undefined): AuditedUser {
  if (!user) return {};
  const { name, uid, groups, extra } = user;
  return {
    ...(name ? { username: name } : {}),
    ...(uid ? { uid } : {}),
    ...(groups.length > 0 ? { groups } : {}),
    ...(extra && Object.keys(extra).length > 0 ? { extra } : {}),
  };
}

/**
 * Where a request came from: the addresses of X-Forwarded-For, X-Real-Ip where it is not among them, and the peer of
 * the connection unless it is the last (apimachinery pkg/util/net SourceIPs). All but the last are the callers' word.
 */
export function sourceAddresses(headers: HeaderLines, remoteAddress: string): string[] {
  const addresses: string[] = [];
  const forwarded = firstHeader(headers, 'x-forwarded-for');
  if (forwarded !== undefined) {
    for (const part of forwarded.split(',')) {
      const address = canonicalAddress(part.trim());
      if (address !== undefined) addresses.push(address);
    }
  }
  const real = canonicalAddress(firstHeader(headers, 'x-real-ip') ?? '');
  if (real !== undefined && !addresses.includes(real)) addresses.push(real);
  const remote = canonicalAddress(remoteAddress);
  if (remote !== undefined && addresses.at(-1) !== remote) addresses.push(remote);
  return addresses;
}

/** As Go prints it: an IPv4 address that is mapped into IPv6 is the IPv4 address. */
function canonicalAddress(text: string): string | undefined {
  const version = isIP(text);
  if (version === 4) return text;
  // A zone is no part of an address to Go's parser.
  if (version !== 6 || text.includes('%')) return undefined;
  const lower = text.toLowerCase();
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(lower)?.[1] ?? lower;
}

const maxUserAgentLength = 1024;

/** Cut after 1024 characters, and marked, as in kube-apiserver. */
export function auditedUserAgent(headers: HeaderLines): string | undefined {
  const userAgent = firstHeader(headers, 'user-agent');
  if (userAgent === undefined || userAgent === '') return undefined;
  if (userAgent.length <= maxUserAgentLength) return decodeHeaderText(userAgent);
  return `${decodeHeaderText(userAgent.slice(0, maxUserAgentLength))}...TRUNCATED`;
}
