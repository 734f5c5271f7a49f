import type { X509Certificate } from 'node:crypto';
import { derContent, derTag, readDerInside, readDerValues, readObjectIdentifier } from './der.ts';
import type { DerValue } from './der.ts';

/** Parts of a certificate that node:crypto does not show, or shows as text that cannot be read back. */
export interface CertificateFields {
  /** OID of the algorithm that the issuer signed with. */
  readonly signatureAlgorithm: string;
  /** In the order of the certificate; the values of one component follow each other. */
  readonly subject: readonly NameAttribute[];
  readonly extensions: readonly CertificateExtension[];
}

export interface NameAttribute {
  readonly oid: string;
  readonly value: DerValue;
}

export interface CertificateExtension {
  readonly oid: string;
  readonly critical: boolean;
  /** DER of what the extension holds. */
  readonly value: Uint8Array;
}

const versionTag = 0xa0;
const extensionsTag = 0xa3;

/** Reads RFC 5280 §4.1. Throws when the certificate is not what that section says. */
export function readCertificateFields(certificate: X509Certificate): CertificateFields {
  const [outer] = readDerValues(certificate.raw);
  const [tbs] = readDerInside(outer, derTag.sequence);
  const all = readDerInside(tbs, derTag.sequence);
  const fields = all[0]?.tag === versionTag ? all.slice(1) : all;
  // serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo, then what is optional.
  const extensions = fields.find((field) => field.tag === extensionsTag);
  const [list] = extensions ? readDerValues(extensions.content) : [];
  return {
    signatureAlgorithm: readObjectIdentifier(readDerInside(fields[1], derTag.sequence)[0]),
    subject: readDerInside(fields[4], derTag.sequence).flatMap(readComponent),
    extensions: list ? readDerInside(list, derTag.sequence).map(readExtension) : [],
  };
}

function readComponent(component: DerValue): NameAttribute[] {
  return readDerInside(component, derTag.set).map((attribute) => {
    const [oid, value] = readDerInside(attribute, derTag.sequence);
    if (!value) throw new Error('DER: a name attribute has no value');
    return { oid: readObjectIdentifier(oid), value };
  });
}

function readExtension(extension: DerValue): CertificateExtension {
  const [oid, ...rest] = readDerInside(extension, derTag.sequence);
  const [first, second] = rest;
  const flagged = first?.tag === derTag.boolean;
  return {
    oid: readObjectIdentifier(oid),
    critical: flagged && first.content[0] !== 0,
    value: derContent(flagged ? second : first, derTag.octetString),
  };
}
