import { Readable } from 'node:stream';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import { Registry } from 'prom-client';
import { describe, expect, test } from 'vitest';
import { StatusError } from '../kube/status.ts';
import type { UserInfo } from '../kube/user-info.ts';
import { createAdmission } from './admission.ts';
import type { AdmissionOptions, Admitted, Route } from './admission.ts';
import { createInFlight } from './in-flight.ts';
import { createRequestMetrics } from './metrics.ts';
import { FakeExchange } from './testing/fake-exchange.ts';
import type { FakeRequest } from './testing/fake-exchange.ts';

interface Setup {
  readonly limit?: number;
  readonly timeoutMs?: number;
  readonly route?: Partial<Route>;
  readonly authenticate?: AdmissionOptions['authenticate'];
  readonly authorize?: AdmissionOptions['authorizer']['authorize'];
}

const breakDown = () => {
  throw new TypeError('broken');
};

/** Works on a request for ever. */
const hang = () => new Promise<never>(() => {});

/** Works on a request until it is told to stop, and then says what it was told. */
const obey = (signal: AbortSignal) =>
  new Promise<never>((_, reject) =>
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- the reason is an Error
    signal.addEventListener('abort', () => reject(signal.reason)),
  );

function setUp(setup: Setup = {}) {
  const logged: object[] = [];
  const steps: string[] = [];
  const registry = new Registry();
  const limit = setup.limit ?? 0;
  const inFlight = createInFlight({ readOnly: limit, mutating: limit, longRunning: limit });
  const log = (fields: object) => logged.push(fields);
  let user: UserInfo = { name: 'jane', groups: [] };
  const admit = createAdmission({
    authenticate: (exchange) => setup.authenticate?.(exchange) ?? Promise.resolve({ user, frontProxy: true }),
    authorizer: {
      authorize: (...all) => {
        steps.push('authorize');
        return setup.authorize?.(...all);
      },
      check: () => undefined,
    },
    inFlight,
    metrics: createRequestMetrics({ registry, inFlight, served: new Set() }),
    audit: undefined,
    ...(setup.timeoutMs === undefined ? {} : { requestTimeoutMs: setup.timeoutMs }),
    route: () => ({ requestClass: 'readOnly', handle: hang, ...setup.route }),
    log: { debug: log, info: log, warn: log, error: log },
  });
  const ask = async (request: FakeRequest & { as?: UserInfo } = {}) => {
    user = request.as ?? { name: 'jane', groups: [] };
    const exchange = new FakeExchange(request);
    admit(exchange);
    for (let turn = 0; turn < 3; turn += 1) await setImmediate();
    return exchange;
  };
  return { ask, logged, steps, inFlight, registry };
}

const statusOf = ({ answerBody }: FakeExchange): unknown => JSON.parse(answerBody);

const timeout = {
  kind: 'Status',
  apiVersion: 'v1',
  metadata: {},
  status: 'Failure',
  message: 'Timeout: request did not complete within the allotted timeout',
  reason: 'Timeout',
  details: {},
  code: 504,
};

const bob = { name: 'bob', groups: [] };

describe('requests in flight', () => {
  test('one user waits where another is served; a place that is freed is taken', async () => {
    const { ask, steps, inFlight } = setUp({ limit: 2 });
    const first = await ask();
    await ask();
    expect(inFlight.waiting.readOnly).toBe(1);
    expect(steps).toHaveLength(1);
    await ask({ as: bob });
    expect(steps).toHaveLength(2);
    expect(inFlight.counts.readOnly).toBe(2);
    first.goAway();
    await setImmediate();
    expect(inFlight.waiting.readOnly).toBe(0);
    expect(steps).toHaveLength(3);
  });

  test('one too many is 429 with Retry-After in kube-apiserver’s form, before the hub is asked', async () => {
    const { ask, steps } = setUp({ limit: 1, route: { requestClass: 'longRunning' } });
    await ask();
    steps.length = 0;
    const { status, answerBody, answerHeaders } = await ask({ headers: ['audit-id', 'given'] });
    expect(status).toBe(429);
    expect(answerBody).toBe('Too many requests, please try again later.\n');
    expect(answerHeaders.join('\n')).toMatch(/content-type\ntext\/plain[^]*retry-after\n1\naudit-id\ngiven$/);
    expect(steps).toEqual([]);
  });

  test('after a quarter of the time in the queue the answer is 429', async () => {
    const { ask, steps } = setUp({ limit: 1, timeoutMs: 200 });
    await ask();
    const waiting = await ask();
    expect(waiting.status).toBeUndefined();
    await sleep(100);
    expect(waiting.status).toBe(429);
    expect(steps).toHaveLength(1);
  });

  test('who goes away while waiting leaves the queue and never runs', async () => {
    const { ask, steps, inFlight, logged } = setUp({ limit: 1 });
    const first = await ask();
    const waiting = await ask();
    waiting.goAway();
    expect(inFlight.waiting.readOnly).toBe(0);
    first.goAway();
    await setImmediate();
    expect(steps).toHaveLength(1);
    expect(inFlight.counts.readOnly).toBe(0);
    expect(logged).toEqual([]);
  });

  test('who goes away in the moment of getting a place gives it back', async () => {
    const { ask, inFlight } = setUp({ limit: 1 });
    const first = await ask();
    const waiting = await ask();
    first.goAway();
    waiting.goAway();
    await setImmediate();
    expect(inFlight.counts.readOnly).toBe(0);
  });

  test('system:masters and probes are served all the same', async () => {
    const { ask, inFlight } = setUp({ limit: 1 });
    await ask();
    await ask({ as: { name: 'admin', groups: ['system:masters'] } });
    expect([inFlight.counts.readOnly, inFlight.waiting.readOnly]).toEqual([2, 0]);
    const probed = setUp({ limit: 1, route: { isExempt: true } });
    for (let i = 0; i < 3; i += 1) await probed.ask();
    expect(probed.steps).toHaveLength(3);
  });

  test('a refused request leaves no place taken', async () => {
    const { ask, inFlight } = setUp({
      limit: 1,
      authorize: () => Promise.reject(new StatusError('Forbidden', 'no')),
    });
    for (let i = 0; i < 5; i += 1) expect((await ask()).status).toBe(403);
    expect(inFlight.counts.readOnly).toBe(0);
  });
});

describe('the deadline', () => {
  const timeoutMs = 40;
  const cases: [string, Setup][] = [
    ['authentication', { authenticate: ({ signal }) => obey(signal) }],
    ['authentication, deaf', { authenticate: hang }],
    ['authorization', { authorize: (_user, _info, signal) => obey(signal) }],
    ['authorization, deaf', { authorize: hang }],
    ['the answer', { route: { handle: ({ signal }) => obey(signal) } }],
    ['the answer, deaf', { route: { handle: hang } }],
    ['something that breaks', { route: { handle: ({ signal }) => obey(signal).catch(breakDown) } }],
    [
      'authentication of a long-running request',
      { authenticate: hang, route: { requestClass: 'longRunning' } },
    ],
  ];

  test.each(cases)('covers %s', async (_, setup) => {
    const { ask, inFlight, logged, registry } = setUp({ ...setup, timeoutMs, limit: 4 });
    const exchange = await ask();
    expect(exchange.status).toBeUndefined();
    await expect.poll(() => exchange.status).toBe(504);
    expect(statusOf(exchange)).toEqual(timeout);
    expect(exchange.answerHeaders.join('\n')).toContain('audit-id');
    expect(exchange.signal.reason).toMatchObject({ kind: 'timeout', sent: true });
    await setImmediate();
    expect(exchange.aborted).toBe(false);
    expect(inFlight.counts).toEqual({ readOnly: 0, mutating: 0, longRunning: 0 });
    expect(logged).toMatchObject([{ code: 504 }]);
    expect(await registry.metrics()).toMatch(/apiserver_request_total\{[^}]*code="504"\} 1/);
  });

  test('a route may say it in its own words, once it is at work', async () => {
    const own = { timeoutError: () => new StatusError('Timeout', 'cluster x') };
    const working = await setUp({ timeoutMs, route: own }).ask();
    await expect.poll(() => working.status).toBe(504);
    expect(statusOf(working)).toMatchObject({ message: 'cluster x' });
    const waiting = await setUp({ timeoutMs, route: own, authorize: hang }).ask();
    await expect.poll(() => waiting.status).toBe(504);
    expect(statusOf(waiting)).toEqual(timeout);
  });

  test('is answered before whoever works on the request is told', async () => {
    const answers: unknown[] = [];
    const handle: Route['handle'] = (exchange) =>
      exchange.signal.addEventListener('abort', () => answers.push(exchange.status));
    await setUp({ timeoutMs, route: { handle } }).ask();
    await expect.poll(() => answers).toEqual([504]);
  });

  test('once the head is out, the answer is cut', async () => {
    const handle: Route['handle'] = (exchange) =>
      exchange.stream(200, [], { body: new Readable({ read() {} }) });
    const { ask } = setUp({ timeoutMs, route: { handle } });
    const exchange = await ask();
    expect([exchange.status, exchange.aborted]).toEqual([200, false]);
    await expect.poll(() => exchange.aborted).toBe(true);
  });

  test('is put off by whoever knows that the request goes on', async () => {
    let admitted: Admitted | undefined;
    const { ask } = setUp({ timeoutMs, route: { handle: (_, each) => ((admitted = each), hang()) } });
    const exchange = await ask();
    for (let i = 0; i < 8; i += 1) {
      await sleep(15);
      admitted?.deadline.restart();
    }
    expect(exchange.status).toBeUndefined();
    await expect.poll(() => exchange.status).toBe(504);
  });

  test('long-running requests have none once they are let in', async () => {
    const { ask } = setUp({ timeoutMs, route: { requestClass: 'longRunning' } });
    const exchange = await ask();
    await sleep(3 * timeoutMs);
    expect([exchange.status, exchange.signal.aborted]).toEqual([undefined, false]);
  });

  test('a request that was answered is not told afterwards', async () => {
    const { ask } = setUp({ timeoutMs, route: { handle: (exchange) => exchange.respond(200, []) } });
    const exchange = await ask();
    await sleep(2 * timeoutMs);
    expect([exchange.status, exchange.signal.aborted, exchange.aborted]).toEqual([200, false, false]);
  });

  test('a second failure does not cut the answer that says 504', async () => {
    const handle: Route['handle'] = async ({ signal }) => {
      await obey(signal).catch(() => sleep(10));
      throw new Error('late');
    };
    const { ask, logged } = setUp({ timeoutMs, route: { handle } });
    const exchange = await ask();
    await expect.poll(() => exchange.status).toBe(504);
    await sleep(30);
    expect(exchange.aborted).toBe(false);
    expect(logged).toHaveLength(1);
  });
});

describe('?timeout=', () => {
  test.each(['/x?timeout=40ms', '/x?a=b&timeout=0.04s&timeout=1h', '/x?timeout=40000us'])(
    '%s lowers the deadline',
    async (target) => {
      const { ask } = setUp({ timeoutMs: 60_000 });
      const exchange = await ask({ target });
      await expect.poll(() => exchange.status, { timeout: 500 }).toBe(504);
    },
  );

  test.each(['/x?timeout=1h', '/x?timeout=0s', '/x?timeout=-1s', '/x?timeout=', '/x?timeoutSeconds=abc'])(
    '%s leaves the maximum',
    async (target) => {
      const { ask } = setUp({ timeoutMs: 60 });
      const exchange = await ask({ target });
      await sleep(30);
      expect(exchange.status).toBeUndefined();
      await expect.poll(() => exchange.status).toBe(504);
    },
  );

  test.each([
    ['abc', 'time: invalid duration "abc"'],
    ['5', 'time: missing unit in duration "5"'],
    ['5d', 'time: unknown unit "d" in duration "5d"'],
  ])('%s is 400', async (value, because) => {
    const { ask, steps } = setUp();
    expect(statusOf(await ask({ target: `/x?timeout=${value}` }))).toMatchObject({
      code: 400,
      reason: 'BadRequest',
      message: `invalid timeout specified in the request URL - ${because}`,
    });
    expect(steps).toEqual([]);
  });

  test.each([
    ['watches', { requestClass: 'longRunning' }],
    ['what another server answers', { isProxied: true }],
  ] as const)('is not read for %s', async (_, route) => {
    const { ask, steps } = setUp({ route });
    await ask({ target: '/x?timeout=abc' });
    expect(steps).toEqual(['authorize']);
    const short = await ask({ target: '/x?timeout=1ms' });
    await sleep(20);
    expect(short.status).toBeUndefined();
  });

  test('the time in the queue is shorter too', async () => {
    const { ask } = setUp({ limit: 1 });
    await ask();
    const waiting = await ask({ target: '/x?timeout=80ms' });
    await expect.poll(() => waiting.status, { timeout: 70 }).toBe(429);
  });
});
