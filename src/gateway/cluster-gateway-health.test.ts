import { inspect } from 'node:util';
import { afterEach, describe, expect, test } from 'vitest';
import type { ObjectSubresource, WriteContext } from '../apiserver/resource.ts';
import { Failure } from '../base/failure.ts';
import type { Closable } from '../base/scope.ts';
import { createHealthWriter } from '../clusters/health-write.ts';
import { SecretsHub, startRegistry, token } from '../clusters/testing/secrets-hub.ts';
import { StatusError } from '../kube/status.ts';
import { createClusterGatewayResource } from './cluster-gateway-resource.ts';
import type { ClusterGateway } from './cluster-gateway.ts';

let open: Closable[] = [];
afterEach(async () => {
  for (const each of open.reverse()) await each.close();
  open = [];
});

const context = (more: Partial<WriteContext> = {}): WriteContext => ({
  user: { name: 'jane', groups: [] },
  auditId: 'a',
  namespace: '',
  signal: AbortSignal.timeout(5000),
  dryRun: false,
  fieldManager: '',
  ...more,
});

async function start({ gate = true } = {}) {
  const hub = new SecretsHub();
  hub.put('c', { annotations: { mine: 'kept' } });
  const parts = await startRegistry(hub);
  const health = gate ? createHealthWriter(parts) : undefined;
  const resource = createClusterGatewayResource(parts.registry, { health });
  open.push(parts.registry);
  const found = resource.subresources?.find(({ name }) => name === 'health');
  const subresource = found as ObjectSubresource<ClusterGateway> | undefined;
  /** What a client sends: its types are no promise. */
  const put = async (name: string, status: unknown, more: { version?: string; dryRun?: boolean } = {}) => {
    const metadata = { name, ...(more.version === undefined ? {} : { resourceVersion: more.version }) };
    const body = { apiVersion: 'cluster.core.oam.dev/v1alpha1', kind: 'ClusterGateway', metadata, status };
    return subresource?.update?.(
      body as unknown as ClusterGateway,
      context({ dryRun: more.dryRun ?? false }),
    );
  };
  return { ...parts, hub, resource, subresource, put };
}

async function refusal(work: Promise<unknown>): Promise<StatusError> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error instanceof StatusError) return error;
  throw new Error('it was not refused with a Status', { cause: error });
}

test('without the gate there is no such subresource, and health is not shown', async () => {
  const { hub, resource, registry } = await start({ gate: false });
  expect(resource.subresources?.map(({ name }) => name)).toEqual(['proxy']);
  hub.put('h', { annotations: { 'status.cluster.core.oam.dev/healthy': 'true' } });
  await registry.find('h', AbortSignal.timeout(1000));
  expect((await resource.get?.('h', context()))?.status).toMatchObject({ healthy: false });
});

test('the answer is the cluster as it is now, and so is what is read next', async () => {
  const { hub, subresource, resource, put } = await start();
  hub.hold();
  const answer = await put('c', { healthy: true, healthyReason: 'ConnectionTimeout' });
  expect(answer).toMatchObject({
    metadata: { name: 'c', resourceVersion: '102' },
    status: { healthy: true, healthyReason: 'ConnectionTimeout' },
  });
  expect(await subresource?.get('c', context())).toEqual(answer);
  expect(await resource.get?.('c', context())).toEqual(answer);
});

test('what is left out is unhealthy and without a reason', async () => {
  const { hub, put } = await start();
  await put('c', { healthy: true, healthyReason: 'x' });
  expect((await put('c', undefined))?.status).toMatchObject({ healthy: false });
  expect(hub.secrets.get('c')?.metadata.annotations).toEqual({
    mine: 'kept',
    'status.cluster.core.oam.dev/healthy': 'false',
    'status.cluster.core.oam.dev/healthy-reason': '',
  });
});

test('a dry run answers what would be, and writes nothing', async () => {
  const { hub, put } = await start();
  expect((await put('c', { healthy: true }, { dryRun: true }))?.status.healthy).toBe(true);
  expect(hub.secrets.get('c')?.metadata).toMatchObject({
    resourceVersion: '101',
    annotations: { mine: 'kept' },
  });
});

describe('resource versions', () => {
  test.each(['', '0', '101'])('%j is taken', async (version) => {
    const { put } = await start();
    expect((await put('c', { healthy: true }, { version }))?.metadata.resourceVersion).toBe('102');
  });

  test('a stale one is a conflict', async () => {
    const { put } = await start();
    expect((await refusal(put('c', { healthy: true }, { version: '100' }))).status).toMatchObject({
      code: 409,
      reason: 'Conflict',
      details: { name: 'c', kind: 'clustergateways' },
    });
  });

  test('one that cannot be is bad', async () => {
    const { put } = await start();
    expect((await refusal(put('c', {}, { version: 'x"y' }))).status.code).toBe(400);
  });
});

describe('refused before the hub is asked', () => {
  test.each<[string, unknown, number]>([
    ['healthy that is no boolean', { healthy: 'true' }, 400],
    ['a reason that is no text', { healthyReason: { a: 1 } }, 400],
    ['a status that is no object', 'fine', 400],
    ['a reason that is too long', { healthyReason: 'é'.repeat(8 * 1024 + 1) }, 422],
  ])('%s', async (_, status, code) => {
    const { hub, put } = await start();
    expect((await refusal(put('c', status))).status.code).toBe(code);
    expect(hub.requests.some(({ method }) => method === 'PATCH')).toBe(false);
  });

  test('the longest reason is taken', async () => {
    const { put } = await start();
    const healthyReason = 'é'.repeat(8 * 1024);
    expect((await put('c', { healthyReason }))?.status.healthyReason).toBe(healthyReason);
  });

  test('a cluster that does not exist', async () => {
    const { put } = await start();
    expect((await refusal(put('nope', { healthy: true }))).status).toMatchObject({
      code: 404,
      details: { name: 'nope', kind: 'clustergateways' },
    });
  });
});

describe('what the hub refuses', () => {
  const secretText = `Secret "c" in namespace "vela-system": ${token}`;
  test.each<[string, () => Error, number, string]>([
    ['no right to patch', () => new StatusError('Forbidden', secretText), 403, 'Forbidden'],
    ['an object that it does not like', () => new StatusError('Invalid', secretText), 422, 'Invalid'],
    ['a patch that it does not like', () => new StatusError('BadRequest', secretText), 422, 'Invalid'],
    ['no such caller', () => new StatusError('Unauthorized', secretText), 503, 'ServiceUnavailable'],
    ['too many requests', () => new StatusError('TooManyRequests', secretText), 503, 'ServiceUnavailable'],
    ['an etcd that is down', () => new StatusError('InternalError', secretText), 503, 'ServiceUnavailable'],
    ['no connection', () => new Failure('unreachable', 'dial tcp 10.0.0.1:6443'), 503, 'ServiceUnavailable'],
    ['no answer', () => new Failure('timeout', 'no answer in time', { sent: true }), 504, 'Timeout'],
  ])('%s', async (_, thrown, code, reason) => {
    const { hub, put } = await start();
    hub.before = ({ method }) => {
      if (method === 'PATCH') throw thrown();
    };
    const { status } = await refusal(put('c', { healthy: true }));
    expect(status).toMatchObject({ code, reason, details: { name: 'c', kind: 'clustergateways' } });
    expect(status.details?.retryAfterSeconds).toBeUndefined();
    expect(inspect(status)).not.toContain(token);
    expect(hub.secrets.get('c')?.metadata.annotations).toEqual({ mine: 'kept' });
  });

  test('a conflict with somebody else is no conflict of the caller, who asked for no state', async () => {
    const { hub, put } = await start();
    let others = 2;
    hub.before = ({ method }) => {
      if (method === 'PATCH' && (others -= 1) >= 0) hub.put('c', { annotations: { theirs: String(others) } });
    };
    expect((await put('c', { healthy: true }))?.status.healthy).toBe(true);
    expect(hub.secrets.get('c')?.metadata.annotations).toMatchObject({ theirs: '0' });
  });
});
