import { Registry } from 'prom-client';
import { describe, expect, test } from 'vitest';
import { requestInfo } from '../kube/request-info.ts';
import { notFound } from '../kube/status.ts';
import type { AuditEvent } from './audit-event.ts';
import { createAuditMetrics } from './audit-metrics.ts';
import { createAuditPolicy } from './audit-policy.ts';
import type { AuditLevel } from './audit-policy.ts';
import { readAuditPolicy } from './audit-policy-file.ts';
import { maxObjectBytes } from './audit-record.ts';
import { createAudit } from './audit.ts';
import { FakeExchange } from './testing/fake-exchange.ts';

const widgets = '/apis/g.test/v1/widgets';
const proxied = '/apis/g.test/v1/widgets/w/proxy/api/v1/secrets';

interface Setup {
  readonly level?: AuditLevel;
  readonly rest?: string;
  readonly method?: string;
  readonly target?: string;
  readonly headers?: readonly string[];
}

function begin({
  level = 'Metadata',
  rest = '',
  method = 'GET',
  target = widgets,
  headers = [],
}: Setup = {}) {
  const events: AuditEvent[] = [];
  const registry = new Registry();
  const text = `{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: ${level}}]${rest}}`;
  const log = { lost: 0, write: (event: AuditEvent) => events.push(event) };
  const audit = createAudit({
    policy: createAuditPolicy(readAuditPolicy(text)),
    log,
    metrics: createAuditMetrics(registry, log),
    isProxied: ({ subresource }) => subresource === 'proxy',
  });
  const record = audit.begin({
    exchange: new FakeExchange({ method, target, headers }),
    auditId: 'id-1',
    receivedAt: Date.UTC(2030, 0, 2, 3, 4, 5, 678) + 0.25,
    info: target.startsWith('/') ? requestInfo(method, target) : undefined,
    user: { name: 'jané', uid: '7', groups: ['dev'], extra: { scopes: ['a'] } },
  });
  return { record, events, registry, log };
}

describe('an event', () => {
  test('says who, what and the outcome, as audit.k8s.io/v1 has it', () => {
    const { record, events } = begin({
      target: `${widgets}/foo/status?limit=1`,
      headers: ['User-Agent', 'kubectl/1', 'X-Forwarded-For', '10.0.0.1'],
    });
    record?.annotate('authorization.k8s.io/decision', 'allow');
    record?.ended({ code: 201 });
    const [event] = events.map((each) => JSON.parse(JSON.stringify(each)) as Record<string, unknown>);
    expect(event).toEqual({
      kind: 'Event',
      apiVersion: 'audit.k8s.io/v1',
      level: 'Metadata',
      auditID: 'id-1',
      stage: 'ResponseComplete',
      requestURI: `${widgets}/foo/status?limit=1`,
      verb: 'get',
      user: { username: 'jané', uid: '7', groups: ['dev'], extra: { scopes: ['a'] } },
      sourceIPs: ['10.0.0.1', '192.0.2.1'],
      userAgent: 'kubectl/1',
      objectRef: {
        resource: 'widgets',
        name: 'foo',
        apiGroup: 'g.test',
        apiVersion: 'v1',
        subresource: 'status',
      },
      responseStatus: { metadata: {}, code: 201 },
      requestReceivedTimestamp: '2030-01-02T03:04:05.678250Z',
      stageTimestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/) as unknown,
      annotations: { 'authorization.k8s.io/decision': 'allow' },
    });
  });

  test('never holds what proves an identity', () => {
    const { record, events } = begin({
      level: 'RequestResponse',
      headers: [
        ...['Authorization', 'Bearer s3cret-1', 'Cookie', 's3cret-2', 'Proxy-Authorization', 's3cret-3'],
        ...[
          'Sec-WebSocket-Protocol',
          'base64url.bearer.authorization.k8s.io.s3cret-4',
          'X-Other',
          's3cret-5',
        ],
        ...['X-Forwarded-For', 's3cret-6', 'X-Real-Ip', 's3cret-7'],
      ],
    });
    record?.received();
    record?.ended({ code: 200 });
    expect(events).toHaveLength(2);
    expect(JSON.stringify(events)).not.toContain('s3cret');
  });

  test('cannot be given a line of its own by a header', () => {
    const { record, events } = begin({ headers: ['User-Agent', 'x\n{"kind":"Event"}'] });
    record?.ended({ code: 200 });
    expect(JSON.stringify(events[0]).split('\n')).toHaveLength(1);
  });

  test('of a path names no object', () => {
    const { record, events } = begin({ target: '/metrics' });
    record?.ended({ code: 200 });
    expect(events[0]).toMatchObject({ verb: 'get', objectRef: undefined });
  });

  test('of a target that is no path says what was asked', () => {
    const { record, events } = begin({ target: 'http://evil.test/' });
    record?.ended({ code: 400 });
    expect(events[0]).toMatchObject({ requestURI: 'http://evil.test/', verb: 'get' });
  });

  test('of a failure has what was answered', () => {
    const { record, events } = begin();
    record?.responseStatus(notFound({ group: 'g.test', resource: 'widgets' }, 'w').status);
    record?.ended({ code: 404 });
    expect(events[0]?.responseStatus).toEqual({
      metadata: {},
      status: 'Failure',
      message: 'widgets.g.test "w" not found',
      reason: 'NotFound',
      details: { name: 'w', group: 'g.test', kind: 'widgets' },
      code: 404,
    });
    expect(events[0]?.responseObject).toBeUndefined();
  });

  test('names the impersonated user beside the caller', () => {
    const { record, events } = begin();
    record?.impersonated({ name: 'joe', groups: ['ops'] });
    record?.ended({ code: 200 });
    expect(events[0]).toMatchObject({
      user: { username: 'jané' },
      impersonatedUser: { username: 'joe', groups: ['ops'] },
    });
  });
});

describe('stages', () => {
  const all = (setup: Setup) => {
    const { record, events } = begin(setup);
    record?.received();
    record?.responseStarted(200);
    record?.responseStarted(200);
    record?.ended({ code: 200 });
    return events.map(({ stage }) => stage);
  };

  test('come in order, ResponseStarted once', () => {
    expect(all({})).toEqual(['RequestReceived', 'ResponseStarted', 'ResponseComplete']);
  });

  test('that are omitted do not', () => {
    expect(all({ rest: ', omitStages: [RequestReceived, ResponseStarted]' })).toEqual(['ResponseComplete']);
  });

  test('RequestReceived has its own time for both', () => {
    const { record, events } = begin();
    record?.received();
    expect(events[0]?.stageTimestamp).toBe(events[0]?.requestReceivedTimestamp);
    expect(events[0]?.responseStatus).toBeUndefined();
  });

  test('of level None there are none', () => {
    expect(begin({ level: 'None' }).record).toBeUndefined();
  });
});

describe('objects', () => {
  const object = {
    metadata: {
      name: 'w',
      namespace: 'ns',
      uid: 'u',
      resourceVersion: '3',
      managedFields: [{ manager: 'x' }],
    },
    spec: { size: 1 },
  };
  const events = (setup: Setup) => {
    const { record, events: written } = begin({ method: 'POST', ...setup });
    record?.requestObject(object);
    record?.responseObject({ items: [object] });
    record?.ended({ code: 201 });
    const [event] = written;
    if (!event) throw new Error('no event');
    return event;
  };

  test.each([
    ['Metadata', false, false],
    ['Request', true, false],
    ['RequestResponse', true, true],
  ] as const)('at level %s', (level, request, response) => {
    const event = events({ level });
    expect(event.level).toBe(level);
    expect(event.requestObject).toEqual(request ? object : undefined);
    expect(event.responseObject).toEqual(response ? { items: [object] } : undefined);
  });

  test('name what the path does not, at any level', () => {
    expect(events({ level: 'Metadata' }).objectRef).toMatchObject({
      name: 'w',
      namespace: 'ns',
      uid: 'u',
      resourceVersion: '3',
    });
    expect(events({ target: `${widgets}/other`, method: 'PUT' }).objectRef).toMatchObject({ name: 'other' });
  });

  test('that are proxied are not kept, and the level says so', () => {
    const event = events({ level: 'RequestResponse', target: proxied });
    expect(event).toMatchObject({ level: 'Metadata', requestObject: undefined, responseObject: undefined });
  });

  test('of a path are not kept', () => {
    const event = events({ level: 'RequestResponse', target: '/version' });
    expect(event).toMatchObject({ level: 'RequestResponse', responseObject: undefined });
  });

  test('are copies of that moment', () => {
    const { record, events: written } = begin({ level: 'Request', method: 'POST' });
    const changing = { spec: { size: 1 } };
    record?.requestObject(changing);
    changing.spec.size = 2;
    record?.ended({ code: 201 });
    expect(written[0]?.requestObject).toEqual({ spec: { size: 1 } });
  });

  test('lose their managed fields where the policy wants it, in lists and tables too', () => {
    const rest = ', omitManagedFields: true';
    const event = events({ level: 'RequestResponse', rest });
    expect(JSON.stringify(event)).not.toContain('managedFields');
    expect(event.requestObject).toMatchObject({ metadata: { name: 'w' }, spec: { size: 1 } });
    const { record, events: written } = begin({ level: 'RequestResponse', rest });
    record?.responseObject({ kind: 'Table', rows: [{ cells: [1], object }] });
    record?.ended({ code: 200 });
    expect(JSON.stringify(written)).not.toContain('managedFields');
    expect(written[0]?.responseObject).toMatchObject({
      rows: [{ cells: [1], object: { spec: { size: 1 } } }],
    });
    expect(object.metadata.managedFields).toHaveLength(1);
  });

  test('that are too large are left out, and the event says so', () => {
    const { record, events: written } = begin({ level: 'RequestResponse', method: 'POST' });
    record?.requestObject({ text: 'x'.repeat(maxObjectBytes) });
    record?.responseObject({ text: 'small' });
    record?.ended({ code: 201 });
    expect(written[0]).toMatchObject({
      requestObject: undefined,
      responseObject: { text: 'small' },
      annotations: { 'audit.k8s.io/truncated': 'true' },
    });
  });

  test('a patch is kept as it was sent', () => {
    const { record, events: written } = begin({ level: 'Request', method: 'PATCH', target: `${widgets}/w` });
    record?.requestPatch([{ op: 'remove', path: '/spec' }]);
    record?.ended({ code: 200 });
    expect(written[0]?.requestObject).toEqual([{ op: 'remove', path: '/spec' }]);
  });
});

describe('metrics', () => {
  test('have the names of kube-apiserver', async () => {
    const { record, registry, log } = begin();
    record?.received();
    record?.ended({ code: 200 });
    log.lost = 5;
    const text = await registry.metrics();
    expect(text).toMatch(/^apiserver_audit_event_total 2$/m);
    expect(text).toMatch(/^apiserver_audit_level_total\{level="Metadata"\} 1$/m);
    expect(text).toMatch(/^apiserver_audit_error_total\{plugin="log"\} 5$/m);
    expect(text).toMatch(/^apiserver_audit_requests_rejected_total 0$/m);
  });
});
