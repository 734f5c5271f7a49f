import { Registry } from 'prom-client';
import { describe, expect, test } from 'vitest';
import { requestInfo } from '../kube/request-info.ts';
import { createInFlight, defaultInFlightLimits } from './in-flight.ts';
import { createRequestMetrics } from './metrics.ts';

const gateways = '/apis/cluster.core.oam.dev/v1alpha1/clustergateways';

function create() {
  const registry = new Registry();
  const inFlight = createInFlight(defaultInFlightLimits);
  const metrics = createRequestMetrics({
    registry,
    inFlight,
    served: new Set([
      'cluster.core.oam.dev/v1alpha1/clustergateways',
      'cluster.core.oam.dev/v1alpha1/clustergateways/proxy',
    ]),
  });
  const observe = (method: string, target: string, more: { code?: number; longRunning?: boolean } = {}) =>
    metrics.observe({
      info: requestInfo(method, target),
      code: more.code ?? 200,
      seconds: 0.01,
      longRunning: more.longRunning ?? false,
    });
  const series = async (name: string) =>
    (await registry.metrics()).split('\n').filter((line) => line.startsWith(`${name}{`));
  return { metrics, inFlight, registry, observe, series };
}

describe('request metrics', () => {
  test("kube-apiserver's names and labels", async () => {
    const { observe, series } = create();
    observe('GET', `${gateways}/a/proxy/api`);
    observe('GET', gateways, { code: 403 });
    expect(await series('apiserver_request_total')).toEqual([
      'apiserver_request_total{verb="GET",group="cluster.core.oam.dev",version="v1alpha1",resource="clustergateways",subresource="proxy",scope="resource",component="apiserver",code="200"} 1',
      'apiserver_request_total{verb="LIST",group="cluster.core.oam.dev",version="v1alpha1",resource="clustergateways",subresource="",scope="cluster",component="apiserver",code="403"} 1',
    ]);
  });

  test('whatever callers make up stays in a handful of series', async () => {
    const { observe, series } = create();
    for (let i = 0; i < 1000; i += 1) {
      observe('GET', `/made/up/${i}`, { code: 404 });
      observe('GET', `/apis/made-${i}/v${i}/up-${i}/x/sub-${i}`, { code: 404 });
      observe('GET', `/apis/cluster.core.oam.dev/v${i}/made-${i}`, { code: 404 });
      observe('GET', `${gateways}/name-${i}/proxy/path-${i}`);
      observe('GET', `${gateways}/name-${i}/made-${i}`, { code: 404 });
      observe(`VERB${i}`, '/x', { code: 405 });
    }
    expect((await series('apiserver_request_total')).length).toBeLessThan(8);
  });

  test('a version that is made up is no label: nobody is authenticated before a request is counted', async () => {
    const { observe, series } = create();
    for (let i = 0; i < 100; i += 1)
      observe('GET', `/apis/cluster.core.oam.dev/v${i}/clustergateways`, { code: 404 });
    expect((await series('apiserver_request_total')).length).toBe(1);
  });

  test('a request that could not be read is counted too', async () => {
    const { metrics, series } = create();
    metrics.observe({ info: undefined, code: 400, seconds: 0, longRunning: false });
    expect(await series('apiserver_request_total')).toHaveLength(1);
  });

  test('requests in flight by kind', async () => {
    const { inFlight, registry } = create();
    const user = { name: 'jane', groups: [] };
    const patience = { signal: AbortSignal.abort(), maxWaitMs: 0 };
    void inFlight.enter('readOnly', user, patience);
    void inFlight.enter('longRunning', user, patience);
    void inFlight.enter('longRunning', user, patience);
    const text = await registry.metrics();
    expect(text).toContain('apiserver_current_inflight_requests{request_kind="readOnly"} 1\n');
    expect(text).toContain('apiserver_current_inflight_requests{request_kind="mutating"} 0\n');
    expect(text).toContain('apiserver_longrunning_requests 2\n');
  });

  test('authorization attempts by result', async () => {
    const { metrics, series } = create();
    for (const result of ['allowed', 'denied', 'denied', 'error'] as const)
      metrics.countAuthorization(result);
    expect(await series('authorization_attempts_total')).toEqual([
      'authorization_attempts_total{result="allowed"} 1',
      'authorization_attempts_total{result="denied"} 2',
      'authorization_attempts_total{result="error"} 1',
    ]);
  });

  test('authentication attempts by result', async () => {
    const { metrics, series } = create();
    metrics.countAuthentication('success');
    metrics.countAuthentication('failure');
    metrics.countAuthentication('failure');
    expect(await series('authentication_attempts')).toEqual([
      'authentication_attempts{result="success"} 1',
      'authentication_attempts{result="failure"} 2',
    ]);
  });
});
