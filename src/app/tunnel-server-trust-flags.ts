import { file } from './flag.ts';
import type { Flag } from './flag.ts';
import { parseBoolean, parseCipherSuites, parseList, parseTlsVersion } from './go-values.ts';
import { optional } from './tunnel-flag-values.ts';

export function parseIdentifierRule(rule: string): 'any' | 'certificate' {
  if (rule !== 'any' && rule !== 'certificate')
    throw new Error(`${JSON.stringify(rule)} is not any or certificate`);
  return rule;
}

/** Whom the tunnel server trusts, and by what it is trusted. */
export const tunnelServerTrustFlags = {
  'server-ca-cert': {
    group: 'Frontends',
    value: 'file',
    parse: file,
    help: "CA of frontends' certificates, PEM; read again when it changes. Needed with a port: whoever it trusts reaches every cluster.",
  },
  'server-cert': {
    group: 'Frontends',
    value: 'file',
    parse: file,
    help: 'Certificate of the port for frontends with its intermediates, PEM; read again when it changes.',
  },
  'server-key': {
    group: 'Frontends',
    value: 'file',
    parse: file,
    help: 'Private key of it, PEM.',
  },
  'frontend-allowed-names': {
    group: 'Frontends',
    value: 'names',
    default: '',
    parse: parseList,
    joinedBy: ',',
    help: "Common names that frontends' certificates may have; empty: any that the CA signed. Keeps agents out where both have one CA, as with OCM.",
  },
  'cluster-ca-cert': {
    group: 'Agents',
    value: 'file',
    parse: file,
    help: "CA of agents' certificates, PEM; read again when it changes. Best not that of the frontends, or an agent may be one.",
  },
  'cluster-cert': {
    group: 'Agents',
    value: 'file',
    parse: file,
    help: 'Certificate of the port for agents with its intermediates, PEM; read again when it changes.',
  },
  'cluster-key': {
    group: 'Agents',
    value: 'file',
    parse: file,
    help: 'Private key of it, PEM.',
  },
  'bind-agent-identifiers': {
    group: 'Agents',
    value: 'rule',
    default: 'any',
    parse: parseIdentifierRule,
    help: 'What agents may say that they can be reached by: any; or certificate: what their certificates are made out to.',
  },
  'allow-unauthenticated-agents': {
    group: 'Agents',
    value: 'bool',
    default: 'false',
    parse: parseBoolean,
    help: 'Anyone may be an agent, and get the connections of any cluster: neither certificate nor token is asked for.',
  },
  'agent-namespace': {
    group: 'Agents',
    value: 'namespace',
    parse: optional,
    help: 'Agents are known by the token of a service account in this namespace instead of a certificate.',
  },
  'agent-service-account': {
    group: 'Agents',
    value: 'name',
    parse: optional,
    help: 'Name of that service account.',
  },
  'authentication-audience': {
    group: 'Agents',
    value: 'audience',
    parse: optional,
    help: 'Audience that the token must be for.',
  },
  kubeconfig: {
    group: 'Agents',
    value: 'file',
    parse: file,
    help: 'How to reach the API server that knows the tokens (TokenReview); in a pod its service account is the default.',
  },
  'cipher-suites': {
    group: 'TLS',
    value: 'suites',
    default: '',
    parse: parseCipherSuites,
    joinedBy: ',',
    help: "TLS 1.2 cipher suites of both ports by Go's names; empty: those with ECDHE and AEAD.",
  },
  'tls-min-version': {
    group: 'TLS',
    value: 'version',
    default: 'VersionTLS12',
    parse: (version: string) => parseTlsVersion(version || 'VersionTLS12'),
    help: 'VersionTLS12 or VersionTLS13.',
  },
} satisfies Record<string, Flag>;
