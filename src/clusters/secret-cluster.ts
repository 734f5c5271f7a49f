import { createHash, X509Certificate } from 'node:crypto';
import { z } from 'zod';
import { errorText } from '../base/failure.ts';
import { Redacted } from '../base/redacted.ts';
import {
  ALIAS_ANNOTATION,
  CREDENTIAL_TYPE_LABEL,
  ENDPOINT_TYPE_LABEL,
  HEALTHY_ANNOTATION,
  HEALTHY_REASON_ANNOTATION,
  LOCAL_CLUSTER,
} from './cluster.ts';
import type {
  ClusterFacts,
  ClusterHealth,
  ClusterRecord,
  Credential,
  Endpoint,
  EndpointAddress,
  ExecConfig,
  ServerTrust,
} from './cluster.ts';
import { execPluginProblem } from './exec-plugin-policy.ts';
import { readIdentityRules } from './identity-document.ts';
import { IDENTITY_RULES_ANNOTATION } from './identity-rules.ts';
import type { Secret } from './secret.ts';
import { checkKeyPair, validityOfCertificate, validityOfToken } from './validity.ts';

export interface SecretClusterOptions {
  /** Refuses a Secret without a CA instead of connecting unverified (`--require-cluster-ca`). */
  readonly requireCa: boolean;
  /** Commands that Secrets may have run (`--exec-plugin-allowlist`): names, absolute paths, or `*` for any. */
  readonly execPluginAllowlist: readonly string[];
}

/** Why a Secret is no usable cluster; becomes a RejectedCluster, never leaves this file. */
class Rejection extends Error {
  readonly reason: string;
  constructor(reason: string, message: string) {
    super(message);
    this.reason = reason;
  }
}

/**
 * Makes a cluster of a labelled Secret (contract kubevela.md 2.1). Pure: runs no plugin, opens no connection. Whatever
 * cannot be read makes this one cluster rejected, with the reason in it.
 */
export function clusterFromSecret(secret: Secret, options: SecretClusterOptions): ClusterRecord {
  const facts = factsOf(secret);
  try {
    checkName(facts.name);
    const endpoint = endpointOf(secret, facts, options);
    const credential = credentialOf(secret, facts, options);
    const rules = secret.metadata.annotations?.[IDENTITY_RULES_ANNOTATION];
    return {
      type: 'accepted',
      ...facts,
      endpoint,
      credential,
      accessFingerprint: fingerprint(endpoint, credential),
      ...(rules === undefined ? {} : { identityRules: readIdentityRules(rules, facts.name) }),
    };
  } catch (error) {
    const reason = error instanceof Rejection ? error.reason : 'InvalidSecret';
    // The address may hold what it was rejected for: a password in its userinfo.
    return { type: 'rejected', ...facts, endpointUrl: undefined, reason, message: errorText(error) };
  }
}

function factsOf({ metadata, data }: Secret): ClusterFacts {
  const labels = metadata.labels ?? {};
  const annotations = metadata.annotations ?? {};
  return {
    name: metadata.name,
    alias: annotations[ALIAS_ANNOTATION] ?? '',
    creationTimestamp: metadata.creationTimestamp ?? undefined,
    resourceVersion: metadata.resourceVersion ?? '',
    labels: Object.fromEntries(
      Object.entries(labels).filter(([key]) => !key.startsWith('cluster.core.oam.dev/')),
    ),
    credentialType: labels[CREDENTIAL_TYPE_LABEL] ?? '',
    endpointType: labels[ENDPOINT_TYPE_LABEL] ?? 'Const',
    hasEndpointType: labels[ENDPOINT_TYPE_LABEL] !== undefined,
    endpointUrl: endpointText(data.endpoint?.reveal()),
    health: healthOf(annotations),
  };
}

/** What Go's strconv.ParseBool takes. Anything else is unhealthy: whoever wrote it may have meant either. */
function healthOf(annotations: Readonly<Record<string, string>>): ClusterHealth | undefined {
  const text = annotations[HEALTHY_ANNOTATION];
  if (text === undefined) return undefined;
  const reason = annotations[HEALTHY_REASON_ANNOTATION] ?? '';
  if (/^(?:1|t|T|TRUE|true|True)$/.test(text)) return { healthy: true, reason };
  if (/^(?:0|f|F|FALSE|false|False)$/.test(text)) return { healthy: false, reason };
  return { healthy: false, reason: `the annotation ${HEALTHY_ANNOTATION} is neither true nor false` };
}

function checkName(name: string): void {
  if (name === LOCAL_CLUSTER)
    throw new Rejection('ReservedName', `the name ${LOCAL_CLUSTER} stands for the hub itself`);
}

const endpointText = (value: string | undefined) => value?.replace(/\r?\n$/, '');

function endpointOf(secret: Secret, facts: ClusterFacts, options: SecretClusterOptions): Endpoint {
  if (facts.endpointType === 'ClusterProxy') {
    throw new Rejection(
      'UnsupportedEndpointType',
      'clusters behind a tunnel (endpoint type ClusterProxy) are not served yet',
    );
  }
  if (facts.endpointType !== 'Const') {
    throw new Rejection(
      'UnsupportedEndpointType',
      `unsupported cluster gateway endpoint type ${quoted(facts.endpointType)}`,
    );
  }
  if (!facts.endpointUrl) throw new Rejection('MissingEndpoint', 'missing data key: endpoint');
  const { addresses, basePath } = parseEndpoints(facts.endpointUrl);
  const urlOf = ({ authority }: EndpointAddress) => `https://${authority}${basePath}`;
  const [first, ...others] = addresses;
  const trust = trustOf(secret);
  if (trust.type === 'none' && options.requireCa) {
    throw new Rejection(
      'MissingCA',
      'the Secret has no CA (data key ca.crt), and --require-cluster-ca is set',
    );
  }
  const proxyUrl = proxyUrlOf(secret);
  return {
    url: others.length > 0 ? [first, ...others].map(urlOf).join(',') : facts.endpointUrl,
    ...first,
    ...(others.length > 0 ? { others } : {}),
    basePath,
    trust,
    ...(proxyUrl === undefined ? {} : { proxyUrl: new Redacted(proxyUrl) }),
  };
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
function trustOf({ data }: Secret): ServerTrust {
  const caPem = (data['ca.crt'] ?? data.ca)?.reveal();
  if (caPem === undefined) return { type: 'none' };
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

function credentialOf(secret: Secret, facts: ClusterFacts, options: SecretClusterOptions): Credential {
  switch (facts.credentialType) {
    case 'ServiceAccountToken':
      return tokenCredential(secret);
    case 'X509Certificate':
      return certificateCredential(secret);
    case 'Dynamic':
      return execCredential(secret, options);
    default:
      throw new Rejection(
        'UnsupportedCredentialType',
        `unsupported cluster credential type ${quoted(facts.credentialType)}`,
      );
  }
}

function required({ data }: Secret, key: string): string {
  const value = data[key]?.reveal();
  if (value === undefined || value === '')
    throw new Rejection('MissingCredential', `missing secret data key: ${key}`);
  return value;
}

function tokenCredential(secret: Secret): Credential {
  const token = required(secret, 'token').trim();
  // A token with a line end in it would be a header line of its own.
  if (!/^[\x21-\x7e]+$/.test(token))
    throw new Rejection('InvalidCredential', 'the token is empty or holds characters that no header may');
  const validity = validityOfToken(token);
  return {
    type: 'ServiceAccountToken',
    authorization: new Redacted(`Bearer ${token}`),
    ...(validity ? { validity } : {}),
  };
}

function certificateCredential(secret: Secret): Credential {
  const certificatePem = required(secret, 'tls.crt');
  const privateKeyPem = required(secret, 'tls.key');
  const pair = checkKeyPair(certificatePem, privateKeyPem);
  switch (pair.type) {
    case 'good': {
      const { validity } = pair;
      return {
        type: 'X509Certificate',
        certificatePem,
        privateKeyPem: new Redacted(privateKeyPem),
        validity,
      };
    }
    case 'unreadable-certificate':
      throw invalidCredential('the client certificate (data key tls.crt) cannot be read');
    case 'unreadable-key':
      throw invalidCredential('the private key (data key tls.key) cannot be read');
    case 'mismatch':
      throw invalidCredential('the private key does not belong to the client certificate');
  }
}

const invalidCredential = (message: string) => new Rejection('InvalidCredential', message);

function readCa(pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch {
    throw new Rejection('InvalidCA', 'the CA (data key ca.crt) cannot be read');
  }
}

const execShape = z.object({
  apiVersion: z.enum(['client.authentication.k8s.io/v1', 'client.authentication.k8s.io/v1beta1']),
  command: z.string().min(1),
  args: z.array(z.string()).nullish(),
  env: z.array(z.object({ name: z.string().min(1), value: z.string() })).nullish(),
  provideClusterInfo: z.boolean().nullish(),
  interactiveMode: z.enum(['Never', 'IfAvailable', '']).nullish(),
});

function execCredential(secret: Secret, { execPluginAllowlist }: SecretClusterOptions): Credential {
  const text = required(secret, 'exec');
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new Rejection('InvalidCredential', 'failed to decode exec config JSON from secret data');
  }
  const result = execShape.safeParse(parsed);
  if (!result.success) {
    const fields = result.error.issues.map((issue) => issue.path.join('.') || 'exec').join(', ');
    throw new Rejection('InvalidCredential', `the exec config is missing or has wrong values in: ${fields}`);
  }
  const { apiVersion, command, args, env, provideClusterInfo } = result.data;
  const exec: ExecConfig = {
    apiVersion,
    command,
    args: args ?? [],
    env: env ?? [],
    provideClusterInfo: provideClusterInfo ?? false,
  };
  const problem = execPluginProblem(exec, execPluginAllowlist);
  if (problem !== undefined) throw new Rejection('ExecPluginNotAllowed', problem);
  return { type: 'Dynamic', exec: new Redacted(exec), fingerprint: sha256(text) };
}

function fingerprint(endpoint: Endpoint, credential: Credential): string {
  const tls =
    credential.type === 'X509Certificate'
      ? [credential.certificatePem, sha256(credential.privateKeyPem.reveal())]
      : [credential.type];
  const { host, port, trust, proxyUrl, others = [] } = endpoint;
  const more = others.length > 0 ? [others] : [];
  return sha256(JSON.stringify([host, port, trust, proxyUrl?.reveal() ?? null, tls, ...more]));
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const quoted = (text: string) => JSON.stringify(text.slice(0, 200));
