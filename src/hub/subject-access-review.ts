import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import { SingleFlight } from '../base/single-flight.ts';
import type { AccessDecision, AccessRequest } from '../kube/access.ts';
import type { HubClient } from './client.ts';
import { forCaller, postReview } from './review-call.ts';
import type { ReviewCounts } from './review-call.ts';

export interface AccessReviewer {
  /** Throws when the hub cannot be asked: the caller must then refuse. */
  review(request: AccessRequest, signal: AbortSignal): Promise<AccessDecision>;
  readonly counts: Readonly<ReviewCounts>;
}

export interface AccessReviewerOptions {
  readonly client: HubClient;
  /** How long each answer is used again; 0 keeps none. */
  readonly allowTtlMs: number;
  readonly denyTtlMs: number;
  readonly cacheSize?: number;
}

/** A request with more text than this is not kept (k8s.io/apiserver webhook.go): memory must stay bounded. */
const maxCachedLength = 10_000;

const reviewShape = z.object({
  status: z.object({
    allowed: z.boolean().optional(),
    denied: z.boolean().optional(),
    reason: z.string().optional(),
  }),
});

/** Asks the hub whether somebody may do something (authorization.k8s.io/v1 SubjectAccessReview). */
export function createAccessReviewer(options: AccessReviewerOptions): AccessReviewer {
  const counts: ReviewCounts = { hits: 0, misses: 0, errors: 0 };
  const cache = new LRUCache<string, AccessDecision>({ max: options.cacheSize ?? 8192, ttl: 1 });
  const flights = new SingleFlight<AccessDecision>();

  const ask = async (spec: object, key: string): Promise<AccessDecision> => {
    try {
      const answer = await postReview(options.client, '/apis/authorization.k8s.io/v1/subjectaccessreviews', {
        apiVersion: 'authorization.k8s.io/v1',
        kind: 'SubjectAccessReview',
        spec,
      });
      const { status } = reviewShape.parse(answer);
      // Allowed and denied at once is a contradiction, and no permission.
      const decision: AccessDecision = {
        allowed: status.allowed === true && status.denied !== true,
        reason: status.reason ?? '',
      };
      const ttl = decision.allowed ? options.allowTtlMs : options.denyTtlMs;
      if (ttl > 0 && key.length <= maxCachedLength) cache.set(key, decision, { ttl });
      return decision;
    } catch (error) {
      counts.errors += 1;
      throw error;
    }
  };

  return {
    counts,
    review: async (request, signal) => {
      const spec = specOf(request);
      // JSON of a fixed shape: no two requests that differ have the same text.
      const key = JSON.stringify(spec);
      const known = cache.get(key);
      if (known) {
        counts.hits += 1;
        return known;
      }
      counts.misses += 1;
      return forCaller(
        flights.run(key, () => ask(spec, key)),
        signal,
      );
    },
  };
}

function specOf({ user, attributes }: AccessRequest): object {
  return {
    user: user.name,
    ...(user.uid === undefined ? {} : { uid: user.uid }),
    groups: user.groups,
    ...(user.extra === undefined ? {} : { extra: user.extra }),
    ...(attributes.type === 'resource'
      ? { resourceAttributes: attributes.resource }
      : { nonResourceAttributes: attributes.nonResource }),
  };
}
