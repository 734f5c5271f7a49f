import type { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';

/**
 * The DNS names that a serving certificate is for: its common name where it can be one, then its alternative names.
 * Addresses are left out: a client asks for names only (k8s.io/apiserver dynamiccertificates/named_certificates.go).
 */
export function namesOf(certificate: X509Certificate): string[] {
  const names = [...commonNamesOf(certificate), ...dnsNamesOf(certificate.subjectAltName ?? '')];
  return [...new Set(names.map((name) => name.toLowerCase()))];
}

const dnsName =
  /^(?=.{1,253}$)(?:\*\.)?[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/i;

function commonNamesOf({ subject }: X509Certificate): string[] {
  const names = subject.split('\n').filter((line) => line.startsWith('CN='));
  return names
    .map((line) => line.slice(3))
    .filter((name) => isIP(name) === 0 && (name === '*' || dnsName.test(name)));
}

/** Node quotes what could be read otherwise (CVE-2021-44532); such a name is no DNS name. */
function dnsNamesOf(subjectAltName: string): string[] {
  return subjectAltName
    .split(', ')
    .filter((entry) => entry.startsWith('DNS:'))
    .map((entry) => entry.slice(4))
    .filter((name) => dnsName.test(name));
}
