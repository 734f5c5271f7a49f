import { inspect } from 'node:util';
import { Registry } from 'prom-client';
import { beforeAll, expect, test } from 'vitest';
import { createCredentialResolver } from '../clusters/credential.ts';
import { silentLog } from '../base/log.ts';
import type { ResourceColumn } from '../apiserver/resource.ts';
import type { ClusterRegistry } from '../clusters/registry.ts';
import { SecretsHub, startRegistry, untilVersion } from '../clusters/testing/secrets-hub.ts';
import type { SecretParts } from '../clusters/testing/secrets-hub.ts';
import type { KubeObject } from '../kube/object-meta.ts';
import { issueCertificate } from '../pki/issue.ts';
import { createClusterGatewayResource } from './cluster-gateway-resource.ts';
import { createCredentialMetrics } from './credential-metrics.ts';
import { createVirtualClusterResource } from './virtual-cluster-resource.ts';

/** Planted wherever a Secret can hold something secret. */
const planted = ['t0ken', 'k3y', 'p4ssword', 'env-v4lue', '4rgument', 'us3rinfo', 'unkn0wn'];
const base64 = (text: string) => Buffer.from(text).toString('base64');

let pair: { certificatePem: string; privateKeyPem: string };
beforeAll(async () => void (pair = await issueCertificate({ commonName: 'me' })));

function plant(hub: SecretsHub): void {
  const put = (name: string, type: string, { data = {}, ...parts }: SecretParts) =>
    hub.put(name, {
      ...parts,
      labels: { 'cluster.core.oam.dev/cluster-credential-type': type },
      data: {
        endpoint: 'https://10.0.0.1:6443',
        'proxy-url': 'http://u:p4ssword@proxy:3128',
        'something-else': 'unkn0wn',
        ...data,
      },
    });
  const exec = (more: object = {}) =>
    JSON.stringify({
      apiVersion: 'client.authentication.k8s.io/v1',
      command: '/bin/sh',
      args: ['-c', 'echo 4rgument'],
      env: [{ name: 'X', value: 'env-v4lue' }],
      ...more,
    });
  put('token', 'ServiceAccountToken', { data: { token: 't0ken' } });
  put('token-with-lines', 'ServiceAccountToken', { data: { token: 't0ken\r\nx: t0ken' } });
  put('x509', 'X509Certificate', { data: { 'tls.crt': pair.certificatePem, 'tls.key': pair.privateKeyPem } });
  put('bad-key', 'X509Certificate', { data: { 'tls.crt': pair.certificatePem, 'tls.key': 'k3y' } });
  put('plugin', 'Dynamic', { data: { exec: exec() } });
  put('bad-plugin', 'Dynamic', { data: { exec: exec({ apiVersion: '4rgument' }) } });
  put('no-json', 'Dynamic', { data: { exec: '{"env": env-v4lue' } });
  put('bad-proxy', 'ServiceAccountToken', { data: { token: 't0ken', 'proxy-url': 'ftp://u:p4ssword@x' } });
  put('userinfo', 'ServiceAccountToken', { data: { token: 't0ken', endpoint: 'https://a:us3rinfo@x' } });
  put('no-url', 'ServiceAccountToken', {
    data: { token: 't0ken', endpoint: 'https://a:us3rinfo@x:99999' },
  });
  put('annotated', 'ServiceAccountToken', {
    data: { token: 't0ken' },
    annotations: { 'kubectl.kubernetes.io/last-applied-configuration': '{"data":{"token":"t0ken"}}' },
  });
}

/** All that is shown of a registry's clusters, in every form. */
async function everythingShown(registry: ClusterRegistry, hub: SecretsHub): Promise<string> {
  const seen: string[] = [];
  const see = (value: unknown) =>
    seen.push(JSON.stringify(value), inspect(value, { depth: 20, showHidden: true }));
  const signal = AbortSignal.timeout(5000);
  const context = { user: { name: 'jane', groups: [] }, auditId: 'a', namespace: '', signal };
  const resources = [
    createClusterGatewayResource(registry, { health: undefined }),
    createVirtualClusterResource(registry),
  ];
  for (const resource of resources) {
    const { items } = (await resource.list?.(context)) as { items: readonly KubeObject[] };
    expect(items.length).toBeGreaterThanOrEqual(10);
    const columns = resource.columns as readonly ResourceColumn<never>[];
    for (const item of items) {
      see(item);
      see(columns.map((column) => column.cell(item as never)));
      see(await resource.get?.(item.metadata.name, context));
    }
    const events = resource.watch?.(undefined, context) as AsyncIterable<unknown>;
    const first = events[Symbol.asyncIterator]().next();
    const { metadata } = hub.put('token', { data: { endpoint: 'https://10.0.0.2', token: 't0ken' } });
    await untilVersion(registry, metadata.resourceVersion);
    see(await first);
    resource.destroy();
  }
  for (const record of registry.list()) see(record);
  const metrics = new Registry();
  createCredentialMetrics(metrics, { registry, credentials: createCredentialResolver({ log: silentLog }) });
  see(await metrics.metrics());
  return seen.join('\n');
}

test('nothing secret of a Secret is in what is got, listed, watched, tabulated, printed or measured', async () => {
  const hub = new SecretsHub();
  plant(hub);
  const { registry } = await startRegistry(hub);
  try {
    const shown = await everythingShown(registry, hub);
    const keyBody = pair.privateKeyPem.split('\n')[1] ?? '';
    expect(keyBody).not.toBe('');
    for (const secret of [...planted, keyBody]) {
      expect(shown).not.toContain(secret);
      expect(shown).not.toContain(base64(secret));
    }
    // It was looked at what should be there.
    expect(shown).toContain('https://10.0.0.2');
    expect(registry.list().filter(({ type }) => type === 'rejected')).toHaveLength(7);
  } finally {
    await registry.close();
  }
});
