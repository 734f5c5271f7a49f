import { afterEach, describe, expect, test } from 'vitest';
import { silentLog } from '../base/log.ts';
import type { Closable } from '../base/scope.ts';
import type { HubClient, HubRequest } from '../hub/client.ts';
import { StatusError, notFound } from '../kube/status.ts';
import { createSecretRegistry } from './registry.ts';
import type { ClusterRegistry } from './registry.ts';

type Answer = () => Promise<unknown>;

/** A hub in memory: lists are empty, the test answers single GETs and tells events. */
class ScriptedHub implements HubClient {
  gets = 0;
  answer: Answer = () => Promise.reject(notFound({ group: '', resource: 'secrets' }, 'x'));
  readonly connections = 0;
  readonly #events: unknown[] = [];
  #wake: (() => void) | undefined;

  request({ path }: HubRequest): Promise<unknown> {
    if (path.endsWith('/secrets')) return Promise.resolve({ metadata: { resourceVersion: '1' }, items: [] });
    this.gets += 1;
    return this.answer();
  }

  async *watch({ signal }: { signal: AbortSignal }): AsyncIterable<unknown> {
    signal.addEventListener('abort', () => this.#wake?.());
    while (!signal.aborted) {
      const event = this.#events.shift();
      if (event !== undefined) yield event;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  tell(type: string, object: unknown): void {
    this.#events.push({ type, object });
    this.#wake?.();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  destroy(): void {}
}

const secret = (
  name: string,
  resourceVersion: string,
  labels: Record<string, string> = { 'cluster.core.oam.dev/cluster-credential-type': 'ServiceAccountToken' },
) => ({
  metadata: { name, namespace: 'ns', resourceVersion, labels },
  data: {
    endpoint: Buffer.from('https://10.0.0.1').toString('base64'),
    token: Buffer.from('t').toString('base64'),
  },
});

let open: (ClusterRegistry & Closable) | undefined;
afterEach(() => open?.close());

async function start() {
  const hub = new ScriptedHub();
  open = createSecretRegistry({ client: hub, namespace: 'ns', requireCa: false, log: silentLog });
  await open.synced(AbortSignal.timeout(1000));
  return { hub, registry: open };
}

const soon = () => AbortSignal.timeout(2000);

describe('a name that is not known yet', () => {
  test('is asked for once, however many wait for it, and used at once', async () => {
    const { hub, registry } = await start();
    hub.answer = async () => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      return secret('c', '7');
    };
    const found = await Promise.all(Array.from({ length: 200 }, () => registry.find('c', soon())));
    expect(found.map((record) => record?.type)).toEqual(Array.from({ length: 200 }, () => 'accepted'));
    expect(hub.gets).toBe(1);
    expect(registry.get('c')?.type).toBe('accepted');
  });

  test('is not asked for again at once when it does not exist', async () => {
    const { hub, registry } = await start();
    expect(await registry.find('c', soon())).toBeUndefined();
    expect(await registry.find('c', soon())).toBeUndefined();
    expect(hub.gets).toBe(1);
  });

  test('is no cluster without the label', async () => {
    const { hub, registry } = await start();
    hub.answer = () => Promise.resolve(secret('helm', '7', {}));
    expect(await registry.find('helm', soon())).toBeUndefined();
  });

  test('made-up names are no load on the hub', async () => {
    const { hub, registry } = await start();
    for (let i = 0; i < 500; i += 1) await registry.find(`made-up-${i}`, soon());
    expect(hub.gets).toBeLessThan(100);
  });

  test('an answer that comes after the deletion does not bring the cluster back', async () => {
    const { hub, registry } = await start();
    const late = Promise.withResolvers<unknown>();
    hub.answer = () => late.promise;
    const finding = registry.find('c', soon());
    const deleted = new Promise<void>((resolve) => {
      registry.subscribe((change) => {
        if (change.type === 'changed' && !change.record) resolve();
      });
    });
    hub.tell('ADDED', secret('c', '7'));
    hub.tell('DELETED', secret('c', '8'));
    await deleted;
    late.resolve(secret('c', '7'));
    expect(await finding).toBeUndefined();
    expect(registry.get('c')).toBeUndefined();
  });

  test('a hub that cannot be asked is a 503, and asked again by the next request', async () => {
    const { hub, registry } = await start();
    hub.answer = () => Promise.reject(new StatusError('InternalError', 'etcd is down'));
    await expect(registry.find('c', soon())).rejects.toMatchObject({ status: { code: 503 } });
    hub.answer = () => Promise.resolve(secret('c', '7'));
    expect((await registry.find('c', soon()))?.type).toBe('accepted');
  });
});
