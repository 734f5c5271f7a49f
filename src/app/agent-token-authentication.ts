import { Failure } from '../base/failure.ts';
import type { TokenReview, TokenReviewer } from '../hub/token-review.ts';
import { GrpcStatus, grpcCode } from '../tunnel/grpc-status.ts';
import type { AgentTokenOptions } from './tunnel-server-options.ts';

export type AuthenticateAgent = (authorization: string | undefined, signal: AbortSignal) => Promise<void>;

/**
 * Lets in agents with the token of one service account. Throws a `GrpcStatus` for the others, with code Unknown as the
 * Go server has it; what it says of a token is no more than its holder knows.
 */
export function createAgentTokenAuthentication(
  options: Omit<AgentTokenOptions, 'audience'> & { readonly reviewer: TokenReviewer },
): AuthenticateAgent {
  const { namespace, serviceAccount, reviewer } = options;
  // By the whole name: a user may be called like a part of it.
  const expected = `system:serviceaccount:${namespace}:${serviceAccount}`;
  return async (authorization, signal) => {
    if (authorization === undefined) throw refused('the agent has sent no token');
    const [, token] = /^Bearer +(\S+) *$/i.exec(authorization) ?? [];
    if (token === undefined) throw refused('what the agent has sent is no bearer token');
    const review = await reviewed(reviewer, token, signal);
    if (!review.authenticated) throw refused(`the token of the agent is not accepted: ${review.reason}`);
    const { name } = review.user;
    if (name !== expected)
      throw refused(`the token of the agent belongs to ${JSON.stringify(name)}, not to ${expected}`);
  };
}

const refused = (message: string) => new GrpcStatus(grpcCode.unknown, message);

/** Why the API server cannot be asked is not for agents; they come again. */
async function reviewed(reviewer: TokenReviewer, token: string, signal: AbortSignal): Promise<TokenReview> {
  try {
    return await reviewer.review(token, signal);
  } catch (error) {
    throw new Failure('unreachable', 'the token of the agent cannot be verified now', { cause: error });
  }
}
