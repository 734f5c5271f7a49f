import { issueCertificate } from '../../src/pki/issue.ts';
import { throughTunnel } from '../tunnel/world-tunnel.ts';
import type { KubeWorld } from '../worlds/kube.ts';
import type { ClusterSecret } from '../worlds/register.ts';

/** A Secret that is no usable cluster, and why. */
export interface RejectedSecret extends ClusterSecret {
  readonly reason: string;
  readonly message: RegExp;
}

interface Case {
  readonly reason: string;
  readonly message: RegExp;
  readonly type?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** Instead of what a good Secret has; undefined leaves a key out. */
  readonly data?: Values;
}

type Values = Readonly<Record<string, string | undefined>>;

/** Whatever stands here must not be repeated to anybody. */
export const marker = 'm4rker';

const exec = (config: object): Values => ({ exec: JSON.stringify(config) });
const v1 = 'client.authentication.k8s.io/v1';

/** By the name of the Secret; all others of its values are good. */
const cases: Readonly<Record<string, Case>> = {
  'label-unknown': { type: 'Kerberos', reason: 'UnsupportedCredentialType', message: /"Kerberos"/ },
  'label-empty': { type: '', reason: 'UnsupportedCredentialType', message: /type ""/ },
  'endpoint-type': {
    labels: { 'cluster.core.oam.dev/cluster-endpoint-type': 'Pigeon' },
    reason: 'UnsupportedEndpointType',
    message: /unsupported cluster gateway endpoint type "Pigeon"/,
  },
  'endpoint-tunnel': {
    labels: { 'cluster.core.oam.dev/cluster-endpoint-type': 'ClusterProxy' },
    data: { 'ca.crt': undefined },
    reason: throughTunnel ? 'MissingCA' : 'TunnelNotConfigured',
    message: /ClusterProxy/,
  },
  'endpoint-missing': { data: { endpoint: undefined }, reason: 'MissingEndpoint', message: /endpoint/ },
  'endpoint-empty': { data: { endpoint: '\n' }, reason: 'MissingEndpoint', message: /endpoint/ },
  'endpoint-words': { data: { endpoint: 'not a url' }, reason: 'InvalidEndpoint', message: /not a URL/ },
  'endpoint-plain': { data: { endpoint: 'http://127.0.0.1:1' }, reason: 'InvalidEndpoint', message: /https/ },
  'endpoint-file': { data: { endpoint: 'file:///etc/passwd' }, reason: 'InvalidEndpoint', message: /https/ },
  'endpoint-user': {
    data: { endpoint: `https://admin:${marker}@127.0.0.1:1` },
    reason: 'InvalidEndpoint',
    message: /userinfo/,
  },
  'endpoint-query': {
    data: { endpoint: 'https://127.0.0.1:1/?a=b' },
    reason: 'InvalidEndpoint',
    message: /query/,
  },
  'endpoint-port': {
    data: { endpoint: 'https://127.0.0.1:99999' },
    reason: 'InvalidEndpoint',
    message: /URL/,
  },
  'ca-words': { data: { 'ca.crt': 'no certificate' }, reason: 'InvalidCA', message: /ca\.crt/ },
  'ca-broken': {
    data: { 'ca.crt': '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n' },
    reason: 'InvalidCA',
    message: /ca\.crt/,
  },
  'token-missing': { data: { token: undefined }, reason: 'MissingCredential', message: /key: token/ },
  'token-lines': { data: { token: `a\r\nX-Evil: ${marker}` }, reason: 'InvalidCredential', message: /token/ },
  'token-bytes': { data: { token: `${marker}\u0000é` }, reason: 'InvalidCredential', message: /token/ },
  'cert-missing': { type: 'X509Certificate', reason: 'MissingCredential', message: /tls\.crt/ },
  'cert-words': {
    type: 'X509Certificate',
    data: { 'tls.crt': marker, 'tls.key': marker },
    reason: 'InvalidCredential',
    message: /tls\.crt/,
  },
  'exec-missing': { type: 'Dynamic', reason: 'MissingCredential', message: /key: exec/ },
  'exec-words': {
    type: 'Dynamic',
    data: { exec: `{${marker}` },
    reason: 'InvalidCredential',
    message: /JSON/,
  },
  'exec-list': { type: 'Dynamic', data: { exec: '[]' }, reason: 'InvalidCredential', message: /exec/ },
  'exec-version': {
    type: 'Dynamic',
    data: exec({ apiVersion: 'client.authentication.k8s.io/v1alpha1', command: '/bin/true' }),
    reason: 'InvalidCredential',
    message: /apiVersion/,
  },
  'exec-command': {
    type: 'Dynamic',
    data: exec({ apiVersion: v1 }),
    reason: 'InvalidCredential',
    message: /command/,
  },
  'proxy-url': {
    data: { 'proxy-url': `ftp://a:${marker}@127.0.0.1` },
    reason: 'InvalidProxyURL',
    message: /proxy-url/,
  },
};

/** All kinds of them; the endpoint of each is a good cluster unless that is what is wrong. */
export async function rejectedSecrets({ a }: KubeWorld): Promise<readonly RejectedSecret[]> {
  const [one, other] = await Promise.all(
    ['one', 'other'].map((commonName) => issueCertificate({ commonName })),
  );
  const mismatched = { 'tls.crt': one?.certificatePem, 'tls.key': other?.privateKeyPem };
  const all: Readonly<Record<string, Case>> = {
    ...cases,
    'key-broken': {
      type: 'X509Certificate',
      data: {
        ...mismatched,
        'tls.key': `-----BEGIN PRIVATE KEY-----\n${marker}\n-----END PRIVATE KEY-----\n`,
      },
      reason: 'InvalidCredential',
      message: /tls\.key/,
    },
    'key-mismatched': {
      type: 'X509Certificate',
      data: mismatched,
      reason: 'InvalidCredential',
      message: /does not belong/,
    },
  };
  return Object.entries(all).map(([name, { reason, message, type, labels, data }]) => {
    const values: Values = { endpoint: a.url, 'ca.crt': a.caPem, token: 'x', ...data };
    return {
      name: `bad-${name}`,
      labels: { 'cluster.core.oam.dev/cluster-credential-type': type ?? 'ServiceAccountToken', ...labels },
      data: Object.fromEntries(
        Object.entries(values).flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])),
      ),
      reason,
      message,
    };
  });
}
