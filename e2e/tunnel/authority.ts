import { X509Certificate } from 'node:crypto';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { type CertificateProfile, type IssuedCertificate, issueCertificate } from '../../src/pki/issue.ts';
import type { PortCertificates } from './certificates.ts';

/** Signs what one port of a tunnel's server shows, and its clients. */
export interface Authority {
  readonly certificatePem: string;
  /** For servers on loopback. */
  server(profile?: Partial<CertificateProfile>): Promise<IssuedCertificate>;
  client(profile?: Partial<CertificateProfile>): Promise<IssuedCertificate>;
}

export interface PairFiles {
  readonly certificateFile: string;
  readonly keyFile: string;
}

const hourMs = 3_600_000;
/** Times of a certificate's validity (RFC 5280 §4.1.2.5) that now is not in. */
export const validities = {
  expired: () => ({ notBefore: new Date(Date.now() - 2 * hourMs), notAfter: new Date(Date.now() - hourMs) }),
  'not yet valid': () => ({
    notBefore: new Date(Date.now() + hourMs),
    notAfter: new Date(Date.now() + 2 * hourMs),
  }),
} as const;

/** Makes an authority of its own; each has another name. */
export async function createAuthority(commonName: string): Promise<Authority> {
  const issuer = await issueCertificate({ commonName, ca: true });
  return {
    certificatePem: issuer.certificatePem,
    server: (profile = {}) =>
      issueCertificate(
        {
          ...{ commonName: 'tunnel-server', usages: ['serverAuth'] },
          ...{ dnsNames: ['localhost'], ipAddresses: ['127.0.0.1'], ...profile },
        },
        { issuer },
      ),
    client: (profile = {}) =>
      issueCertificate({ commonName: 'tunnel-client', usages: ['clientAuth'], ...profile }, { issuer }),
  };
}

/** Replaces a file at once as a whole, as whoever rotates certificates does. */
export async function replaceFile(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, text, { mode: 0o600 });
  await rename(`${path}.new`, path);
}

/** Replaces a certificate and its key, one after the other. Gives the serial number as `X509Certificate` has it. */
export async function replacePair(files: PairFiles, pair: IssuedCertificate): Promise<string> {
  await replaceFile(files.keyFile, pair.privateKeyPem);
  await replaceFile(files.certificateFile, pair.certificatePem);
  return serialOf(pair);
}

export function serialOf({ certificatePem }: Pick<IssuedCertificate, 'certificatePem'>): string {
  return new X509Certificate(certificatePem).serialNumber;
}

/** Those of the port's server. */
export function serverFiles(port: PortCertificates): PairFiles {
  return { certificateFile: port.serverCertificateFile, keyFile: port.serverKeyFile };
}

/** Those of the port's clients. */
export function clientFiles(port: PortCertificates): PairFiles {
  return { certificateFile: port.clientCertificateFile, keyFile: port.clientKeyFile };
}

/** Has an authority sign all that a port and its clients show: before anything was started with those of before. `server`: what differs of its certificate. */
export async function reissuePort(
  port: PortCertificates,
  authority: Authority,
  server: Partial<CertificateProfile> = {},
): Promise<void> {
  await replaceFile(port.caFile, authority.certificatePem);
  await replacePair(serverFiles(port), await authority.server(server));
  await replacePair(clientFiles(port), await authority.client());
}

/** Certificates of a port with a client of its own, `name`, whose files are in `folder`. */
export async function ownClient(
  port: PortCertificates,
  {
    folder,
    name,
    pair,
  }: { readonly folder: string; readonly name: string; readonly pair: IssuedCertificate },
): Promise<PortCertificates> {
  const files = { certificateFile: join(folder, `${name}.crt`), keyFile: join(folder, `${name}.key`) };
  await replacePair(files, pair);
  return { ...port, clientCertificateFile: files.certificateFile, clientKeyFile: files.keyFile };
}
