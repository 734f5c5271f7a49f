import { setTimeout as sleep } from 'node:timers/promises';
import { Registry } from 'prom-client';
import { describe, expect, test } from 'vitest';
import type { Log } from '../base/log.ts';
import { createApiServer } from './api-server.ts';
import { createInFlight, defaultInFlightLimits } from './in-flight.ts';
import { createProbes } from './probes.ts';
import { createResourceApi } from './resource-api.ts';
import { serve } from './testing/served.ts';
import { call, gadgetResource, protocols } from './testing/widgets.ts';

const timeoutMs = 100;
const gadgets = '/apis/example.dev/v1/gadgets';

/** A server whose gadgets are slow in coming, over real sockets. */
async function serveSlowly() {
  const seen = { started: 0, told: 0 };
  const logged: string[] = [];
  const note = (_fields: object, message: string) => logged.push(message);
  const log: Log = { debug: note, info: note, warn: note, error: note };
  const gadget = (name: string) => ({ apiVersion: 'example.dev/v1', kind: 'Gadget', metadata: { name } });
  const resources = await createResourceApi({
    resources: [
      {
        ...gadgetResource,
        get: async (name, { signal }) => {
          seen.started += 1;
          signal.addEventListener('abort', () => (seen.told += 1));
          // A deaf handler answers late all the same.
          await sleep(name === 'deaf' ? 2 * timeoutMs : 1e6, undefined, name === 'deaf' ? {} : { signal });
          return gadget(name);
        },
      },
    ],
    log,
  });
  const inFlight = createInFlight(defaultInFlightLimits);
  const port = await serve(
    createApiServer({
      authenticate: () => Promise.resolve({ user: { name: 'jane', groups: [] }, frontProxy: false }),
      authorizer: { authorize: () => undefined, check: () => undefined },
      audit: undefined,
      resources,
      engines: new Map(),
      probes: createProbes({ live: [], ready: [] }),
      inFlight,
      requestTimeoutMs: timeoutMs,
      registry: new Registry(),
      served: new Set(),
      version: {},
      isReady: () => true,
      log,
    }),
  );
  return { port, seen, logged, inFlight };
}

describe.each(protocols)('the deadline over %s', (protocol) => {
  test.each(['deaf', 'obedient'])('a resource that is slow is a 504 Status (%s)', async (name) => {
    const { port, seen, inFlight, logged } = await serveSlowly();
    const { status, headers, body } = await call(protocol, port, { path: `${gadgets}/${name}` });
    expect(status).toBe(504);
    expect(headers['content-type']).toBe('application/json');
    expect(JSON.parse(body)).toMatchObject({
      kind: 'Status',
      reason: 'Timeout',
      message: 'Timeout: request did not complete within the allotted timeout',
    });
    expect(seen).toEqual({ started: 1, told: 1 });
    await expect.poll(() => inFlight.counts.readOnly).toBe(0);
    // What comes late is dropped, and is nobody's fault.
    await sleep(2 * timeoutMs);
    expect(logged).toEqual(['request failed']);
  });
});
