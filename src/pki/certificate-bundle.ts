import { X509Certificate } from 'node:crypto';

/** What stands in a PEM text with any number of certificates. */
export interface CertificateBundle {
  readonly certificates: readonly X509Certificate[];
  /** How many blocks are marked as certificates and are none. */
  readonly unreadable: number;
}

/** Reads every certificate that can be read; text between the blocks and blocks of other kinds are passed over, as in Go. */
export function readCertificateBundle(pem: string): CertificateBundle {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  const begun = pem.match(/-----BEGIN CERTIFICATE-----/g)?.length ?? 0;
  const certificates = blocks.flatMap(readCertificate);
  return { certificates, unreadable: begun - certificates.length };
}

function readCertificate(block: string): X509Certificate[] {
  try {
    return [new X509Certificate(block)];
  } catch {
    return [];
  }
}
