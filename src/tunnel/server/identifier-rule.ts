import type { X509Certificate } from 'node:crypto';
import type { AgentIdentifiers } from '../agent-identifiers.ts';

/**
 * Which identifiers an agent may claim. `any`: whatever it says, as the Go server takes it; then only the verification
 * of the cluster's own certificate through the tunnel tells clusters apart. `certificate`: those that its client
 * certificate is made out to, as DNS name, IP address or common name.
 */
export type IdentifierRule = 'any' | 'certificate';

/** The common name of a certificate's subject. */
export function commonNameOf(certificate: X509Certificate | undefined): string | undefined {
  return /^CN=(.*)$/m.exec(certificate?.subject ?? '')?.[1];
}

/** What of the identifiers the certificate does not cover; undefined: all is well. */
export function identifierProblem(
  rule: IdentifierRule,
  identifiers: AgentIdentifiers,
  certificate: X509Certificate | undefined,
): string | undefined {
  if (rule === 'any') return undefined;
  if (!certificate) return 'agent identifiers need a client certificate';
  const { host, ipv4, ipv6, defaultRoute } = identifiers;
  if (defaultRoute) return 'the client certificate does not allow default-route';
  const commonName = commonNameOf(certificate);
  const names = host.filter(
    (name) => name !== commonName && !certificate.checkHost(name, { subject: 'never' }),
  );
  const addresses = [...ipv4, ...ipv6].filter((address) => !certificate.checkIP(address));
  const [first] = [...names, ...addresses];
  return first === undefined
    ? undefined
    : `the client certificate is not made out to the identifier ${JSON.stringify(first)}`;
}
