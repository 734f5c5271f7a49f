import 'reflect-metadata';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';
import type { Extension, JsonGeneralName, JsonName, JsonNameParams } from '@peculiar/x509';
import { createPrivateKey, randomBytes, webcrypto } from 'node:crypto';
import type {
  CertificateContent,
  CertificateProfile,
  CertificateUsage,
  IssuedCertificate,
} from './certificate-profile.ts';
import { issueRsaCertificate } from './issue-rsa.ts';

export type { CertificateProfile, CertificateUsage, IssuedCertificate } from './certificate-profile.ts';

export interface IssueOptions {
  /** Who signs; without one the certificate is signed by its own key. */
  readonly issuer?: IssuedCertificate;
  /** The kind of the new key: EC P-256 (default) or RSA 2048. */
  readonly algorithm?: 'ec' | 'rsa';
}

const clockSkewMs = 5 * 60_000;
const dayMs = 86_400_000;
const usageOids: Record<CertificateUsage, string> = {
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
};

/**
 * Makes a key pair and a certificate for it.
 *
 * @example
 * const ca = await issueCertificate({ commonName: 'my-ca', ca: true });
 * const jane = await issueCertificate(
 *   { commonName: 'jane', organizations: ['dev'], usages: ['clientAuth'] },
 *   { issuer: ca },
 * );
 */
export async function issueCertificate(
  profile: CertificateProfile,
  options: IssueOptions = {},
): Promise<IssuedCertificate> {
  const content: CertificateContent = {
    profile,
    validity: validityOf(profile, Date.now()),
    serialNumber: randomSerial(),
  };
  const algorithm = options.algorithm ?? 'ec';
  // node-forge knows no EC key, neither as the subject's nor as the issuer's.
  if (algorithm === 'rsa' && (!options.issuer || isRsa(options.issuer)))
    return issueRsaCertificate(content, options.issuer);
  return issueByWebCrypto(content, algorithm, options.issuer);
}

function validityOf(profile: CertificateProfile, nowMs: number): CertificateContent['validity'] {
  const days = profile.validDays ?? (profile.ca ? 3650 : 365);
  return {
    notBefore: profile.notBefore ?? new Date(nowMs - clockSkewMs),
    notAfter: profile.notAfter ?? new Date(nowMs + days * dayMs),
  };
}

/** 128 random bits; the first octet is 0x40 to 0x7f, so the DER integer is positive and never shortened (RFC 5280 §4.1.2.2). */
function randomSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes.toString('hex');
}

function isRsa(issuer: IssuedCertificate): boolean {
  return createPrivateKey(issuer.privateKeyPem).asymmetricKeyType === 'rsa';
}

async function issueByWebCrypto(
  content: CertificateContent,
  algorithm: 'ec' | 'rsa',
  issuer: IssuedCertificate | undefined,
): Promise<IssuedCertificate> {
  const { profile, validity, serialNumber } = content;
  const keys = await generateKeys(algorithm);
  const issuerCertificate = issuer && new X509Certificate(issuer.certificatePem);
  const certificate = await X509CertificateGenerator.create({
    serialNumber,
    subject: subjectOf(profile),
    issuer: issuerCertificate?.subjectName ?? subjectOf(profile),
    ...validity,
    publicKey: keys.publicKey,
    signingKey: issuer ? await importSigningKey(issuer.privateKeyPem) : keys.privateKey,
    extensions: [
      ...extensionsOf(profile, algorithm),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
      await authorityKeyIdentifier(issuerCertificate, keys.publicKey),
    ],
  });
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey));
  return {
    certificatePem: `${certificate.toString('pem').trimEnd()}\n`,
    privateKeyPem: pemOf('PRIVATE KEY', pkcs8),
  };
}

/** What the issuer calls its key, when it does: an authority is free in how it computes that name (RFC 5280 §4.2.1.2). */
function authorityKeyIdentifier(
  issuer: X509Certificate | undefined,
  ownKey: webcrypto.CryptoKey,
): Promise<AuthorityKeyIdentifierExtension> {
  const keyId = issuer?.getExtension(SubjectKeyIdentifierExtension)?.keyId;
  if (keyId === undefined) return AuthorityKeyIdentifierExtension.create(issuer?.publicKey ?? ownKey);
  return Promise.resolve(new AuthorityKeyIdentifierExtension(keyId));
}

const ecAlgorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const rsaAlgorithm = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' };

function generateKeys(algorithm: 'ec' | 'rsa'): Promise<webcrypto.CryptoKeyPair> {
  if (algorithm === 'ec') return webcrypto.subtle.generateKey(ecAlgorithm, true, ['sign', 'verify']);
  const parameters = { ...rsaAlgorithm, modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]) };
  return webcrypto.subtle.generateKey(parameters, true, ['sign', 'verify']);
}

const webCurves: Record<string, string> = { prime256v1: 'P-256', secp384r1: 'P-384', secp521r1: 'P-521' };

/** Takes the key in any form that OpenSSL reads, PKCS#1 and SEC1 included. */
function importSigningKey(privateKeyPem: string): Promise<webcrypto.CryptoKey> {
  const key = createPrivateKey(privateKeyPem);
  const pkcs8 = key.export({ format: 'der', type: 'pkcs8' });
  const namedCurve = webCurves[key.asymmetricKeyDetails?.namedCurve ?? ''];
  const algorithm = namedCurve === undefined ? rsaAlgorithm : { ...ecAlgorithm, namedCurve };
  return webcrypto.subtle.importKey('pkcs8', pkcs8, algorithm, false, ['sign']);
}

/** As `{ utf8String }`: a plain string would be read for quotes, backslashes and a leading #. */
function subjectOf(profile: CertificateProfile): JsonName {
  const names: JsonNameParams = [
    ...(profile.organizations ?? []).map((organization) => ({ O: [{ utf8String: organization }] })),
    ...(profile.commonName === '' ? [] : [{ CN: [{ utf8String: profile.commonName }] }]),
  ];
  return names as JsonName;
}

function extensionsOf(profile: CertificateProfile, algorithm: 'ec' | 'rsa'): Extension[] {
  const extensions: Extension[] = [
    new BasicConstraintsExtension(profile.ca ?? false, undefined, true),
    // eslint-disable-next-line @typescript-eslint/no-unsafe-enum-assignment -- flags joined by | are a number
    new KeyUsagesExtension(keyUsageFlags(profile, algorithm), true),
  ];
  if (profile.usages?.length)
    extensions.push(new ExtendedKeyUsageExtension(profile.usages.map((usage) => usageOids[usage])));
  const names: JsonGeneralName[] = [
    ...(profile.dnsNames ?? []).map((value) => ({ type: 'dns' as const, value })),
    ...(profile.ipAddresses ?? []).map((value) => ({ type: 'ip' as const, value })),
  ];
  if (names.length > 0) extensions.push(new SubjectAlternativeNameExtension(names));
  return extensions;
}

function keyUsageFlags(profile: CertificateProfile, algorithm: 'ec' | 'rsa'): number {
  if (profile.ca) return KeyUsageFlags.digitalSignature | KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign;
  // Only RSA can encipher a key; TLS 1.2 without (EC)DHE is where it is asked for.
  return algorithm === 'rsa'
    ? KeyUsageFlags.digitalSignature | KeyUsageFlags.keyEncipherment
    : KeyUsageFlags.digitalSignature;
}

function pemOf(label: string, der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}
