import { beforeAll, describe, expect, test } from 'vitest';
import { issueCertificate } from '../pki/issue.ts';
import { execPluginEnvironment } from './exec-plugin-environment.ts';
import { clusterFromSecret } from './secret-cluster.ts';
import type { SecretClusterOptions } from './secret-cluster.ts';
import { secretFrom } from './secret.ts';

let ca: string;
beforeAll(async () => {
  ca = (await issueCertificate({ commonName: 'ca', ca: true })).certificatePem;
});

const options: SecretClusterOptions = {
  ...{ requireCa: false, execPluginAllowlist: [], tunnel: { allowUnverified: false } },
};

function convert(
  data: Record<string, string>,
  given: Partial<SecretClusterOptions> = {},
  type = 'ClusterProxy',
) {
  const labels = {
    'cluster.core.oam.dev/cluster-credential-type': 'ServiceAccountToken',
    'cluster.core.oam.dev/cluster-endpoint-type': type,
  };
  const encoded = Object.entries({ token: 't', ...data }).map(([key, text]) => [
    key,
    Buffer.from(text).toString('base64'),
  ]);
  const secret = { metadata: { name: 'cluster1', labels }, data: Object.fromEntries(encoded) as unknown };
  return clusterFromSecret(secretFrom(secret), { ...options, ...given });
}

const fingerprint = (...given: Parameters<typeof convert>) => {
  const record = convert(...given);
  if (record.type === 'rejected') throw new Error(record.message);
  return record.accessFingerprint;
};

describe('a cluster behind a tunnel', () => {
  test('is found by its name, and verified by the name that its own pods know', () => {
    const record = convert({ 'ca.crt': ca });
    expect(record).toMatchObject({
      type: 'accepted',
      endpointType: 'ClusterProxy',
      endpoint: {
        type: 'ClusterProxy',
        url: 'https://cluster1',
        ...{ host: 'cluster1', port: 443, authority: 'cluster1', basePath: '' },
        serverName: 'kubernetes.default.svc',
        trust: { type: 'ca', caPem: ca },
      },
    });
    expect(convert({ ca })).toMatchObject({ type: 'accepted' });
  });

  test('has no other endpoint, whatever is written there', () => {
    const record = convert({ 'ca.crt': ca, endpoint: 'https://user:s3cret@elsewhere:6443/x' });
    expect(record).toMatchObject({ endpointUrl: undefined, endpoint: { host: 'cluster1', basePath: '' } });
    expect(JSON.stringify(record)).not.toContain('s3cret');
  });

  test.each([
    ['apiserver.example.org', 'apiserver.example.org'],
    ['10.96.0.1\n', '10.96.0.1'],
    ['', 'kubernetes.default.svc'],
  ])('may be verified by another name: %j', (text, serverName) => {
    expect(convert({ 'ca.crt': ca, 'tls-server-name': text })).toMatchObject({ endpoint: { serverName } });
  });

  test('may be verified by the CAs of the system', () => {
    expect(convert({ 'ca.crt': '' })).toMatchObject({ endpoint: { trust: { type: 'system' } } });
  });

  test('without a CA is taken where that is wanted', () => {
    const record = convert({}, { tunnel: { allowUnverified: true } });
    expect(record).toMatchObject({ type: 'accepted', endpoint: { trust: { type: 'none' } } });
  });

  test('tells plugins by what name it is verified', () => {
    const record = convert({ 'ca.crt': ca });
    if (record.type === 'rejected') throw new Error(record.message);
    const config = { apiVersion: 'v1', command: 'x', args: [], env: [], provideClusterInfo: true };
    const { KUBERNETES_EXEC_INFO: info = '' } = execPluginEnvironment(config, record.endpoint, {});
    expect(JSON.parse(info)).toMatchObject({
      spec: { cluster: { server: 'https://cluster1', 'tls-server-name': 'kubernetes.default.svc' } },
    });
  });
});

test.each<[string, Record<string, string>, Partial<SecretClusterOptions>, string, string]>([
  ['without a tunnel', { 'ca.crt': 'CA' }, { tunnel: undefined }, 'TunnelNotConfigured', '--proxy-host'],
  ['without a CA', {}, {}, 'MissingCA', '--tunnel-allow-unverified'],
  [
    'without a CA where one is required',
    {},
    { requireCa: true, tunnel: { allowUnverified: true } },
    'MissingCA',
    '--require-cluster-ca',
  ],
  [
    'with a proxy',
    { 'ca.crt': 'CA', 'proxy-url': 'http://u:s3cret@p' },
    {},
    'UnsupportedProxyURL',
    'proxy-url',
  ],
  [
    'with a name that is none',
    { 'ca.crt': 'CA', 'tls-server-name': 'a b' },
    {},
    'InvalidServerName',
    'DNS name',
  ],
  ['with a CA that is none', { 'ca.crt': 's3cret' }, {}, 'InvalidCA', 'PEM'],
])('a cluster behind a tunnel %s is rejected', (_, data, given, reason, message) => {
  const values = Object.entries(data).map(([key, text]) => [key, text === 'CA' ? ca : text]);
  const record = convert(Object.fromEntries(values) as Record<string, string>, given);
  expect(record).toMatchObject({ type: 'rejected', reason, message: expect.stringContaining(message) });
  expect(JSON.stringify(record)).not.toContain('s3cret');
});

test('the way and the name are part of the access fingerprint', () => {
  const direct = fingerprint({ 'ca.crt': ca, endpoint: 'https://cluster1' }, {}, 'Const');
  const tunnelled = fingerprint({ 'ca.crt': ca });
  const renamed = fingerprint({ 'ca.crt': ca, 'tls-server-name': 'other' });
  expect(new Set([direct, tunnelled, renamed]).size).toBe(3);
  expect(fingerprint({ 'ca.crt': ca, token: 'another' })).toBe(tunnelled);
});
