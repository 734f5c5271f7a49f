import { createHash } from 'node:crypto';
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
  ExecConfig,
} from './cluster.ts';
import { execPluginProblem } from './exec-plugin-policy.ts';
import { readIdentityRules } from './identity-document.ts';
import { IDENTITY_RULES_ANNOTATION } from './identity-rules.ts';
import { Rejection, quoted } from './rejection.ts';
import { endpointOf } from './secret-endpoint.ts';
import type { SecretEndpointOptions } from './secret-endpoint.ts';
import type { Secret } from './secret.ts';
import { checkKeyPair, validityOfToken } from './validity.ts';

export interface SecretClusterOptions extends SecretEndpointOptions {
  /** Commands that Secrets may have run (`--exec-plugin-allowlist`): names, absolute paths, or `*` for any. */
  readonly execPluginAllowlist: readonly string[];
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
  const endpointType = labels[ENDPOINT_TYPE_LABEL] ?? 'Const';
  return {
    name: metadata.name,
    alias: annotations[ALIAS_ANNOTATION] ?? '',
    creationTimestamp: metadata.creationTimestamp ?? undefined,
    resourceVersion: metadata.resourceVersion ?? '',
    labels: Object.fromEntries(
      Object.entries(labels).filter(([key]) => !key.startsWith('cluster.core.oam.dev/')),
    ),
    credentialType: labels[CREDENTIAL_TYPE_LABEL] ?? '',
    endpointType,
    hasEndpointType: labels[ENDPOINT_TYPE_LABEL] !== undefined,
    // Behind a tunnel it means nothing, and nobody has looked at what is in it.
    endpointUrl: endpointType === 'ClusterProxy' ? undefined : data.endpoint?.reveal().replace(/\r?\n$/, ''),
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
  const { type, host, port, trust, proxyUrl, others = [], serverName } = endpoint;
  const more = [...(others.length > 0 ? [others] : []), ...(type === 'Const' ? [] : [type, serverName])];
  return sha256(JSON.stringify([host, port, trust, proxyUrl?.reveal() ?? null, tls, ...more]));
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
