import { Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { Registry } from 'prom-client';
import { describe, expect, test } from 'vitest';
import { Failure } from '../base/failure.ts';
import type { Log } from '../base/log.ts';
import { StatusError } from '../kube/status.ts';
import type { UserInfo } from '../kube/user-info.ts';
import { silentLog } from '../base/log.ts';
import { createAdmission } from './admission.ts';
import { createAuditPolicy, defaultAuditPolicy } from './audit-policy.ts';
import { AccessDenied } from './authorizer.ts';
import { createAudit } from './audit.ts';
import type { Route } from './admission.ts';
import { createApiServer } from './api-server.ts';
import { createInFlight, defaultInFlightLimits } from './in-flight.ts';
import { createRequestMetrics } from './metrics.ts';
import { createProbes } from './probes.ts';
import { FakeExchange } from './testing/fake-exchange.ts';
import type { FakeRequest } from './testing/fake-exchange.ts';

interface AuditLine {
  readonly auditID: string;
  readonly verb: string;
  readonly requestURI: string;
  readonly user: { readonly username: string };
  readonly responseStatus: { readonly code: number };
}

interface Setup {
  readonly user?: UserInfo;
  readonly frontProxy?: boolean;
  readonly authenticate?: Error;
  readonly authorize?: Error;
  readonly impersonate?: Error;
  readonly route?: Partial<Route>;
}

function setUp(setup: Setup = {}) {
  const audited: AuditLine[] = [];
  const logged: { fields: object; message: string }[] = [];
  const steps: string[] = [];
  const registry = new Registry();
  const inFlight = createInFlight(defaultInFlightLimits);
  const log: Log = {
    debug: () => {},
    info: () => {},
    warn: (fields, message) => logged.push({ fields, message }),
    error: (fields, message) => logged.push({ fields, message }),
  };
  const admit = createAdmission({
    authenticate: () => {
      steps.push('authenticate');
      const { user = { name: 'jane', groups: [] }, frontProxy = true } = setup;
      return setup.authenticate ? Promise.reject(setup.authenticate) : Promise.resolve({ user, frontProxy });
    },
    authorizer: {
      authorize: () => {
        steps.push('authorize');
        return setup.authorize ? Promise.reject(setup.authorize) : undefined;
      },
      check: (_, attributes) => {
        steps.push(attributes.type === 'resource' ? attributes.resource.resource : '');
        return setup.impersonate ? Promise.reject(setup.impersonate) : undefined;
      },
    },
    inFlight,
    metrics: createRequestMetrics({ registry, inFlight, served: new Set() }),
    audit: createAudit({
      policy: createAuditPolicy(defaultAuditPolicy),
      log: { lost: 0, write: (event) => audited.push(event as AuditLine) },
    }),
    route: () => ({
      requestClass: 'readOnly',
      handle: (exchange) => {
        steps.push('handle');
        exchange.respond(200, [], 'ok');
      },
      ...setup.route,
    }),
    log,
  });
  const ask = async (request: FakeRequest = {}) => {
    const exchange = new FakeExchange(request);
    admit(exchange);
    for (let turn = 0; turn < 3; turn += 1) await setImmediate();
    return exchange;
  };
  return { ask, audited, logged, steps, inFlight, registry };
}

const statusOf = ({ answerBody }: FakeExchange) =>
  JSON.parse(answerBody) as { kind: string; code: number; reason: string; message: string };

describe('the way in', () => {
  test('a failure is logged, and one that only says again what was logged is not', async () => {
    const route = (failure: Error): Setup => ({ route: { handle: () => Promise.reject(failure) } });
    const first = setUp(route(new Failure('unreachable', 'refused')));
    expect((await first.ask()).status).toBe(503);
    expect(first.logged.map(({ message }) => message)).toEqual(['request failed']);
    const again = setUp(route(new Failure('unreachable', 'refused', { repeated: true })));
    expect((await again.ask()).status).toBe(503);
    expect(again.logged).toEqual([]);
  });

  test('authenticates, authorizes, then answers; one audit line says so', async () => {
    const { ask, steps, audited } = setUp();
    const exchange = await ask({ target: '/apis/g/v1/things/x?y=1', headers: ['Audit-Id', 'given-id'] });
    expect(steps).toEqual(['authenticate', 'authorize', 'handle']);
    expect(exchange.answerBody).toBe('ok');
    expect(audited).toMatchObject([
      {
        auditID: 'given-id',
        verb: 'get',
        requestURI: '/apis/g/v1/things/x?y=1',
        user: { username: 'jane' },
        responseStatus: { code: 200 },
      },
    ]);
  });

  test.each(['', ' ', 'a b', 'x'.repeat(65), 'é', 'a\tb'])(
    'an Audit-Id that no log should hold is replaced: %j',
    async (given) => {
      const { ask, audited } = setUp();
      await ask({ headers: ['audit-id', given] });
      expect(audited[0]?.auditID).toMatch(/^[0-9a-f-]{36}$/);
    },
  );

  test.each(['http://evil.test/healthz', 'https://a/apis', '*', '', 'healthz', '/a#b', '/#'])(
    'the target %j is 400 before anybody is asked who calls',
    async (target) => {
      const { ask, steps } = setUp();
      const exchange = await ask({ target });
      expect(statusOf(exchange)).toMatchObject({ kind: 'Status', code: 400, reason: 'BadRequest' });
      expect(steps).toEqual([]);
    },
  );

  test.each(['/%zz', '/a\x00b', '/a b', '/é'])('the path %j is 400', async (target) => {
    const { ask, steps } = setUp();
    expect(statusOf(await ask({ target }))).toMatchObject({ code: 400 });
    expect(steps).toEqual([]);
  });

  test('two Host lines are 400', async () => {
    const { ask, steps } = setUp();
    expect(statusOf(await ask({ headers: ['Host', 'a', 'host', 'a'] }))).toMatchObject({ code: 400 });
    expect(steps).toEqual([]);
    expect((await ask({ headers: ['Host', 'a'] })).status).toBe(200);
  });

  test('who is not authenticated is not routed, and audited without a name', async () => {
    const { ask, steps, audited } = setUp({ authenticate: new StatusError('Unauthorized', 'Unauthorized') });
    expect(statusOf(await ask())).toMatchObject({ kind: 'Status', code: 401, reason: 'Unauthorized' });
    expect(steps).toEqual(['authenticate']);
    expect(audited).toMatchObject([{ user: {}, responseStatus: { code: 401 } }]);
  });

  test('who may not is answered 403 and nothing is handled', async () => {
    const { ask, steps } = setUp({ authorize: new StatusError('Forbidden', 'no') });
    expect(statusOf(await ask())).toMatchObject({ code: 403, message: 'no' });
    expect(steps).toEqual(['authenticate', 'authorize']);
  });

  test.each([
    ['allowed', undefined],
    ['denied', new AccessDenied('no', { details: {}, reason: '' })],
    ['error', new StatusError('InternalError', 'Internal Server Error')],
  ])('an authorization is counted as %s', async (result, authorize) => {
    const { ask, registry } = setUp(authorize ? { authorize } : {});
    await ask();
    expect(await registry.metrics()).toContain(`authorization_attempts_total{result="${result}"} 1\n`);
  });

  test('what was not meant for callers is 500 with a fixed text, and logged', async () => {
    const { ask, logged } = setUp({
      route: { handle: () => Promise.reject(new TypeError('secret detail')) },
    });
    const exchange = await ask();
    expect(statusOf(exchange)).toMatchObject({ code: 500, message: 'Internal Server Error' });
    expect(exchange.answerBody).not.toContain('secret');
    expect(logged).toHaveLength(1);
    expect(logged[0]?.fields).toMatchObject({ err: { message: 'secret detail' }, code: 500 });
  });

  test('the audit id stands in a failure, so that it can be found in the log', async () => {
    const { ask } = setUp({ authorize: new StatusError('Forbidden', 'no') });
    const { answerHeaders } = await ask({ headers: ['Audit-Id', 'abc'] });
    expect(answerHeaders.slice(-2)).toEqual(['audit-id', 'abc']);
  });
});

describe('impersonation headers', () => {
  test.each(['impersonate-group', 'IMPERSONATE-UID', 'Impersonate-Extra-A', 'Impersonate-Future'])(
    '%s alone is 400 for a direct caller; behind the hub it is left to who answers',
    async (name) => {
      const direct = setUp({ frontProxy: false });
      expect(statusOf(await direct.ask({ headers: [name, 'x'] }))).toMatchObject({ code: 400 });
      expect(direct.steps).toEqual(['authenticate']);
      const through = setUp({ frontProxy: true });
      expect((await through.ask({ headers: [name, 'x'] })).status).toBe(200);
      expect(through.steps).toEqual(['authenticate', 'authorize', 'handle']);
    },
  );

  test('a direct caller who may acts as somebody else from there on', async () => {
    const users: UserInfo[] = [];
    const { ask, steps } = setUp({
      frontProxy: false,
      route: {
        handle: (exchange, { user }) => {
          users.push(user);
          exchange.respond(200, []);
        },
      },
    });
    await ask({ headers: ['Impersonate-User', 'bob', 'Impersonate-Group', 'dev'] });
    expect(steps).toEqual(['authenticate', 'users', 'groups', 'authorize']);
    expect(users).toEqual([{ name: 'bob', groups: ['dev', 'system:authenticated'] }]);
  });

  test('one who may not is refused before anything else is looked at', async () => {
    const { ask, steps } = setUp({ frontProxy: false, impersonate: new StatusError('Forbidden', 'no') });
    const answer = await ask({ headers: ['Impersonate-User', 'bob', 'Impersonate-Group', 'dev'] });
    expect(statusOf(answer)).toMatchObject({ code: 403 });
    expect(steps).toEqual(['authenticate', 'users']);
  });
});

describe('how a request ends', () => {
  test('a caller who goes away before an answer is 499', async () => {
    const handle: Route['handle'] = ({ signal }) =>
      new Promise((_, reject) =>
        signal.addEventListener('abort', () => reject(new Failure('cancelled', 'x'))),
      );
    const { ask, audited, inFlight, registry, logged } = setUp({ route: { handle } });
    const exchange = await ask();
    expect(inFlight.counts.readOnly).toBe(1);
    exchange.goAway();
    await setImmediate();
    expect(inFlight.counts.readOnly).toBe(0);
    expect(audited).toMatchObject([{ responseStatus: { code: 499 } }]);
    expect(logged).toEqual([]);
    expect(await registry.metrics()).toMatch(/apiserver_request_total\{[^}]*code="499"\} 1/);
  });

  test('a failure after the head is out cuts the answer, and keeps its code', async () => {
    const { ask, audited } = setUp({
      route: {
        handle: (exchange) => {
          exchange.stream(200, [], { body: new Readable({ read() {} }) });
          throw new Failure('reset', 'the target died');
        },
      },
    });
    const exchange = await ask();
    expect(exchange.aborted).toBe(true);
    expect(exchange.answerBody).toBe('');
    expect(audited).toMatchObject([{ responseStatus: { code: 200 } }]);
  });

  test('long-running requests are counted, their time is not', async () => {
    const { ask, registry } = setUp({ route: { requestClass: 'longRunning' } });
    await ask();
    const text = await registry.metrics();
    expect(text).toMatch(/apiserver_request_total\{.*\} 1/);
    expect(text).not.toMatch(/apiserver_request_duration_seconds_count\{.*\} 1/);
  });

  test.each(['/livez', '/readyz/ping', '/healthz?verbose'])('%s is not audited', async (target) => {
    const { ask, audited } = setUp();
    await ask({ target });
    expect(audited).toEqual([]);
  });
});

describe('before the server is ready', () => {
  const setUpServer = (isReady: boolean) => {
    const inFlight = createInFlight(defaultInFlightLimits);
    const asked: string[] = [];
    const handle = createApiServer({
      authenticate: ({ target }) => {
        asked.push(target);
        return Promise.resolve({ user: { name: 'jane', groups: ['system:masters'] }, frontProxy: false });
      },
      authorizer: { authorize: () => undefined, check: () => undefined },
      audit: undefined,
      resources: {
        resourceNames: [],
        watches: 0,
        handle: () => {
          throw new Error('nothing is listed yet');
        },
        close: () => Promise.resolve(),
      },
      engines: new Map(),
      probes: createProbes({ live: [], ready: [{ name: 'x', check: () => (isReady ? undefined : 'no') }] }),
      inFlight,
      registry: new Registry(),
      served: new Set(),
      version: { gitVersion: 'v0' },
      isReady: () => isReady,
      log: silentLog,
    });
    const ask = async (target: string, isUpgrade = false) => {
      const exchange = new FakeExchange({ target, isUpgrade });
      handle(exchange);
      for (let turn = 0; turn < 3; turn += 1) await setImmediate();
      return exchange;
    };
    return { ask, asked };
  };

  test.each(['/apis', '/openapi/v3', '/version', '/metrics', '/nope', '/livezz', 'http://x/livez'])(
    '%s is 503 for everybody, never a 404 or 403 that callers would remember',
    async (target) => {
      const { ask, asked } = setUpServer(false);
      for (const isUpgrade of [false, true]) {
        const exchange = await ask(target, isUpgrade);
        expect(statusOf(exchange)).toMatchObject({ kind: 'Status', code: 503, reason: 'ServiceUnavailable' });
      }
      expect(asked).toEqual([]);
    },
  );

  test('probes answer', async () => {
    const { ask } = setUpServer(false);
    expect(await ask('/livez')).toMatchObject({ status: 200, answerBody: 'ok' });
    expect((await ask('/readyz?verbose')).status).toBe(500);
    expect((await setUpServer(true).ask('/readyz')).status).toBe(200);
  });

  test('once it is ready, everything is asked of whoever knows', async () => {
    const { ask } = setUpServer(true);
    expect(await ask('/version')).toMatchObject({ status: 200, answerBody: '{"gitVersion":"v0"}' });
    expect((await ask('/version', true)).status).toBe(200);
    expect(statusOf(await ask('/apis', true))).toMatchObject({ code: 400 });
  });
});
