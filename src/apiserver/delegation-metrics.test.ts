import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { countReviewCache, createDelegationMetrics } from './delegation-metrics.ts';

test('reviews are counted by what the hub answered, each kind apart', async () => {
  const registry = new Registry();
  const { authentication, authorization } = createDelegationMetrics(registry);
  authentication('201', 0.1);
  authorization('201', 2);
  authorization('201', 0.3);
  authorization('<error>', 10);
  const text = await registry.metrics();
  expect(text).toContain('apiserver_delegated_authn_request_total{code="201"} 1');
  expect(text).toContain('apiserver_delegated_authz_request_total{code="201"} 2');
  expect(text).toContain('apiserver_delegated_authz_request_total{code="<error>"} 1');
  expect(text).toContain('apiserver_delegated_authz_request_duration_seconds_bucket{le="0.5",code="201"} 1');
  expect(text).toContain('apiserver_delegated_authz_request_duration_seconds_sum{code="201"} 2.3');
});

test('a cache tells its counts as they are when they are asked for', async () => {
  const registry = new Registry();
  const counts = { hits: 1, misses: 2, errors: 0 };
  countReviewCache(registry, { name: 'reviews_total', help: 'x' }, () => counts);
  expect(await registry.metrics()).toContain('reviews_total{status="hit"} 1');
  counts.hits = 5;
  const text = await registry.metrics();
  expect(text).toContain('reviews_total{status="hit"} 5');
  expect(text).toContain('reviews_total{status="miss"} 2');
});
