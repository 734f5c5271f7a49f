import { hash, randomBytes } from 'node:crypto';
import { z } from 'zod';
import { Failure } from '../base/failure.ts';
import { StatusError } from '../kube/status.ts';
import type { UserInfo } from '../kube/user-info.ts';
import type { HubClient } from './client.ts';
import { postReview } from './post-review.ts';
import type { ReviewObserver } from './post-review.ts';
import { ReviewCache } from './review-cache.ts';
import type { ReviewCounts } from './review-cache.ts';

export type TokenReview =
  | { readonly authenticated: true; readonly user: UserInfo }
  | { readonly authenticated: false; readonly reason: string };

export interface TokenReviewer {
  /** Throws only when the hub cannot be asked. */
  review(token: string, signal: AbortSignal): Promise<TokenReview>;
  readonly counts: ReviewCounts;
}

export interface TokenReviewerOptions {
  readonly client: HubClient;
  /** The token must be for one of these; empty: for the hub itself. */
  readonly audiences?: readonly string[];
  /** For both answers, 10 s unless said; errors are never kept. 0 keeps nothing. */
  readonly cacheTtlMs?: number;
  /** Answers that are kept: 8192 unless said. */
  readonly cacheSize?: number;
  readonly observe?: ReviewObserver;
}

const path = '/apis/authentication.k8s.io/v1/tokenreviews';
const answerShape = z.object({
  status: z.object({
    authenticated: z.boolean().optional(),
    error: z.string().optional(),
    audiences: z.array(z.string()).nullish(),
    user: z
      .object({
        username: z.string().optional(),
        uid: z.string().optional(),
        groups: z.array(z.string()).nullish(),
        extra: z.record(z.string(), z.array(z.string())).nullish(),
      })
      .optional(),
  }),
});

/**
 * Asks the hub whose a bearer token is (authentication.k8s.io/v1 TokenReview), and remembers both answers for a while.
 *
 * @example
 * const review = await createTokenReviewer({ client }).review(token, signal);
 * if (review.authenticated) greet(review.user.name);
 */
export function createTokenReviewer(options: TokenReviewerOptions): TokenReviewer {
  const { client, audiences = [], cacheTtlMs = 10_000, cacheSize = 8192, observe } = options;
  const cache = new ReviewCache<TokenReview>(cacheSize);
  // Keys show no tokens in a memory dump, and nobody outside can find two tokens with one key.
  // One-shot hashing of a secret and the token: every request pays for this, and an Hmac object costs ten times as much.
  const secret = randomBytes(32).toString('base64');
  const keyOf = (token: string) => hash('sha256', JSON.stringify([secret, token, audiences]), 'base64');
  const ask = async (token: string, signal: AbortSignal) => {
    const body = {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenReview',
      spec: { token, ...(audiences.length > 0 ? { audiences } : {}) },
    };
    try {
      const value = judge(await postReview(client, { path, body, signal, observe }), audiences);
      return { value: value.authenticated ? value : scrubbed(value, token), ttlMs: cacheTtlMs };
    } catch (error) {
      throw withoutToken(error, token);
    }
  };
  return {
    get counts() {
      return cache.counts;
    },
    review: async (token, signal) => {
      if (token === '') return { authenticated: false, reason: 'the token is empty' };
      return cache.get(keyOf(token), (shared) => ask(token, shared), signal);
    },
  };
}

/** Only a clear yes with a name in it counts (capsule-proxy's CVE-2023-48312). */
function judge(answer: unknown, audiences: readonly string[]): TokenReview {
  const status = answerShape.safeParse(answer).data?.status;
  if (!status) throw new Failure('reset', 'the hub answered a TokenReview with something else');
  if (status.error) return { authenticated: false, reason: status.error };
  const { user } = status;
  if (status.authenticated !== true || !user?.username)
    return { authenticated: false, reason: 'the hub does not know the token' };
  // A server that knows nothing of audiences gives none, and has checked none.
  const granted = status.audiences ?? [];
  if (audiences.length > 0 && !audiences.some((audience) => granted.includes(audience)))
    return { authenticated: false, reason: 'the token is for another audience' };
  return {
    authenticated: true,
    user: {
      name: user.username,
      groups: user.groups ?? [],
      ...(user.uid ? { uid: user.uid } : {}),
      ...(user.extra ? { extra: lowerKeys(user.extra) } : {}),
    },
  };
}

/** Two keys that differ in case only are one. Without a prototype's setters: keys are the hub's, not ours. */
function lowerKeys(extra: Readonly<Record<string, readonly string[]>>): Record<string, readonly string[]> {
  const merged = new Map<string, readonly string[]>();
  for (const [key, values] of Object.entries(extra)) {
    const lower = key.toLowerCase();
    merged.set(lower, [...(merged.get(lower) ?? []), ...values]);
  }
  return Object.fromEntries(merged);
}

/** Shorter texts are no secrets, and stand in many a message by chance. */
const shortestSecret = 8;

/** Authenticators of a hub may quote what they could not read. */
function scrubbed({ reason }: { readonly reason: string }, token: string): TokenReview {
  const mayTell = token.length < shortestSecret || !reason.includes(token);
  return { authenticated: false, reason: mayTell ? reason : reason.replaceAll(token, '[redacted]') };
}

/** The same for what an admission webhook or a proxy on the way answers; a Failure's text is our own. */
function withoutToken(error: unknown, token: string): unknown {
  if (!(error instanceof StatusError) || token.length < shortestSecret) return error;
  const text = JSON.stringify(error.status);
  if (!text.includes(JSON.stringify(token).slice(1, -1))) return error;
  return new StatusError('InternalError', 'the hub refused a TokenReview, and quoted the token');
}
