import type { X509Certificate } from 'node:crypto';
import { readCertificateFields } from './certificate-fields.ts';
import type { DerValue } from './der.ts';

/** Who a client certificate speaks for, before anything is mapped to a user. */
export interface ClientSubject {
  /** Empty when there is none. */
  readonly commonName: string;
  readonly organizations: readonly string[];
  /** KEP-5018 puts a user's UID into an attribute of the subject. */
  readonly uid?: string;
}

const commonNameOid = '2.5.4.3';
const organizationOid = '2.5.4.10';
const userUidOid = '1.3.6.1.4.1.57683.2';

/**
 * Reads the subject from the DER, for the text that Node gives (`subject`, `getPeerCertificate`) cannot tell a newline
 * or a plus sign in a value from one between values. Agrees with Go's crypto/x509, which kube-apiserver reads with: the
 * last common name counts, and a certificate with a value of an unknown or broken string type is not readable at all.
 *
 * @throws Error when the subject cannot be read, or holds more than one UID or an empty one.
 */
export function clientSubject(certificate: X509Certificate): ClientSubject {
  const attributes = readCertificateFields(certificate).subject.map(({ oid, value }) => ({
    oid,
    text: readString(value),
  }));
  const valuesOf = (wanted: string) => attributes.filter(({ oid }) => oid === wanted).map(({ text }) => text);
  const subject = {
    commonName: valuesOf(commonNameOid).at(-1) ?? '',
    organizations: valuesOf(organizationOid),
  };
  const uids = valuesOf(userUidOid);
  if (uids.length > 1) throw new Error('the subject holds more than one UID');
  const [uid] = uids;
  if (uid === '') throw new Error('the subject holds an empty UID');
  return uid === undefined ? subject : { ...subject, uid };
}

/** Lower-case hex of the certificate's SHA-256, as kube-apiserver writes it into `credential-id: X509SHA256=<hex>`. */
export function fingerprintSha256(certificate: X509Certificate): string {
  return certificate.fingerprint256.replaceAll(':', '').toLowerCase();
}

const universalTag = { utf8: 12, numeric: 18, printable: 19, teletex: 20, ia5: 22, bmp: 30 } as const;

function readString({ tag, content }: DerValue): string {
  switch (tag) {
    case universalTag.utf8:
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(content);
    case universalTag.printable:
      // The star and the ampersand are not in the standard's alphabet but in many certificates, so Go takes them.
      return asciiOf(content, /^[A-Za-z0-9 '()+,\-./:=?*&]*$/);
    case universalTag.numeric:
      return asciiOf(content, /^[0-9 ]*$/);
    case universalTag.ia5:
      return asciiOf(content, /^\p{ASCII}*$/u);
    case universalTag.teletex:
      return Buffer.from(content).toString('latin1');
    case universalTag.bmp:
      return new TextDecoder('utf-16be', { fatal: true, ignoreBOM: true }).decode(content);
    default:
      throw new Error(`the subject holds a value of type ${tag}, which is no string known here`);
  }
}

function asciiOf(content: Uint8Array, alphabet: RegExp): string {
  const text = Buffer.from(content).toString('latin1');
  if (!alphabet.test(text))
    throw new Error('the subject holds characters that its string type does not allow');
  return text;
}
