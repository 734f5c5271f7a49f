import { afterEach, expect, test } from 'vitest';
import { silentLog } from '../base/log.ts';
import { createClusterSecrets } from '../clusters/cluster-secrets.ts';
import { createSecretRegistry } from '../clusters/registry.ts';
import { SecretsHub, namespace } from '../clusters/testing/secrets-hub.ts';
import { createClusterCache } from './cluster-cache.ts';

const ends: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

test('a version from before the first list has expired: what was deleted until then can no longer be told', async () => {
  const hub = new SecretsHub();
  hub.put('gone');
  const [before] = [...hub.secrets.values()].map(({ metadata }) => metadata.resourceVersion);
  hub.delete('gone');
  hub.put('a');
  hub.put('b');
  const options = { client: hub, namespace, requireCa: false, execPluginAllowlist: ['*'], log: silentLog };
  const registry = createSecretRegistry({ ...options, secrets: createClusterSecrets(options) });
  ends.push(() => registry.close());
  // As the gateway starts: the first list comes later than the subscription.
  expect(registry.hasSynced).toBe(false);
  const { cache, destroy } = createClusterCache(registry, {
    show: ({ name, resourceVersion }) => ({
      apiVersion: 'v1',
      kind: 'Shown',
      metadata: { name, resourceVersion },
    }),
  });
  ends.push(destroy);
  await registry.synced(AbortSignal.timeout(1000));
  expect(cache.list().items.map(({ metadata }) => metadata.name)).toEqual(['a', 'b']);
  const signal = new AbortController().signal;
  expect(() => cache.events(before, signal)).toThrow('too old resource version');
  expect(() => cache.events(registry.resourceVersion, signal)).not.toThrow();
});
