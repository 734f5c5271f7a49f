import { Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { Registry } from 'prom-client';
import { describe, expect, test } from 'vitest';
import { Failure } from '../base/failure.ts';
import { silentLog } from '../base/log.ts';
import { StatusError } from '../kube/status.ts';
import type { UserInfo } from '../kube/user-info.ts';
import { createAdmission } from './admission.ts';
import type { Route } from './admission.ts';
import type { AuditEvent } from './audit-event.ts';
import { createAuditPolicy, defaultAuditPolicy } from './audit-policy.ts';
import { createAudit } from './audit.ts';
import { AccessDenied } from './authorizer.ts';
import { createInFlight, defaultInFlightLimits } from './in-flight.ts';
import { createRequestMetrics } from './metrics.ts';
import { FakeExchange } from './testing/fake-exchange.ts';
import type { FakeRequest } from './testing/fake-exchange.ts';

interface Setup {
  readonly authenticate?: Error;
  readonly authorize?: () => Promise<string> | undefined;
  readonly route?: Partial<Route>;
  readonly omitStages?: readonly ['RequestReceived'];
}

function setUp(setup: Setup = {}) {
  const events: AuditEvent[] = [];
  const inFlight = createInFlight(defaultInFlightLimits);
  const user: UserInfo = { name: 'jane', groups: ['dev'] };
  const admit = createAdmission({
    authenticate: () =>
      setup.authenticate ? Promise.reject(setup.authenticate) : Promise.resolve({ user, frontProxy: false }),
    authorizer: { authorize: () => setup.authorize?.(), check: () => undefined },
    inFlight,
    metrics: createRequestMetrics({ registry: new Registry(), inFlight, served: new Set() }),
    audit: createAudit({
      policy: createAuditPolicy({ ...defaultAuditPolicy, omitStages: setup.omitStages ?? [] }),
      log: { lost: 0, write: (event) => events.push(event) },
    }),
    route: () => ({
      requestClass: 'readOnly',
      handle: (exchange) => exchange.respond(200, [], 'ok'),
      ...setup.route,
    }),
    log: silentLog,
  });
  const ask = async (request: FakeRequest = {}) => {
    const exchange = new FakeExchange({ target: '/apis/g.test/v1/widgets/w', ...request });
    admit(exchange);
    for (let turn = 0; turn < 3; turn += 1) await setImmediate();
    return exchange;
  };
  return { ask, events, stages: () => events.map(({ stage }) => stage) };
}

describe('the audit events of a request', () => {
  test('are of its beginning and its end, under one id', async () => {
    const { ask, events, stages } = setUp({ authorize: () => Promise.resolve('RBAC: allowed') });
    await ask({ headers: ['Audit-Id', 'given'] });
    expect(stages()).toEqual(['RequestReceived', 'ResponseComplete']);
    expect(events).toMatchObject([
      { auditID: 'given', user: { username: 'jane' }, responseStatus: undefined },
      {
        auditID: 'given',
        responseStatus: { code: 200 },
        annotations: {
          'authorization.k8s.io/decision': 'allow',
          'authorization.k8s.io/reason': 'RBAC: allowed',
        },
      },
    ]);
  });

  test('of a long-running one tell of its head, as soon as it is out', async () => {
    const { ask, stages } = setUp({
      omitStages: ['RequestReceived'],
      route: {
        requestClass: 'longRunning',
        handle: (exchange) => exchange.stream(200, [], { body: new Readable({ read() {} }) }),
      },
    });
    const exchange = await ask();
    expect(stages()).toEqual(['ResponseStarted']);
    exchange.end();
    expect(stages()).toEqual(['ResponseStarted', 'ResponseComplete']);
  });

  test('of one that was forbidden have the reason', async () => {
    const denied = new AccessDenied('no', { details: {}, reason: 'not on Mondays' });
    const { ask, events } = setUp({ authorize: () => Promise.reject(denied) });
    await ask();
    expect(events.at(-1)).toMatchObject({
      stage: 'ResponseComplete',
      responseStatus: { status: 'Failure', message: 'no: not on Mondays', reason: 'Forbidden', code: 403 },
      annotations: {
        'authorization.k8s.io/decision': 'forbid',
        'authorization.k8s.io/reason': 'not on Mondays',
      },
    });
  });

  test('of one that the hub could not be asked about do not say what it would have said', async () => {
    const failed = new StatusError('InternalError', 'Internal Server Error', { cause: new Error('s3cret') });
    const { ask, events } = setUp({ authorize: () => Promise.reject(failed) });
    await ask();
    expect(events.at(-1)).toMatchObject({ stage: 'ResponseComplete', responseStatus: { code: 500 } });
    expect(events.at(-1)?.annotations).toEqual({ 'authorization.k8s.io/reason': 'internal error' });
    expect(JSON.stringify(events)).not.toContain('s3cret');
  });

  test('of one that nobody was authenticated for are one, of the stage that kube-apiserver gives it', async () => {
    const { ask, events } = setUp({ authenticate: new StatusError('Unauthorized', 'Unauthorized') });
    await ask({ headers: ['Authorization', 'Bearer s3cret'] });
    expect(events).toMatchObject([
      { stage: 'ResponseStarted', user: {}, responseStatus: { reason: 'Unauthorized', code: 401 } },
    ]);
    expect(JSON.stringify(events)).not.toContain('s3cret');
  });

  test('of a target that cannot be read are one', async () => {
    const { ask, events } = setUp();
    await ask({ target: '/%zz' });
    expect(events).toMatchObject([
      { stage: 'ResponseComplete', requestURI: '/%zz', user: {}, responseStatus: { code: 400 } },
    ]);
  });

  test('of a fault of ours end with Panic, and say nothing of it', async () => {
    const { ask, events, stages } = setUp({
      route: { handle: () => Promise.reject(new TypeError('s3cret')) },
    });
    await ask();
    expect(stages()).toEqual(['RequestReceived', 'Panic']);
    expect(events.at(-1)?.responseStatus).toMatchObject({ reason: 'InternalError', code: 500 });
    expect(JSON.stringify(events)).not.toContain('s3cret');
  });

  test('of an answer that was cut have its code, and why', async () => {
    const { ask, events } = setUp({
      route: {
        handle: (exchange) => {
          exchange.stream(200, [], { body: new Readable({ read() {} }) });
          throw new Failure('reset', 'the target died');
        },
      },
    });
    await ask();
    expect(events.at(-1)).toMatchObject({
      stage: 'ResponseComplete',
      responseStatus: { status: 'Failure', message: 'the target died', code: 200 },
    });
  });

  test('of a caller who left before an answer say so', async () => {
    const { ask, events } = setUp({ route: { handle: () => new Promise(() => {}) } });
    (await ask()).goAway();
    expect(events.at(-1)?.responseStatus).toEqual({
      metadata: {},
      status: 'Failure',
      message: 'Connection closed early',
      code: 499,
    });
  });

  test('who handles it may add to it', async () => {
    const { ask, events } = setUp({
      route: {
        handle: (exchange, { audit }) => {
          audit?.requestObject({ metadata: { uid: 'u-1' } });
          exchange.respond(201, []);
        },
      },
    });
    await ask({ method: 'POST', target: '/apis/g.test/v1/widgets' });
    expect(events.at(-1)).toMatchObject({ objectRef: { resource: 'widgets', uid: 'u-1' } });
  });
});
