import { afterEach, describe, expect, test } from 'vitest';
import type { ResourceContext } from '../apiserver/resource.ts';
import type { SecretParts } from '../clusters/testing/secrets-hub.ts';
import { SecretsHub, startRegistry, tokenLabels, untilVersion } from '../clusters/testing/secrets-hub.ts';
import { createVirtualClusterResource } from './virtual-cluster-resource.ts';
import type { VirtualCluster } from './virtual-cluster.ts';

const ends: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

const until = new AbortController();
const context: ResourceContext = {
  user: { name: 'jane', groups: [] },
  auditId: 'a',
  namespace: '',
  signal: until.signal,
};

async function start(clusters: Record<string, SecretParts> = {}) {
  const hub = new SecretsHub();
  for (const [name, parts] of Object.entries(clusters)) hub.put(name, parts);
  const { registry } = await startRegistry(hub);
  ends.push(() => registry.close());
  const resource = createVirtualClusterResource(registry);
  ends.push(() => resource.destroy());
  return { hub, registry, resource };
}

type Started = Awaited<ReturnType<typeof start>>;

const list = async ({ resource }: Started) => (await resource.list?.(context))?.items ?? [];
const get = async ({ resource }: Started, name: string) => resource.get?.(name, context);
const cells = ({ resource }: Started, object: VirtualCluster | undefined) =>
  object && Object.fromEntries(resource.columns.map((column) => [column.name, column.cell(object)]));

const endpointType = 'cluster.core.oam.dev/cluster-endpoint-type';
const data = { endpoint: 'https://10.0.0.1:6443', token: 't' };

describe('what is shown', () => {
  test('the hub itself, when no cluster is registered', async () => {
    const started = await start();
    expect(await list(started)).toMatchObject([
      {
        kind: 'VirtualCluster',
        metadata: { name: 'local', labels: { 'cluster.core.oam.dev/control-plane': 'true' } },
        spec: { accepted: true, endpoint: '-', 'credential-type': 'Internal' },
      },
    ]);
    expect(cells(started, await get(started, 'local'))).toEqual({
      Name: 'local',
      Alias: '',
      Credential_Type: 'Internal',
      Endpoint: '-',
      Accepted: true,
      Labels: 'cluster.core.oam.dev/control-plane=true',
      Creation_Timestamp: null,
    });
  });

  test('a cluster with its alias and the labels of its user', async () => {
    const started = await start({
      prod: {
        labels: { ...tokenLabels, tier: 'front', 'cluster.core.oam.dev/control-plane': 'true' },
        annotations: { 'cluster.core.oam.dev/cluster-alias': 'Production' },
        creationTimestamp: '2026-01-02T03:04:05Z',
      },
    });
    const object = await get(started, 'prod');
    expect(object?.metadata).toEqual({
      name: 'prod',
      resourceVersion: '101',
      creationTimestamp: '2026-01-02T03:04:05Z',
      labels: { tier: 'front', 'cluster.core.oam.dev/control-plane': 'false' },
    });
    expect(cells(started, object)).toEqual({
      Name: 'prod',
      Alias: 'Production',
      Credential_Type: 'ServiceAccountToken',
      Endpoint: 'https://10.0.0.1:6443',
      Accepted: true,
      Labels: 'cluster.core.oam.dev/control-plane=false,tier=front',
      Creation_Timestamp: '2026-01-02T03:04:05Z',
    });
  });

  test.each<[string, SecretParts, object]>([
    ['no endpoint', { data: { token: 't' } }, { endpoint: '-', accepted: false }],
    [
      'a password in its endpoint',
      { data: { ...data, endpoint: 'https://u:s3cret@x' } },
      { endpoint: '-', accepted: false },
    ],
    [
      'a tunnel',
      { labels: { ...tokenLabels, [endpointType]: 'ClusterProxy' }, data },
      { endpoint: 'ClusterProxy', accepted: false },
    ],
    [
      'its type of endpoint written down',
      { labels: { ...tokenLabels, [endpointType]: 'Const' }, data },
      { endpoint: 'Const', accepted: true },
    ],
  ])('a cluster with %s', async (_, parts, spec) => {
    const started = await start({ odd: parts });
    const object = await get(started, 'odd');
    expect(object).toMatchObject({ spec });
    const accepted = object?.spec.accepted ? 'True' : 'False';
    expect(object?.status.conditions).toMatchObject([{ type: 'Accepted', status: accepted }]);
    expect(JSON.stringify(await list(started))).not.toContain('s3cret');
  });

  test('a Secret by the name of the hub itself takes nothing away from it', async () => {
    const started = await start({ local: { annotations: { 'cluster.core.oam.dev/cluster-alias': 'evil' } } });
    const before = await list(started);
    expect(before).toMatchObject([{ metadata: { name: 'local' }, spec: { 'credential-type': 'Internal' } }]);
    started.hub.put('local');
    started.hub.delete('local');
    await untilVersion(started.registry, '103');
    expect(await list(started)).toEqual(before);
    expect(await get(started, 'local')).toEqual(before[0]);
  });

  test('what does not exist is not there', async () => {
    expect(await get(await start(), 'nope')).toBeUndefined();
  });
});

test('the hub comes first, then the newest; those of one second by name', async () => {
  const at = (creationTimestamp: string): SecretParts => ({ creationTimestamp });
  const started = await start({
    a: at('2026-01-01T00:00:00Z'),
    z: at('2026-03-01T00:00:00Z'),
    c: at('2026-02-01T00:00:00Z'),
    b: at('2026-02-01T00:00:00Z'),
    old: {},
  });
  const names = async () => (await list(started)).map(({ metadata }) => metadata.name);
  expect(await names()).toEqual(['local', 'z', 'b', 'c', 'a', 'old']);
  expect(await list(started)).toBe(await list(started));
  started.hub.put('newest', at('2026-04-01T00:00:00Z'));
  await untilVersion(started.registry, '106');
  expect(await names()).toEqual(['local', 'newest', 'z', 'b', 'c', 'a', 'old']);
});

test('a watch tells what comes, changes and goes, with the versions of the hub', async () => {
  const started = await start({ a: {} });
  const ended = new AbortController();
  ends.push(() => ended.abort());
  const events = started.resource.watch?.('101', { ...context, signal: ended.signal });
  started.hub.put('b');
  started.hub.put('b', { annotations: { 'cluster.core.oam.dev/cluster-alias': 'B' } });
  started.hub.delete('b');
  const seen: unknown[] = [];
  for await (const event of events ?? []) {
    if (event.type === 'BOOKMARK') continue;
    seen.push([event.type, event.object.metadata.name, event.object.spec.alias, event.resourceVersion]);
    if (event.type === 'DELETED') break;
  }
  expect(seen).toEqual([
    ['ADDED', 'b', undefined, '102'],
    ['MODIFIED', 'b', 'B', '103'],
    ['DELETED', 'b', 'B', '104'],
  ]);
});
