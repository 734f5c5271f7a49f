import { issueCertificate } from '../../pki/issue.ts';
import type { IssuedCertificate } from '../../pki/certificate-profile.ts';

export interface TestPki {
  readonly ca: IssuedCertificate;
  readonly server: IssuedCertificate;
  readonly client: IssuedCertificate;
}

let made: Promise<TestPki> | undefined;

/** An authority, a certificate for localhost and 127.0.0.1 and one for a client: made once per test file. */
export function testPki(): Promise<TestPki> {
  made ??= makePki();
  return made;
}

async function makePki(): Promise<TestPki> {
  const ca = await issueCertificate({ commonName: 'test-ca', ca: true });
  const server = await issueCertificate(
    { commonName: 'server', usages: ['serverAuth'], dnsNames: ['localhost'], ipAddresses: ['127.0.0.1'] },
    { issuer: ca },
  );
  const client = await issueCertificate({ commonName: 'client', usages: ['clientAuth'] }, { issuer: ca });
  return { ca, server, client };
}
