import { Registry } from 'prom-client';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Redacted } from '../base/redacted.ts';
import type { Cluster, Credential } from '../clusters/cluster.ts';
import { dynamicCluster } from '../clusters/testing/dynamic-cluster.ts';
import { SecretsHub, startRegistry, untilVersion } from '../clusters/testing/secrets-hub.ts';
import type { WatchEvent } from '../kube/watch-event.ts';
import { createClusterGatewayResource } from './cluster-gateway-resource.ts';
import { clusterGatewayFrom } from './cluster-gateway.ts';
import type { ClusterGateway } from './cluster-gateway.ts';
import { createCredentialMetrics } from './credential-metrics.ts';
import { endsBetween } from './validity-conditions.ts';

const day = 86_400_000;
const validity = { from: 0, until: 100 * day };
const token: Credential = {
  type: 'ServiceAccountToken',
  authorization: new Redacted('Bearer s3cret'),
  validity,
};
const certificate: Credential = {
  type: 'X509Certificate',
  certificatePem: 'pem',
  privateKeyPem: new Redacted('s3cret'),
  validity,
};

const cluster = (more: Partial<Pick<Cluster, 'credential' | 'endpoint'>>): Cluster => ({
  ...dynamicCluster(''),
  ...more,
});
const withCa = cluster({
  endpoint: { ...dynamicCluster('').endpoint, trust: { type: 'ca', caPem: 'pem', validity } },
});

const condition = (record: Cluster, type: string, now: number) =>
  clusterGatewayFrom(record, { showHealth: false, now }).status.conditions.find((each) => each.type === type);

describe('CredentialValid', () => {
  test.each<[string, Credential]>([
    ['the token', token],
    ['the client certificate', certificate],
  ])('of %s: valid, soon no more, no more', (what, credential) => {
    const at = (now: number) => condition(cluster({ credential }), 'CredentialValid', now);
    const ends = `${what} of the Secret ends at 1970-04-11T00:00:00Z`;
    expect(at(79 * day)).toEqual({ type: 'CredentialValid', status: 'True', reason: 'Valid', message: ends });
    expect(at(81 * day)).toMatchObject({ status: 'True', reason: 'ExpiresSoon', message: ends });
    expect(at(100 * day)).toMatchObject({
      status: 'False',
      reason: 'Expired',
      message: `${what} of the Secret ended at 1970-04-11T00:00:00Z`,
    });
  });

  test('is not said of what has no known end', () => {
    const opaque: Credential = { type: 'ServiceAccountToken', authorization: new Redacted('Bearer t') };
    expect(condition(cluster({ credential: opaque }), 'CredentialValid', 0)).toBeUndefined();
    expect(condition(dynamicCluster(''), 'CredentialValid', 0)).toBeUndefined();
  });
});

test('ServerVerified says when the last CA ends', () => {
  const at = (now: number) => condition(withCa, 'ServerVerified', now);
  expect(at(1)).toEqual({ type: 'ServerVerified', status: 'True', reason: 'OwnCA', message: '' });
  expect(at(90 * day)).toMatchObject({ status: 'True', reason: 'CAExpiresSoon' });
  expect(at(101 * day)).toMatchObject({ status: 'False', reason: 'CAExpired' });
});

test('time changes what is shown when a condition changes, and only then', () => {
  for (const record of [cluster({ credential: token }), withCa]) {
    expect(endsBetween(record, 1, 79 * day)).toBe(false);
    expect(endsBetween(record, 79 * day, 80 * day)).toBe(true);
    expect(endsBetween(record, 81 * day, 99 * day)).toBe(false);
    expect(endsBetween(record, 99 * day, 100 * day)).toBe(true);
    expect(endsBetween(record, 100 * day, 900 * day)).toBe(false);
  }
  expect(endsBetween(dynamicCluster(''), 0, 900 * day)).toBe(false);
});

test('metrics: when credentials and CAs end, gone with the cluster', async () => {
  const records = [
    { ...withCa, name: 'ca' },
    { ...cluster({ credential: token }), name: 'token' },
    { ...dynamicCluster(''), name: 'plugin' },
  ];
  const list = vi.fn(() => records);
  const metrics = new Registry();
  createCredentialMetrics(metrics, {
    registry: { list },
    credentials: {
      expiresAt: ({ name, credential }) =>
        name === 'plugin' ? 7000 : credential.type === 'Dynamic' ? undefined : credential.validity?.until,
    },
  });
  const text = await metrics.metrics();
  expect(text.split('\n').filter((line) => /^[^#]/.test(line))).toEqual([
    `cluster_gateway_credential_expiration_timestamp_seconds{cluster="token"} ${validity.until / 1000}`,
    'cluster_gateway_credential_expiration_timestamp_seconds{cluster="plugin"} 7',
    `cluster_gateway_cluster_ca_expiration_timestamp_seconds{cluster="ca"} ${validity.until / 1000}`,
  ]);
  list.mockReturnValue([]);
  expect(await metrics.metrics()).not.toContain('cluster=');
});

describe('while nothing but the clock moves', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['Date', 'setInterval', 'clearInterval'] }));
  afterEach(() => void vi.useRealTimers());

  test('lists and watches tell within a minute that a credential has ended', async () => {
    const until = Date.now() + 10 * 60_000;
    const jwt = `h.${Buffer.from(JSON.stringify({ exp: until / 1000, iat: until / 1000 - 3600 })).toString('base64url')}.s`;
    const hub = new SecretsHub();
    hub.put('ending', { data: { endpoint: 'https://x', token: jwt } });
    hub.put('other');
    const { registry } = await startRegistry(hub);
    const resource = createClusterGatewayResource(registry, { health: undefined });
    const ending = new AbortController();
    try {
      const told: WatchEvent<ClusterGateway>[] = [];
      const context = {
        user: { name: 'jane', groups: [] },
        auditId: 'a',
        namespace: '',
        signal: ending.signal,
      };
      const events = resource.watch?.(undefined, context);
      if (!events) throw new Error('there is no watch');
      void (async () => {
        for await (const event of events) told.push(event);
      })();
      const reasons = async () => {
        const { items } = (await resource.list?.(context)) ?? { items: [] };
        return items.flatMap(({ status }) => status.conditions.slice(2).map(({ reason }) => reason));
      };
      expect(await reasons()).toEqual(['ExpiresSoon']);
      const version = (await resource.list?.(context))?.resourceVersion;
      vi.advanceTimersByTime(9 * 60_000);
      expect(told).toEqual([]);
      vi.advanceTimersByTime(2 * 60_000);
      expect(await reasons()).toEqual(['Expired']);
      await vi.waitFor(() => expect(told).toHaveLength(1));
      expect(told[0]).toMatchObject({
        type: 'MODIFIED',
        object: { metadata: { name: 'ending' }, status: { conditions: [{}, {}, { status: 'False' }] } },
      });
      // A watcher that was away meanwhile is told, too.
      const later: WatchEvent<ClusterGateway>[] = [];
      const again = resource.watch?.(version, context);
      void (async () => {
        for await (const event of again ?? []) later.push(event);
      })();
      await vi.waitFor(() => expect(later).toHaveLength(1));
      vi.advanceTimersByTime(60 * 60_000);
      const changed = hub.put('other', { labels: { ...hubLabels, new: 'one' } });
      await untilVersion(registry, changed.metadata.resourceVersion);
      await vi.waitFor(() => expect(told).toHaveLength(2));
      expect(told[1]).toMatchObject({ object: { metadata: { name: 'other' } } });
    } finally {
      ending.abort();
      resource.destroy();
      await registry.close();
    }
    expect(vi.getTimerCount()).toBe(0);
  });
});

const hubLabels = { 'cluster.core.oam.dev/cluster-credential-type': 'ServiceAccountToken' };
