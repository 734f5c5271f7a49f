import { X509Certificate } from 'node:crypto';
import { inspect } from 'node:util';
import { beforeAll, describe, expect, test } from 'vitest';
import { issueCertificate } from '../pki/issue.ts';
import type { IssuedCertificate } from '../pki/issue.ts';
import type { ClusterRecord } from './cluster.ts';
import { clusterFromSecret } from './secret-cluster.ts';
import { secretFrom } from './secret.ts';

let ca: IssuedCertificate;
let client: IssuedCertificate;
let other: IssuedCertificate;
beforeAll(async () => {
  ca = await issueCertificate({ commonName: 'ca', ca: true });
  client = await issueCertificate({ commonName: 'admin', usages: ['clientAuth'] }, { issuer: ca });
  other = await issueCertificate({ commonName: 'other', usages: ['clientAuth'] }, { issuer: ca });
});

interface Given {
  name?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  data: Record<string, string>;
  requireCa?: boolean;
  execPluginAllowlist?: readonly string[];
}

function convert({
  name = 'c',
  labels = {},
  annotations = {},
  data,
  requireCa = false,
  execPluginAllowlist = ['aws'],
}: Given): ClusterRecord {
  const encoded = Object.fromEntries(
    Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString('base64')]),
  );
  const secret = {
    metadata: { name, resourceVersion: '7', labels, annotations },
    data: encoded,
  };
  return clusterFromSecret(secretFrom(secret), { requireCa, execPluginAllowlist });
}

const credentialType = 'cluster.core.oam.dev/cluster-credential-type';
const token = { [credentialType]: 'ServiceAccountToken' };
const x509 = { [credentialType]: 'X509Certificate' };
const dynamic = { [credentialType]: 'Dynamic' };
const endpoint = 'https://10.0.0.1:6443';

describe('a cluster from a Secret', () => {
  test('token, CA and endpoint', () => {
    const record = convert({
      labels: { ...token, team: 'a' },
      data: { endpoint: `${endpoint}\n`, 'ca.crt': ca.certificatePem, token: 's3cret\n' },
    });
    expect(record).toMatchObject({
      type: 'accepted',
      name: 'c',
      labels: { team: 'a' },
      endpoint: {
        host: '10.0.0.1',
        port: 6443,
        authority: '10.0.0.1:6443',
        basePath: '',
        trust: { type: 'ca' },
      },
    });
    expect(inspect(record, { depth: 9 }) + JSON.stringify(record)).not.toContain('s3cret');
  });

  test.each([
    ['https://foo.bar', { host: 'foo.bar', port: 443, authority: 'foo.bar', basePath: '' }],
    ['https://foo.bar:33/', { port: 33, authority: 'foo.bar:33', basePath: '' }],
    ['https://foo.bar/k8s/clusters/c-1/', { basePath: '/k8s/clusters/c-1' }],
    ['https://[::1]:6443', { host: '::1', port: 6443, authority: '[::1]:6443' }],
  ])('endpoint %s', (text, expected) => {
    expect(convert({ labels: token, data: { endpoint: text, token: 't' } })).toMatchObject({
      endpoint: expected,
    });
  });

  test.each([
    [{}, 'none'],
    [{ ca: '' }, 'system'],
    [{ 'ca.crt': '' }, 'system'],
  ])('trust of CA data %j is %s', (data, type) => {
    expect(convert({ labels: token, data: { endpoint, token: 't', ...data } })).toMatchObject({
      endpoint: { trust: { type } },
    });
  });

  test('the key ca is read where ca.crt is missing', () => {
    expect(convert({ labels: token, data: { endpoint, token: 't', ca: ca.certificatePem } })).toMatchObject({
      endpoint: { trust: { type: 'ca' } },
    });
  });

  test('a certificate and its key', () => {
    const data = { endpoint, 'tls.crt': client.certificatePem, 'tls.key': client.privateKeyPem };
    expect(convert({ labels: x509, data })).toMatchObject({
      type: 'accepted',
      credential: { type: 'X509Certificate' },
    });
  });

  test('an exec configuration', () => {
    const exec = JSON.stringify({
      apiVersion: 'client.authentication.k8s.io/v1',
      command: 'aws',
      args: ['x'],
      env: null,
    });
    expect(convert({ labels: dynamic, data: { endpoint, exec } })).toMatchObject({
      type: 'accepted',
      credential: { type: 'Dynamic' },
    });
  });

  test('when its credential and its CAs end', async () => {
    const { validToDate } = new X509Certificate(client.certificatePem);
    const data = { endpoint, 'tls.crt': client.certificatePem, 'tls.key': client.privateKeyPem };
    expect(convert({ labels: x509, data })).toMatchObject({
      credential: { validity: { until: validToDate.getTime() } },
    });
    const claims = Buffer.from('{"exp":2000000000}').toString('base64url');
    expect(convert({ labels: token, data: { endpoint, token: `h.${claims}.s` } })).toMatchObject({
      credential: { validity: { until: 2e12 } },
    });
    const short = await issueCertificate({ commonName: 'old', ca: true, validDays: 1 });
    const both = { endpoint, token: 't', 'ca.crt': short.certificatePem + ca.certificatePem };
    expect(convert({ labels: token, data: both })).toMatchObject({
      endpoint: {
        trust: { validity: { until: new X509Certificate(ca.certificatePem).validToDate.getTime() } },
      },
    });
  });

  test('health is read from annotations', () => {
    const annotations = {
      'status.cluster.core.oam.dev/healthy': 'True',
      'status.cluster.core.oam.dev/healthy-reason': 'MyReason',
    };
    expect(convert({ labels: token, annotations, data: { endpoint, token: 't' } }).health).toEqual({
      healthy: true,
      reason: 'MyReason',
    });
  });

  // strconv.ParseBool's words, and no others.
  test.each([
    ['1', true],
    ['t', true],
    ['TRUE', true],
    ['0', false],
    ['f', false],
    ['False', false],
  ])('the annotation %s is health %s', (text, healthy) => {
    const annotations = { 'status.cluster.core.oam.dev/healthy': text };
    const { health } = convert({ labels: token, annotations, data: { endpoint, token: 't' } });
    expect(health).toEqual({ healthy, reason: '' });
  });

  test.each(['yes', 'tRUE', '', ' true', '2'])('health %j is unhealthy, and says why', (text) => {
    const annotations = {
      'status.cluster.core.oam.dev/healthy': text,
      'status.cluster.core.oam.dev/healthy-reason': 'MyReason',
    };
    const { health } = convert({ labels: token, annotations, data: { endpoint, token: 't' } });
    expect(health).toEqual({
      healthy: false,
      reason: 'the annotation status.cluster.core.oam.dev/healthy is neither true nor false',
    });
  });

  test('the alias, and whether the type of the endpoint is written down', () => {
    const data = { endpoint, token: 't' };
    expect(convert({ labels: token, data })).toMatchObject({ alias: '', hasEndpointType: false });
    const labels = { ...token, 'cluster.core.oam.dev/cluster-endpoint-type': 'Const' };
    const annotations = { 'cluster.core.oam.dev/cluster-alias': 'Production' };
    expect(convert({ labels, annotations, data })).toMatchObject({
      alias: 'Production',
      hasEndpointType: true,
      endpointType: 'Const',
    });
  });
});

describe('a Secret that is no usable cluster', () => {
  const v1 = 'client.authentication.k8s.io/v1';
  const exec = (value: unknown) => JSON.stringify(value);
  test.each<[string, () => Given, string]>([
    [
      'an unknown credential type',
      () => ({ labels: { [credentialType]: 'X509' }, data: { endpoint } }),
      'UnsupportedCredentialType',
    ],
    [
      'an unknown endpoint type',
      () => ({
        labels: { ...token, 'cluster.core.oam.dev/cluster-endpoint-type': 'Warp' },
        data: { endpoint, token: 't' },
      }),
      'UnsupportedEndpointType',
    ],
    [
      'the name of the hub itself',
      () => ({ name: 'local', labels: token, data: { endpoint, token: 't' } }),
      'ReservedName',
    ],
    ['no endpoint', () => ({ labels: token, data: { token: 't' } }), 'MissingEndpoint'],
    ['an empty endpoint', () => ({ labels: token, data: { endpoint: '\n', token: 't' } }), 'MissingEndpoint'],
    [
      'an endpoint that is no URL',
      () => ({ labels: token, data: { endpoint: 'hello', token: 't' } }),
      'InvalidEndpoint',
    ],
    [
      'an http endpoint',
      () => ({ labels: token, data: { endpoint: 'http://x', token: 't' } }),
      'InvalidEndpoint',
    ],
    [
      'an endpoint with a password',
      () => ({ labels: token, data: { endpoint: 'https://u:s3cret@x', token: 't' } }),
      'InvalidEndpoint',
    ],
    [
      'an endpoint with a query',
      () => ({ labels: token, data: { endpoint: 'https://x/?a', token: 't' } }),
      'InvalidEndpoint',
    ],
    [
      'a CA that is no PEM',
      () => ({ labels: token, data: { endpoint, token: 't', 'ca.crt': 's3cret' } }),
      'InvalidCA',
    ],
    [
      'a broken CA',
      () => ({
        labels: token,
        data: {
          endpoint,
          token: 't',
          'ca.crt': '-----BEGIN CERTIFICATE-----\ns3cret\n-----END CERTIFICATE-----\n',
        },
      }),
      'InvalidCA',
    ],
    [
      'no CA where one is required',
      () => ({ labels: token, requireCa: true, data: { endpoint, token: 't' } }),
      'MissingCA',
    ],
    ['no token', () => ({ labels: token, data: { endpoint } }), 'MissingCredential'],
    [
      'a token with a line end inside',
      () => ({ labels: token, data: { endpoint, token: 'a\r\nX-Evil: s3cret' } }),
      'InvalidCredential',
    ],
    [
      'a certificate without a key',
      () => ({ labels: x509, data: { endpoint, 'tls.crt': client.certificatePem } }),
      'MissingCredential',
    ],
    [
      'a broken key',
      () => ({ labels: x509, data: { endpoint, 'tls.crt': client.certificatePem, 'tls.key': 's3cret' } }),
      'InvalidCredential',
    ],
    [
      "another certificate's key",
      () => ({
        labels: x509,
        data: { endpoint, 'tls.crt': client.certificatePem, 'tls.key': other.privateKeyPem },
      }),
      'InvalidCredential',
    ],
    [
      'a command that is not allowed',
      () => ({
        labels: dynamic,
        execPluginAllowlist: ['aws'],
        data: { endpoint, exec: exec({ apiVersion: v1, command: 'sh', args: ['s3cret'] }) },
      }),
      'ExecPluginNotAllowed',
    ],
    [
      'any command where none is allowed',
      () => ({
        labels: dynamic,
        execPluginAllowlist: [],
        data: { endpoint, exec: exec({ apiVersion: v1, command: 'aws' }) },
      }),
      'ExecPluginNotAllowed',
    ],
    [
      'an allowed command that a variable makes another',
      () => ({
        labels: dynamic,
        execPluginAllowlist: ['aws'],
        data: {
          endpoint,
          exec: exec({ apiVersion: v1, command: 'aws', env: [{ name: 'LD_PRELOAD', value: 's3cret' }] }),
        },
      }),
      'ExecPluginNotAllowed',
    ],
    [
      'a plugin that wants somebody before it',
      () => ({
        labels: dynamic,
        data: { endpoint, exec: exec({ apiVersion: v1, command: 'aws', interactiveMode: 'Always' }) },
      }),
      'InvalidCredential',
    ],
    [
      'exec that is no JSON',
      () => ({ labels: dynamic, data: { endpoint, exec: 's3cret' } }),
      'InvalidCredential',
    ],
    [
      'exec without a command',
      () => ({
        labels: dynamic,
        data: { endpoint, exec: exec({ apiVersion: 'client.authentication.k8s.io/v1' }) },
      }),
      'InvalidCredential',
    ],
    [
      'exec of another API version',
      () => ({
        labels: dynamic,
        data: { endpoint, exec: exec({ apiVersion: 'example.org/v1', command: 's3cret' }) },
      }),
      'InvalidCredential',
    ],
    [
      'a proxy URL of another scheme',
      () => ({ labels: token, data: { endpoint, token: 't', 'proxy-url': 'ftp://s3cret@x' } }),
      'InvalidProxyURL',
    ],
  ])('%s', (_, given, reason) => {
    const record = convert(given());
    expect(record).toMatchObject({ type: 'rejected', reason });
    expect(record.type === 'rejected' && record.message).not.toContain('s3cret');
  });
});

describe('the access fingerprint', () => {
  const fingerprint = (given: Given) => {
    const record = convert(given);
    return record.type === 'accepted' ? record.accessFingerprint : undefined;
  };
  const base = () => ({ labels: token, data: { endpoint, token: 't', 'ca.crt': ca.certificatePem } });

  test('stays when a label, a health note or the token changes', () => {
    const annotations = { 'status.cluster.core.oam.dev/healthy': 'true' };
    const changed = { labels: { ...token, a: 'b' }, annotations, data: { ...base().data, token: 'u' } };
    expect(fingerprint(changed)).toBe(fingerprint(base()));
  });

  test.each([{ endpoint: 'https://10.0.0.2:6443' }, { 'ca.crt': '' }, { 'proxy-url': 'http://p:1' }])(
    'changes with %j',
    (data) => {
      expect(fingerprint({ ...base(), data: { ...base().data, ...data } })).not.toBe(fingerprint(base()));
    },
  );
});
