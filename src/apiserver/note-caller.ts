import { ANONYMOUS, SYSTEM_UNAUTHENTICATED } from '../kube/user-info.ts';
import type { UserInfo } from '../kube/user-info.ts';
import type { AuthenticatedCaller } from './authenticator.ts';
import type { Exchange } from './exchange.ts';

/**
 * Notes on the connection who uses it; `caller` is undefined where authentication failed. HTTP/2 invites abuse
 * (CVE-2023-44487), so that a caller who has shown nothing gets one request of a connection, as kube-apiserver does
 * (gate UnauthenticatedHTTP2DOSMitigation, apiserver endpoints/filters/authentication.go). Unlike there, the hub's
 * connection stays when one of its users is anonymous: it carries the requests of all the others.
 */
export function noteCaller(exchange: Exchange, caller: AuthenticatedCaller | undefined): void {
  const { connection, protocol } = exchange;
  if (caller?.frontProxy) connection.caller = 'frontProxy';
  if (connection.caller === 'frontProxy') return;
  if (caller && !isAnonymous(caller.user)) connection.caller = 'authenticated';
  else if (protocol === 'HTTP/2.0') exchange.closeConnectionAfter();
}

const isAnonymous = ({ name, groups }: UserInfo) =>
  name === ANONYMOUS.name || groups.includes(SYSTEM_UNAUTHENTICATED);
