import { setImmediate } from 'node:timers/promises';
import { Registry } from 'prom-client';
import { describe, expect, test } from 'vitest';
import { allHeaders } from '../base/header-lines.ts';
import { silentLog } from '../base/log.ts';
import { StatusError } from '../kube/status.ts';
import { createApiServer } from './api-server.ts';
import { createInFlight, defaultInFlightLimits } from './in-flight.ts';
import { createProbes } from './probes.ts';
import { FakeExchange } from './testing/fake-exchange.ts';

/** The Audit-ID lines of an answer. */
async function auditIdsOf(target: string, given: readonly string[], isReady = true): Promise<string[]> {
  const handle = createApiServer({
    authenticate: () =>
      Promise.resolve({ user: { name: 'jane', groups: ['system:masters'] }, frontProxy: false }),
    authorizer: {
      authorize: (_, { path }) =>
        path === '/forbidden' ? Promise.reject(new StatusError('Forbidden', 'no')) : undefined,
      check: () => undefined,
    },
    audit: undefined,
    resources: {
      ...{ resourceNames: [], watches: 0 },
      handle: () => {
        throw new Error('a fault');
      },
      close: () => Promise.resolve(),
    },
    engines: new Map(),
    probes: createProbes({ live: [], ready: [] }),
    inFlight: createInFlight(defaultInFlightLimits),
    registry: new Registry(),
    served: new Set(),
    version: { gitVersion: 'v0' },
    isReady: () => isReady,
    log: silentLog,
  });
  const exchange = new FakeExchange({ target, headers: given });
  handle(exchange);
  await expect.poll(() => exchange.status).toBeGreaterThan(0);
  await setImmediate();
  return allHeaders(exchange.answerHeaders, 'audit-id');
}

describe('the Audit-ID stands in every answer', () => {
  test.each(['/version', '/metrics', '/livez', '/readyz/nope', '/forbidden', '/apis', '/%zz'])(
    'of %s: that of the caller, once',
    async (target) => {
      expect(await auditIdsOf(target, ['Audit-ID', 'given'])).toEqual(['given']);
      expect(await auditIdsOf(target, [])).toEqual([expect.stringMatching(/^[0-9a-f-]{36}$/)]);
    },
  );

  test('of a server that is not ready', async () => {
    expect(await auditIdsOf('/apis', ['Audit-ID', 'given'], false)).toEqual(['given']);
    expect(await auditIdsOf('/apis', ['Audit-ID', 'a b'], false)).toEqual([
      expect.stringMatching(/^[0-9a-f-]{36}$/),
    ]);
  });
});
