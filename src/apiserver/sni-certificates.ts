import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { namesOf } from '../pki/certificate-names.ts';

export interface ServingCertificate {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
}

/** A certificate for clients that ask for certain names. */
export interface SniCertificate extends ServingCertificate {
  /** Names such as `example.com` and `*.example.com`, or local addresses; empty: the certificate's own names. */
  readonly names: readonly string[];
}

/**
 * Which certificate has which name: the first that has it counts, and names that were given go before names that are
 * only in a certificate (k8s.io/apiserver dynamiccertificates/named_certificates.go).
 */
export function certificatesByName(
  certificates: readonly SniCertificate[],
): ReadonlyMap<string, ServingCertificate> {
  const found = new Map<string, ServingCertificate>();
  const add = (name: string, certificate: ServingCertificate) => {
    const key = name.toLowerCase();
    if (!found.has(key)) found.set(key, certificate);
  };
  for (const certificate of certificates) for (const name of certificate.names) add(name, certificate);
  for (const certificate of certificates) {
    if (certificate.names.length > 0) continue;
    for (const name of namesOf(new X509Certificate(certificate.certificatePem))) add(name, certificate);
  }
  return found;
}

/** As Go's crypto/tls: the name itself, then a wildcard for its first label. */
export function certificateForName(
  byName: ReadonlyMap<string, ServingCertificate>,
  serverName: string,
): ServingCertificate | undefined {
  const name = serverName.toLowerCase().replace(/\.$/, '');
  return byName.get(name) ?? byName.get(name.replace(/^[^.]*/, '*'));
}

/** The certificate of a local address, for clients that ask for no name. */
export function certificateForAddress(
  byName: ReadonlyMap<string, ServingCertificate>,
  localAddress: string,
): ServingCertificate | undefined {
  const address = localAddress.replace(/^::ffff:(?=\d+\.)/i, '');
  return isIP(address) === 0 ? undefined : byName.get(address);
}
