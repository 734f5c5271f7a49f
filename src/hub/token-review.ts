import { createHmac, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import { SingleFlight } from '../base/single-flight.ts';
import type { UserInfo } from '../kube/user-info.ts';
import type { HubClient } from './client.ts';
import { forCaller, postReview } from './review-call.ts';
import type { ReviewCounts } from './review-call.ts';

export type TokenReview =
  | { readonly authenticated: true; readonly user: UserInfo }
  | { readonly authenticated: false; readonly reason: string };

export interface TokenReviewer {
  /** Throws only when the hub cannot be asked. */
  review(token: string, signal: AbortSignal): Promise<TokenReview>;
  readonly counts: Readonly<ReviewCounts>;
}

export interface TokenReviewerOptions {
  readonly client: HubClient;
  /** The token must be for one of these; empty: for the hub itself. */
  readonly audiences?: readonly string[];
  /** For both answers; errors are never kept. 0 keeps nothing. */
  readonly cacheTtlMs: number;
  readonly cacheSize?: number;
}

const reviewShape = z.object({
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

/** Asks the hub whose a bearer token is (authentication.k8s.io/v1 TokenReview). */
export function createTokenReviewer(options: TokenReviewerOptions): TokenReviewer {
  const audiences = options.audiences ?? [];
  const counts: ReviewCounts = { hits: 0, misses: 0, errors: 0 };
  // A memory dump shows no tokens, and nobody can compute a key that collides.
  const secret = randomBytes(32);
  const keyOf = (token: string) =>
    createHmac('sha256', secret)
      .update(JSON.stringify([token, audiences]))
      .digest('base64');
  const cache = new LRUCache<string, TokenReview>({
    max: options.cacheSize ?? 32_768,
    ttl: Math.max(1, options.cacheTtlMs),
  });
  const flights = new SingleFlight<TokenReview>();

  const ask = async (token: string, key: string): Promise<TokenReview> => {
    try {
      const answer = await postReview(options.client, '/apis/authentication.k8s.io/v1/tokenreviews', {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenReview',
        spec: { token, ...(audiences.length > 0 ? { audiences } : {}) },
      });
      const review = judge(answer, audiences);
      if (options.cacheTtlMs > 0) cache.set(key, review);
      return review;
    } catch (error) {
      counts.errors += 1;
      throw error;
    }
  };

  return {
    counts,
    review: async (token, signal) => {
      if (token === '') return { authenticated: false, reason: 'the token is empty' };
      const key = keyOf(token);
      const known = cache.get(key);
      if (known) {
        counts.hits += 1;
        return known;
      }
      counts.misses += 1;
      return forCaller(
        flights.run(key, () => ask(token, key)),
        signal,
      );
    },
  };
}

/** Only a clear yes with a name in it counts (capsule-proxy's CVE-2023-48312). */
function judge(answer: unknown, audiences: readonly string[]): TokenReview {
  const { status } = reviewShape.parse(answer);
  if (status.error) return { authenticated: false, reason: status.error };
  const { user } = status;
  if (status.authenticated !== true || !user?.username)
    return { authenticated: false, reason: 'the hub does not know the token' };
  const granted = status.audiences ?? [];
  if (audiences.length > 0 && !audiences.some((audience) => granted.includes(audience))) {
    return { authenticated: false, reason: 'the token is for another audience' };
  }
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

const lowerKeys = (extra: Record<string, string[]>) =>
  Object.fromEntries(Object.entries(extra).map(([key, values]) => [key.toLowerCase(), values]));
