import { ANONYMOUS, SYSTEM_AUTHENTICATED } from '../kube/user-info.ts';
import type { UserInfo } from '../kube/user-info.ts';
import { StatusError } from '../kube/status.ts';
import type { Exchange } from './exchange.ts';

/**
 * What one method found. `none`: the request says nothing that this method reads. `rejected`: it does, and it is
 * wrong; the reason is for logs, callers learn only that they are unauthorized.
 */
export type Authentication =
  | { readonly type: 'authenticated'; readonly user: UserInfo; readonly frontProxy?: boolean }
  | { readonly type: 'none' }
  | { readonly type: 'rejected'; readonly reason: string };

export const none: Authentication = { type: 'none' };

/** One method of authentication. Throws only where it cannot tell (the hub did not answer). */
export type AuthenticationMethod = (exchange: Exchange) => Authentication | Promise<Authentication>;

export interface AuthenticatedCaller {
  readonly user: UserInfo;
  /** The request came through kube-aggregator, which has impersonated, audited and authorized it already. */
  readonly frontProxy: boolean;
}

export interface AuthenticatorOptions {
  /** In order: the first that succeeds decides (k8s.io/apiserver request/union). */
  readonly methods: readonly AuthenticationMethod[];
  readonly allowAnonymous: boolean;
  readonly onRejected?: (reasons: readonly string[]) => void;
}

/**
 * Finds out who calls. A wrong credential is 401 even where anonymous callers are let in; no credential at all makes
 * an anonymous caller. The order of methods is kube-apiserver's (apiserver authenticatorfactory/delegating.go).
 */
export function createAuthenticator(
  options: AuthenticatorOptions,
): (exchange: Exchange) => Promise<AuthenticatedCaller> {
  return async (exchange) => {
    const reasons: string[] = [];
    for (const method of options.methods) {
      const found = method(exchange);
      const result = found instanceof Promise ? await found : found;
      if (result.type === 'authenticated') return accepted(result.user, result.frontProxy ?? false);
      if (result.type === 'rejected') reasons.push(result.reason);
    }
    if (reasons.length > 0) options.onRejected?.(reasons);
    if (reasons.length > 0 || !options.allowAnonymous) throw new StatusError('Unauthorized', 'Unauthorized');
    return { user: ANONYMOUS, frontProxy: false };
  };
}

/** Every authenticated user is in system:authenticated, which discovery is bound to (group.NewAuthenticatedGroupAdder). */
function accepted(user: UserInfo, frontProxy: boolean): AuthenticatedCaller {
  if (user.name === ANONYMOUS.name || user.groups.includes(SYSTEM_AUTHENTICATED)) return { user, frontProxy };
  return { user: { ...user, groups: [...user.groups, SYSTEM_AUTHENTICATED] }, frontProxy };
}
