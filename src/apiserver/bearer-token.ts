import { firstHeader, headerTokens } from '../base/header-lines.ts';
import type { TokenReviewer } from '../hub/token-review.ts';
import { none } from './authenticator.ts';
import type { AuthenticationMethod } from './authenticator.ts';
import type { Exchange } from './exchange.ts';

const protocolPrefix = 'base64url.bearer.authorization.k8s.io.';

/** Authenticates a bearer token by TokenReview: from Authorization, or a WebSocket's subprotocol (browsers). */
export function createBearerTokenMethod(reviewer: TokenReviewer): AuthenticationMethod {
  return async (exchange) => {
    const token = tokenFromAuthorization(exchange) ?? tokenFromWebSocketProtocol(exchange);
    if (token === undefined || token === '') return none;
    const review = await reviewer.review(token, exchange.signal);
    return review.authenticated
      ? { type: 'authenticated', user: review.user }
      : { type: 'rejected', reason: `bearer token: ${review.reason}` };
  };
}

/** `Bearer <token>`, scheme in any case; an empty token is no credential (apiserver bearertoken.go). */
function tokenFromAuthorization({ headers }: Exchange): string | undefined {
  const value = firstHeader(headers, 'authorization')?.trim();
  if (value === undefined) return undefined;
  const [scheme, token] = value.split(' ', 3);
  return scheme?.toLowerCase() === 'bearer' ? token : undefined;
}

function tokenFromWebSocketProtocol(exchange: Exchange): string | undefined {
  if (!exchange.isUpgrade || !headerTokens(exchange.headers, 'upgrade').includes('websocket'))
    return undefined;
  const value = firstHeader(exchange.headers, 'sec-websocket-protocol');
  const encoded = value
    ?.split(',')
    .map((protocol) => protocol.trim())
    .find((protocol) => protocol.startsWith(protocolPrefix))
    ?.slice(protocolPrefix.length);
  return encoded === undefined ? undefined : Buffer.from(encoded, 'base64url').toString('utf8');
}
