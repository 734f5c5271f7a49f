import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import type { Closable } from '../base/scope.ts';
import { StatusError } from '../kube/status.ts';
import { createHealthWriter } from './health-write.ts';
import type { HealthWrite } from './health-write.ts';
import { SecretsHub, startRegistry } from './testing/secrets-hub.ts';

let open: Closable | undefined;
afterEach(() => open?.close());

const healthy = 'status.cluster.core.oam.dev/healthy';
const reasonKey = 'status.cluster.core.oam.dev/healthy-reason';

async function start() {
  const hub = new SecretsHub();
  hub.put('c', { annotations: { mine: 'kept' } });
  const started = await startRegistry(hub);
  open = started.registry;
  const writer = createHealthWriter(started);
  const write = (name: string, more: Partial<HealthWrite> = {}) =>
    writer.write(name, {
      health: { healthy: true, reason: 'fine' },
      resourceVersion: undefined,
      dryRun: false,
      signal: AbortSignal.timeout(5000),
      ...more,
    });
  const annotations = () => hub.secrets.get('c')?.metadata.annotations;
  return { ...started, write, annotations };
}

test('writes the two annotations and nothing else, in the state that it knows', async () => {
  const { hub, write, annotations } = await start();
  const written = await write('c');
  expect(written).toMatchObject({
    type: 'written',
    record: { resourceVersion: '102', health: { healthy: true, reason: 'fine' } },
  });
  expect(annotations()).toEqual({ mine: 'kept', [healthy]: 'true', [reasonKey]: 'fine' });
  expect(hub.requests.at(-1)).toMatchObject({
    method: 'PATCH',
    path: '/api/v1/namespaces/vela-system/secrets/c',
    query: { fieldManager: 'cluster-gateway' },
    body: {
      metadata: { resourceVersion: '101', annotations: { [healthy]: 'true', [reasonKey]: 'fine' } },
    },
  });
});

test('what was written is read at once, though the watch is behind', async () => {
  const { hub, registry, write } = await start();
  hub.hold();
  await write('c', { health: { healthy: true, reason: '' } });
  expect(registry.get('c')).toMatchObject({ resourceVersion: '102', health: { healthy: true, reason: '' } });
});

test('a dry run is answered as ever, and kept nowhere', async () => {
  const { hub, registry, write, annotations } = await start();
  const written = await write('c', { dryRun: true });
  expect(written).toMatchObject({ type: 'written', record: { health: { healthy: true, reason: 'fine' } } });
  expect(hub.requests.at(-1)?.query).toEqual({ fieldManager: 'cluster-gateway', dryRun: 'All' });
  expect(annotations()).toEqual({ mine: 'kept' });
  expect(registry.get('c')).toMatchObject({ resourceVersion: '101', health: undefined });
});

test('what a dry run answers is nothing that the hub has said, also ahead of the watch', async () => {
  const { hub, registry, write } = await start();
  hub.hold();
  hub.put('c');
  expect(await write('c', { dryRun: true, resourceVersion: '102' })).toMatchObject({ type: 'written' });
  expect(registry.get('c')).toMatchObject({ resourceVersion: '102', health: undefined });
});

describe('with a resource version', () => {
  test('the present one is taken', async () => {
    const { write } = await start();
    expect(await write('c', { resourceVersion: '101' })).toMatchObject({ type: 'written' });
  });

  test.each(['100', '999'])('%s, which is not the present one, is a conflict', async (resourceVersion) => {
    const { hub, write, annotations } = await start();
    expect(await write('c', { resourceVersion })).toEqual({ type: 'conflict' });
    expect(annotations()).toEqual({ mine: 'kept' });
    expect(hub.requests.some(({ method }) => method === 'PATCH')).toBe(false);
  });

  test('one that another replica gave, which is ahead of this one, is taken', async () => {
    const { hub, write } = await start();
    hub.hold();
    hub.put('c');
    expect(await write('c', { resourceVersion: '102' })).toMatchObject({
      type: 'written',
      record: { resourceVersion: '103' },
    });
  });

  test('one that the hub has overtaken is a conflict, and the next reader sees the new state', async () => {
    const { hub, registry, write } = await start();
    hub.hold();
    hub.put('c', { annotations: { theirs: 'kept' } });
    expect(await write('c', { resourceVersion: '101' })).toEqual({ type: 'conflict' });
    expect(registry.get('c')?.resourceVersion).toBe('102');
  });
});

describe('without a resource version', () => {
  test('a change that came in between is kept, and the write is made again', async () => {
    const { hub, write, annotations } = await start();
    hub.hold();
    hub.put('c', { annotations: { theirs: 'kept' } });
    expect(await write('c')).toMatchObject({ type: 'written' });
    expect(annotations()).toEqual({ theirs: 'kept', [healthy]: 'true', [reasonKey]: 'fine' });
  });

  test('two writers at once both write', async () => {
    const { hub, write, annotations } = await start();
    hub.before = () => sleep(5);
    const results = await Promise.all([
      write('c', { health: { healthy: true, reason: 'one' } }),
      write('c', { health: { healthy: true, reason: 'two' } }),
    ]);
    expect(results.map(({ type }) => type)).toEqual(['written', 'written']);
    expect(hub.secrets.get('c')?.metadata.resourceVersion).toBe('103');
    expect(['one', 'two']).toContain(annotations()?.[reasonKey]);
  });

  test('a Secret that changes all the time is a conflict in the end', async () => {
    const { hub, write } = await start();
    hub.before = ({ method }) => {
      if (method === 'PATCH') hub.put('c');
    };
    expect(await write('c')).toEqual({ type: 'conflict' });
    expect(hub.requests.filter(({ method }) => method === 'PATCH')).toHaveLength(12);
  });
});

describe('what is no cluster is not written', () => {
  test('no Secret', async () => {
    const { hub, write } = await start();
    expect(await write('nope')).toEqual({ type: 'unknown' });
    expect(hub.requests.some(({ method }) => method === 'PATCH')).toBe(false);
  });

  test('a Secret that was deleted a moment ago', async () => {
    const { hub, write } = await start();
    hub.hold();
    hub.delete('c');
    expect(await write('c')).toEqual({ type: 'unknown' });
    expect(await write('c', { resourceVersion: '101' })).toEqual({ type: 'unknown' });
  });

  test('a Secret that has just lost its label', async () => {
    const { hub, write, annotations } = await start();
    hub.hold();
    hub.put('c', { labels: {}, annotations: { mine: 'kept' } });
    expect(await write('c')).toEqual({ type: 'unknown' });
    expect(await write('c', { resourceVersion: '102' })).toEqual({ type: 'unknown' });
    expect(annotations()).toEqual({ mine: 'kept' });
  });
});

test('what the hub refuses is thrown, and not tried again', async () => {
  const { hub, write } = await start();
  hub.before = ({ method }) => {
    if (method === 'PATCH') throw new StatusError('Forbidden', 'no');
  };
  await expect(write('c')).rejects.toMatchObject({ status: { code: 403 } });
  expect(hub.requests.filter(({ method }) => method === 'PATCH')).toHaveLength(1);
});
