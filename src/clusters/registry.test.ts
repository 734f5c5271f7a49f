import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import type { Closable } from '../base/scope.ts';
import { StatusError } from '../kube/status.ts';
import { clusterFromSecret } from './secret-cluster.ts';
import { secretFrom } from './secret.ts';
import { SecretsHub, secret, startRegistry, untilVersion } from './testing/secrets-hub.ts';

let open: Closable | undefined;
afterEach(() => open?.close());

async function start(hub?: SecretsHub) {
  const started = await startRegistry(hub);
  open = started.registry;
  return started;
}

/** How many single Secrets were asked for. */
const gets = ({ requests }: SecretsHub) =>
  requests.filter(({ method, path }) => method === 'GET' && !path.endsWith('/secrets')).length;

const soon = () => AbortSignal.timeout(2000);

describe('a name that is not known yet', () => {
  test('is asked for once, however many wait for it, and used at once', async () => {
    const { hub, registry } = await start();
    hub.hold();
    hub.put('c');
    hub.before = () => sleep(20);
    const found = await Promise.all(Array.from({ length: 200 }, () => registry.find('c', soon())));
    expect(found.map((record) => record?.type)).toEqual(Array.from({ length: 200 }, () => 'accepted'));
    expect(gets(hub)).toBe(1);
    expect(registry.get('c')?.type).toBe('accepted');
  });

  test('is not asked for again at once when it does not exist', async () => {
    const { hub, registry } = await start();
    expect(await registry.find('c', soon())).toBeUndefined();
    expect(await registry.find('c', soon())).toBeUndefined();
    expect(gets(hub)).toBe(1);
  });

  test('is no cluster without the label', async () => {
    const { hub, registry } = await start();
    hub.put('helm', { labels: {} });
    expect(await registry.find('helm', soon())).toBeUndefined();
  });

  test('made-up names are no load on the hub', async () => {
    const { hub, registry } = await start();
    for (let i = 0; i < 500; i += 1) await registry.find(`made-up-${i}`, soon());
    expect(gets(hub)).toBeLessThan(100);
  });

  test('an answer that comes after the deletion does not bring the cluster back', async () => {
    const { hub, registry } = await start();
    const late = Promise.withResolvers<unknown>();
    hub.before = () => late.promise;
    const finding = registry.find('c', soon());
    const old = hub.put('c');
    hub.delete('c');
    await untilVersion(registry, '102');
    late.resolve(old);
    expect(await finding).toBeUndefined();
    expect(registry.get('c')).toBeUndefined();
  });

  test('a hub that cannot be asked is a 503, and asked again by the next request', async () => {
    const { hub, registry } = await start();
    hub.hold();
    hub.put('c');
    hub.before = () => Promise.reject(new StatusError('InternalError', 'etcd is down'));
    await expect(registry.find('c', soon())).rejects.toMatchObject({ status: { code: 503 } });
    hub.before = undefined;
    expect((await registry.find('c', soon()))?.type).toBe('accepted');
  });
});

describe('what the hub says ahead of the watch', () => {
  const cluster = (name: string, version: string, alias: string) =>
    clusterFromSecret(
      secretFrom(secret(name, version, { annotations: { 'cluster.core.oam.dev/cluster-alias': alias } })),
      { requireCa: false, execPluginAllowlist: [] },
    );

  async function startWith(name: string) {
    const hub = new SecretsHub();
    hub.put(name);
    return start(hub);
  }

  test('is given at once, until the watch is as new', async () => {
    const { hub, registry } = await startWith('c');
    registry.learn(cluster('c', '110', 'learned'));
    expect(registry.get('c')?.alias).toBe('learned');
    expect((await registry.find('c', soon()))?.alias).toBe('learned');
    for (let i = 0; i < 8; i += 1) hub.put('other');
    await untilVersion(registry, '109');
    expect(registry.get('c')?.alias).toBe('learned');
    hub.delete('c');
    await untilVersion(registry, '110');
    expect(registry.get('c')).toBeUndefined();
  });

  test('is nothing new to a watch that is newer', async () => {
    const { hub, registry } = await startWith('c');
    hub.put('c');
    await untilVersion(registry, '102');
    registry.learn(cluster('c', '102', 'late'));
    registry.learn(cluster('c', '99', 'later'));
    expect(registry.get('c')?.alias).toBe('');
  });

  test('an older answer that comes later changes nothing', async () => {
    const { registry } = await startWith('c');
    registry.learn(cluster('c', '112', 'newer'));
    registry.learn(cluster('c', '111', 'older'));
    expect(registry.get('c')?.alias).toBe('newer');
  });

  test('is kept for a bounded number of names', async () => {
    const { registry } = await start();
    for (let i = 0; i < 5000; i += 1) registry.learn(cluster(`c-${i}`, '110', 'learned'));
    const kept = Array.from({ length: 5000 }, (_, i) => registry.get(`c-${i}`)).filter(Boolean);
    expect(kept).toHaveLength(1000);
  });
});
