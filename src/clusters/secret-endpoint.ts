import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { Redacted } from '../base/redacted.ts';
import type { ClusterFacts, Endpoint, EndpointAddress, ServerTrust } from './cluster.ts';
import { Rejection, quoted } from './rejection.ts';
import type { Secret } from './secret.ts';
import { validityOfCertificate } from './validity.ts';

export interface SecretEndpointOptions {
  /** Refuses a Secret without a CA instead of connecting unverified (`--require-cluster-ca`). */
  readonly requireCa: boolean;
  /** Undefined: the gateway has no tunnel, and clusters behind one are refused. */
  readonly tunnel?:
    | {
        /** Takes a cluster behind the tunnel whose Secret has no CA (`--tunnel-allow-unverified`). */
        readonly allowUnverified: boolean;
      }
    | undefined;
}

/** Reads where a cluster is, and how its certificate is judged. Throws a Rejection. */
export function endpointOf(secret: Secret, facts: ClusterFacts, options: SecretEndpointOptions): Endpoint {
  switch (facts.endpointType) {
    case 'Const':
      return constEndpoint(secret, facts, options);
    case 'ClusterProxy':
      return tunnelEndpoint(secret, facts, options);
    default:
      throw new Rejection(
        'UnsupportedEndpointType',
        `unsupported cluster gateway endpoint type ${quoted(facts.endpointType)}`,
      );
  }
}

function constEndpoint(secret: Secret, facts: ClusterFacts, options: SecretEndpointOptions): Endpoint {
  if (!facts.endpointUrl) throw new Rejection('MissingEndpoint', 'missing data key: endpoint');
  const { addresses, basePath } = parseEndpoints(facts.endpointUrl);
  const urlOf = ({ authority }: EndpointAddress) => `https://${authority}${basePath}`;
  const [first, ...others] = addresses;
  const trust = trustOf(secret, options);
  const proxyUrl = proxyUrlOf(secret);
  return {
    type: 'Const',
    url: others.length > 0 ? [first, ...others].map(urlOf).join(',') : facts.endpointUrl,
    ...first,
    ...(others.length > 0 ? { others } : {}),
    basePath,
    trust,
    ...(proxyUrl === undefined ? {} : { proxyUrl: new Redacted(proxyUrl) }),
  };
}

/** Every API server's certificate is for it (kubeadm, and whatever else wants its own pods to reach it). */
const inClusterName = 'kubernetes.default.svc';
const serverNameKey = 'tls-server-name';

/**
 * Behind the tunnel a cluster is found by its name, which is what its agent is asked to connect to; `endpoint` says nothing
 * there, as in the Go gateway. The name is in no certificate: what answers is the cluster's API server as its own pods
 * know it. An agent that claims to be another cluster's is found out by that alone, so a CA is not left to chance.
 */
function tunnelEndpoint(secret: Secret, { name }: ClusterFacts, options: SecretEndpointOptions): Endpoint {
  if (!options.tunnel)
    throw new Rejection(
      'TunnelNotConfigured',
      'the cluster is behind a tunnel (endpoint type ClusterProxy), and the gateway has none: see --proxy-host',
    );
  if (secret.data['proxy-url']?.reveal().trim())
    throw new Rejection(
      'UnsupportedProxyURL',
      'a cluster behind a tunnel (endpoint type ClusterProxy) is not reached through a proxy: the data key proxy-url must go',
    );
  const trust = trustOf(secret, options);
  if (trust.type === 'none' && !options.tunnel.allowUnverified)
    throw new Rejection(
      'MissingCA',
      'the Secret has no CA (data key ca.crt): behind a tunnel (endpoint type ClusterProxy) it is what tells the cluster from others; see --tunnel-allow-unverified',
    );
  return {
    type: 'ClusterProxy',
    url: `https://${name}`,
    ...{ host: name, port: 443, authority: name, basePath: '' },
    serverName: serverNameOf(secret),
    trust,
  };
}

/** As `tls-server-name` of a kubeconfig. */
function serverNameOf({ data }: Secret): string {
  const text = data[serverNameKey]?.reveal().trim() ?? '';
  if (text === '') return inClusterName;
  const isName = /^(?:[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/i.test(
    text,
  );
  if ((!isName || text.length > 253) && isIP(text) === 0)
    throw new Rejection(
      'InvalidServerName',
      `the data key ${serverNameKey} is neither a DNS name nor an IP address`,
    );
  return text;
}

/** So many API servers has no cluster; each has connections of its own. */
const maxEndpoints = 16;

/** One URL, or several between commas and line ends, which then differ in their host and port alone. */
function parseEndpoints(text: string): {
  addresses: readonly [EndpointAddress, ...EndpointAddress[]];
  basePath: string;
} {
  const texts = text.split(/[,\n]/).map((each) => each.trim());
  const urls = texts.filter((each) => each !== '').map(parseEndpoint);
  const [first, ...others] = new Map(urls.map((url) => [url.host, url])).values();
  if (!first) throw new Rejection('MissingEndpoint', 'missing data key: endpoint');
  if (others.length >= maxEndpoints)
    throw new Rejection('InvalidEndpoint', `there must be no more than ${maxEndpoints} endpoints`);
  const basePath = basePathOf(first);
  if (urls.some((each) => basePathOf(each) !== basePath))
    throw new Rejection('InvalidEndpoint', 'the endpoints of one cluster must have the same path');
  return { addresses: [addressOf(first), ...others.map(addressOf)], basePath };
}

const basePathOf = ({ pathname }: URL) => pathname.replace(/\/+$/, '');

const addressOf = ({ hostname, port, host }: URL): EndpointAddress => ({
  host: hostname.replace(/^\[|\]$/g, ''),
  port: port === '' ? 443 : Number(port),
  authority: host,
});

function parseEndpoint(text: string): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    // What stands before an @ may be a password.
    const shown = text.includes('@') ? '' : ` ${quoted(text)}`;
    throw new Rejection('InvalidEndpoint', `the endpoint${shown} is not a URL`);
  }
  if (url.protocol !== 'https:') throw new Rejection('InvalidEndpoint', 'the endpoint must be an https URL');
  // Userinfo would be a credential in a place that is shown; a query or fragment would mix with the caller's.
  if (url.username !== '' || url.password !== '')
    throw new Rejection('InvalidEndpoint', 'the endpoint must not have userinfo');
  if (url.search !== '' || url.hash !== '') {
    throw new Rejection('InvalidEndpoint', 'the endpoint must not have a query or a fragment');
  }
  return url;
}

/** Both keys absent: not verified, as existing Secrets rely on it. Present but empty: the system's CAs. */
function trustOf({ data }: Secret, { requireCa }: SecretEndpointOptions): ServerTrust {
  const caPem = (data['ca.crt'] ?? data.ca)?.reveal();
  if (caPem === undefined) {
    if (!requireCa) return { type: 'none' };
    throw new Rejection(
      'MissingCA',
      'the Secret has no CA (data key ca.crt), and --require-cluster-ca is set',
    );
  }
  if (caPem.trim() === '') return { type: 'system' };
  const blocks = caPem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0)
    throw new Rejection('InvalidCA', 'the CA (data key ca.crt) holds no PEM certificate');
  const [first, ...others] = blocks.map((block) => validityOfCertificate(readCa(block)));
  const lasting = others.reduce((left, right) => (right.until > (left?.until ?? 0) ? right : left), first);
  return { type: 'ca', caPem, ...(lasting ? { validity: lasting } : {}) };
}

function proxyUrlOf({ data }: Secret): string | undefined {
  const text = data['proxy-url']?.reveal().trim();
  if (!text) return undefined;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  // The text itself is not repeated: it may hold a password.
  if (!url || !['http:', 'https:', 'socks5:', 'socks5h:'].includes(url.protocol) || url.hostname === '') {
    throw new Rejection('InvalidProxyURL', 'the data key proxy-url must be an http, https or socks5 URL');
  }
  return text;
}

function readCa(pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch {
    throw new Rejection('InvalidCA', 'the CA (data key ca.crt) cannot be read');
  }
}
