import { hash } from 'node:crypto';
import { z } from 'zod';
import { Failure } from '../base/failure.ts';
import type { AccessAttributes, AccessDecision, AccessRequest } from '../kube/access.ts';
import type { UserInfo } from '../kube/user-info.ts';
import type { HubClient } from './client.ts';
import { postReview } from './post-review.ts';
import type { ReviewObserver } from './post-review.ts';
import { ReviewCache } from './review-cache.ts';
import type { Answer, ReviewCounts } from './review-cache.ts';

export type { ReviewCounts } from './review-cache.ts';

export interface AccessReviewer {
  /** Throws when the hub cannot be asked: the caller must then refuse. */
  review(request: AccessRequest, signal: AbortSignal): Promise<AccessDecision>;
  readonly counts: ReviewCounts;
}

export interface AccessReviewerOptions {
  readonly client: HubClient;
  /** How long each answer is used again: 10 s unless said; 0 keeps none. */
  readonly allowTtlMs?: number;
  readonly denyTtlMs?: number;
  /** Answers that are kept: 8192 unless said. */
  readonly cacheSize?: number;
  readonly observe?: ReviewObserver;
}

/** Attributes come from the caller: longer ones are not kept (k8s.io/apiserver webhook.go shouldCache). */
const maxCachedLength = 10_000;
/** Longer keys are kept as their digest: a user in hundreds of groups must not cost kilobytes for each path. */
const maxPlainKey = 128;

const path = '/apis/authorization.k8s.io/v1/subjectaccessreviews';
const answerShape = z.object({
  status: z.object({
    allowed: z.boolean().optional(),
    denied: z.boolean().optional(),
    reason: z.string().optional(),
  }),
});

/**
 * Asks the hub whether somebody may do something (authorization.k8s.io/v1 SubjectAccessReview), and remembers both
 * answers for a while.
 *
 * @example
 * const reviewer = createAccessReviewer({ client });
 * const { allowed } = await reviewer.review({ user, attributes }, signal);
 */
export function createAccessReviewer(options: AccessReviewerOptions): AccessReviewer {
  const { client, allowTtlMs = 10_000, denyTtlMs = 10_000, cacheSize = 8192, observe } = options;
  const cache = new ReviewCache<AccessDecision>(cacheSize);
  const ask = async (request: AccessRequest, signal: AbortSignal): Promise<Answer<AccessDecision>> => {
    const body = {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SubjectAccessReview',
      spec: specOf(request),
    };
    const decision = decisionFrom(await postReview(client, { path, body, signal, observe }));
    const mayKeep = lengthOf(request.attributes) <= maxCachedLength;
    return { value: decision, ttlMs: mayKeep ? (decision.allowed ? allowTtlMs : denyTtlMs) : 0 };
  };
  return {
    get counts() {
      return cache.counts;
    },
    review: (request, signal) => cache.get(keyOf(request), (shared) => ask(request, shared), signal),
  };
}

/** Only a clear yes counts: allowed and denied at once is a contradiction, and no permission. */
function decisionFrom(answer: unknown): AccessDecision {
  const status = answerShape.safeParse(answer).data?.status;
  if (!status) throw new Failure('reset', 'the hub answered a SubjectAccessReview with something else');
  return { allowed: status.allowed === true && status.denied !== true, reason: status.reason ?? '' };
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

/** What {@link textOfUser} made of a user: the same object comes with many requests. */
const userTexts = new WeakMap<UserInfo, string>();

/** All that the hub is told, in one order, as two JSON texts: no two requests that differ have the same. */
function keyOf({ user, attributes }: AccessRequest): string {
  let userText = userTexts.get(user);
  if (userText === undefined) userTexts.set(user, (userText = shortened(textOfUser(user))));
  return userText + shortened(JSON.stringify(textsOf(attributes)));
}

function textOfUser({ name, uid, groups, extra }: UserInfo): string {
  const sorted = Object.entries(extra ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify([name, uid ?? null, groups, sorted]);
}

/** A digest cannot pass for a plain text, which begins with a bracket, nor end within another. */
function shortened(text: string): string {
  return text.length > maxPlainKey ? hash('sha256', text, 'base64') : text;
}

function textsOf(attributes: AccessAttributes): readonly (string | null)[] {
  if (attributes.type === 'non-resource') return [attributes.nonResource.verb, attributes.nonResource.path];
  const { verb, group, version, resource, subresource, namespace, name, fieldSelector, labelSelector } =
    attributes.resource;
  const texts = [verb, group, version, resource, subresource ?? null, namespace ?? null, name ?? null];
  if (fieldSelector || labelSelector)
    texts.push(JSON.stringify([fieldSelector ?? null, labelSelector ?? null]));
  return texts;
}

function lengthOf(attributes: AccessAttributes): number {
  return textsOf(attributes).reduce((sum, text) => sum + (text?.length ?? 0), 0);
}
