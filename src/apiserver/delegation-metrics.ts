import { Counter, Histogram } from 'prom-client';
import type { Registry } from 'prom-client';
import type { ReviewObserver } from '../hub/post-review.ts';
import type { ReviewCounts } from '../hub/review-cache.ts';

export interface DelegationMetrics {
  /** Of TokenReviews. */
  readonly authentication: ReviewObserver;
  /** Of SubjectAccessReviews. */
  readonly authorization: ReviewObserver;
}

/** apiserver_delegated_auth{n,z}_request_*: what the hub was asked, by its answer's code (apiserver pkg/authentication/authenticatorfactory/metrics.go). */
export function createDelegationMetrics(registry: Registry): DelegationMetrics {
  const observer = (what: 'authn' | 'authz', reviews: string): ReviewObserver => {
    const total = new Counter({
      name: `apiserver_delegated_${what}_request_total`,
      help: `${reviews} that were sent to the hub, by status code.`,
      labelNames: ['code'],
      registers: [registry],
    });
    const duration = new Histogram({
      name: `apiserver_delegated_${what}_request_duration_seconds`,
      help: `How long the hub took to answer ${reviews}, by status code.`,
      labelNames: ['code'],
      buckets: [0.25, 0.5, 0.7, 1, 1.5, 3, 5, 10],
      registers: [registry],
    });
    return (code, seconds) => {
      total.inc({ code });
      duration.observe({ code }, seconds);
    };
  };
  return {
    authentication: observer('authn', 'TokenReviews'),
    authorization: observer('authz', 'SubjectAccessReviews'),
  };
}

/** How often a review was answered from memory: read when the metrics are collected. */
export function countReviewCache(
  registry: Registry,
  { name, help }: { readonly name: string; readonly help: string },
  counts: () => ReviewCounts,
): void {
  new Counter({
    name,
    help,
    labelNames: ['status'],
    registers: [registry],
    collect() {
      this.reset();
      const { hits, misses } = counts();
      this.inc({ status: 'hit' }, hits);
      this.inc({ status: 'miss' }, misses);
    },
  });
}
