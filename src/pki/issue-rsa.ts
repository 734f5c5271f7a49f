import forge from 'node-forge';
import { createPrivateKey, generateKeyPair } from 'node:crypto';
import { promisify } from 'node:util';
import type { CertificateContent, IssuedCertificate } from './certificate-profile.ts';

/** Makes an RSA 2048 certificate, signed with SHA-256 by an RSA issuer or by itself. */
export async function issueRsaCertificate(
  content: CertificateContent,
  issuer: IssuedCertificate | undefined,
): Promise<IssuedCertificate> {
  // OpenSSL's key generation: forge's own blocks the process for a second or more.
  const pair = await promisify(generateKeyPair)('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  const { profile, validity, serialNumber } = content;
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = forge.pki.publicKeyFromPem(pair.publicKey);
  certificate.serialNumber = serialNumber;
  certificate.validity.notBefore = validity.notBefore;
  certificate.validity.notAfter = validity.notAfter;
  certificate.setSubject([
    ...(profile.organizations ?? []).map((value) => utf8Attribute('organizationName', value)),
    ...(profile.commonName === '' ? [] : [utf8Attribute('commonName', profile.commonName)]),
  ]);
  const issuerCertificate = issuer && forge.pki.certificateFromPem(issuer.certificatePem);
  certificate.setIssuer(certificate.subject.attributes);
  certificate.setExtensions([
    ...extensionsOf(profile),
    { name: 'subjectKeyIdentifier' },
    { name: 'authorityKeyIdentifier', keyIdentifier: keyIdentifier(issuerCertificate ?? certificate) },
  ]);
  const key = issuer ? signingKey(issuer.privateKeyPem) : forge.pki.privateKeyFromPem(pair.privateKey);
  certificate.sign(key, forge.md.sha256.create());
  if (issuerCertificate) signAgainForIssuer(certificate, issuerCertificate, key);
  return {
    certificatePem: forge.pki.certificateToPem(certificate).replaceAll('\r', ''),
    privateKeyPem: pair.privateKey,
  };
}

// forge's types know only tag classes here; its code reads a tag.
const utf8Tag = forge.asn1.Type.UTF8 as unknown as forge.asn1.Class;

function utf8Attribute(name: string, value: string): forge.pki.CertificateField {
  return { name, value, valueTagClass: utf8Tag };
}

/**
 * Puts the issuer's name in as the issuer wrote it, for a chain is compared by it. forge itself would encode UTF-8
 * twice, as it does not decode what it reads, and tear apart a component that has several values.
 */
function signAgainForIssuer(
  certificate: forge.pki.Certificate,
  issuer: forge.pki.Certificate,
  key: forge.pki.rsa.PrivateKey,
): void {
  const name = sequencesOf(issuer)[3];
  const place = sequencesOf(certificate)[1];
  if (!name || !place) throw new Error('the certificate of the issuer has no subject');
  place.value = name.value;
  const digest = forge.md.sha256.create();
  digest.update(forge.asn1.toDer(certificate.tbsCertificate).getBytes());
  certificate.signature = key.sign(digest);
}

/** Of a TBSCertificate: signature algorithm, issuer, validity, subject and so on (RFC 5280 §4.1). */
function sequencesOf(certificate: forge.pki.Certificate): forge.asn1.Asn1[] {
  const fields = certificate.tbsCertificate.value;
  if (typeof fields === 'string') return [];
  return fields.filter((field) => field.type === forge.asn1.Type.SEQUENCE);
}

/** What the issuer calls its key, when it does: an authority is free in how it computes that name (RFC 5280 §4.2.1.2). */
function keyIdentifier(issuer: forge.pki.Certificate): string {
  const extension: unknown = issuer.getExtension('subjectKeyIdentifier');
  if (hasKeyIdentifier(extension)) return forge.util.hexToBytes(extension.subjectKeyIdentifier);
  return forge.pki.getPublicKeyFingerprint(issuer.publicKey, { type: 'RSAPublicKey' }).getBytes();
}

function hasKeyIdentifier(extension: unknown): extension is { subjectKeyIdentifier: string } {
  return (
    typeof extension === 'object' &&
    extension !== null &&
    'subjectKeyIdentifier' in extension &&
    typeof extension.subjectKeyIdentifier === 'string'
  );
}

/** By way of OpenSSL, which reads PKCS#1 and PKCS#8. */
function signingKey(privateKeyPem: string): forge.pki.rsa.PrivateKey {
  const pkcs1 = createPrivateKey(privateKeyPem).export({ format: 'pem', type: 'pkcs1' });
  return forge.pki.privateKeyFromPem(pkcs1.toString());
}

function extensionsOf(profile: CertificateContent['profile']): object[] {
  const ca = profile.ca ?? false;
  const extensions: object[] = [
    { name: 'basicConstraints', cA: ca, critical: true },
    ca
      ? { name: 'keyUsage', digitalSignature: true, keyCertSign: true, cRLSign: true, critical: true }
      : { name: 'keyUsage', digitalSignature: true, keyEncipherment: true, critical: true },
  ];
  if (profile.usages?.length)
    extensions.push({
      name: 'extKeyUsage',
      ...Object.fromEntries(profile.usages.map((usage) => [usage, true])),
    });
  const altNames = [
    ...(profile.dnsNames ?? []).map((value) => ({ type: 2, value })),
    ...(profile.ipAddresses ?? []).map((ip) => ({ type: 7, ip })),
  ];
  if (altNames.length > 0) extensions.push({ name: 'subjectAltName', altNames });
  return extensions;
}
