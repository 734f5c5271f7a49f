import { execFileSync } from 'node:child_process';
import { X509Certificate, createPrivateKey } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, createServer } from 'node:tls';
import type { PeerCertificate, TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { issueCertificate } from './issue.ts';
import type { IssuedCertificate } from './issue.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'issue-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

const oddNames = {
  commonName: 'jané用户\nCN=root, "x" \\ +',
  organizations: ['a,b', '"q"', '#ff', 'O=c'],
};

/** openssl as the judge: it shares no code with the issuer. */
function opensslVerify(ca: IssuedCertificate, leaf: IssuedCertificate, purpose: string): string {
  const [caFile, leafFile] = [join(directory, 'ca.pem'), join(directory, 'leaf.pem')];
  writeFileSync(caFile, ca.certificatePem);
  writeFileSync(leafFile, leaf.certificatePem);
  return execFileSync(
    'openssl',
    ['verify', '-x509_strict', '-purpose', purpose, '-CAfile', caFile, leafFile],
    { encoding: 'utf8' },
  );
}

const combinations = [
  ['ec', 'ec'],
  ['rsa', 'rsa'],
  ['ec', 'rsa'],
  ['rsa', 'ec'],
] as const;

describe.each(combinations)('an %s authority and an %s certificate', (caAlgorithm, algorithm) => {
  let ca: IssuedCertificate;
  let leaf: IssuedCertificate;
  beforeAll(async () => {
    ca = await issueCertificate({ ...oddNames, ca: true }, { algorithm: caAlgorithm });
    leaf = await issueCertificate(
      {
        ...oddNames,
        usages: ['serverAuth', 'clientAuth'],
        dnsNames: ['localhost', '*.ns.svc'],
        ipAddresses: ['127.0.0.1', '2001:db8::7'],
      },
      { issuer: ca, algorithm },
    );
  });

  test('openssl accepts it strictly, as server and as client', () => {
    expect(opensslVerify(ca, leaf, 'sslserver')).toContain('OK');
    expect(opensslVerify(ca, leaf, 'sslclient')).toContain('OK');
  });

  test('Node reads what the profile says', () => {
    const [issuer, certificate] = [
      new X509Certificate(ca.certificatePem),
      new X509Certificate(leaf.certificatePem),
    ];
    expect(certificate.checkIssued(issuer)).toBe(true);
    expect(certificate.verify(issuer.publicKey)).toBe(true);
    expect(issuer.checkIssued(issuer)).toBe(true);
    expect([issuer.ca, certificate.ca]).toEqual([true, false]);
    expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']);
    expect(certificate.checkHost('localhost')).toBe('localhost');
    expect(certificate.checkHost('gateway.ns.svc')).toBe('*.ns.svc');
    expect(certificate.checkIP('127.0.0.1')).toBe('127.0.0.1');
    expect(certificate.checkIP('2001:db8::7')).toBe('2001:db8::7');
    expect(certificate.toLegacyObject().subject).toEqual({
      O: oddNames.organizations,
      CN: oddNames.commonName,
    });
    expect(certificate.serialNumber).toMatch(/^[4-7][0-9A-F]{31}$/);
  });

  test('the key is PKCS#8 and belongs to the certificate', () => {
    expect(leaf.privateKeyPem).toMatch(/^-----BEGIN PRIVATE KEY-----\n/);
    expect(leaf.certificatePem).toMatch(/^-----BEGIN CERTIFICATE-----\n[^\r]*\n-----END CERTIFICATE-----\n$/);
    const key = createPrivateKey(leaf.privateKeyPem);
    expect(key.asymmetricKeyType).toBe(algorithm);
    expect(new X509Certificate(leaf.certificatePem).checkPrivateKey(key)).toBe(true);
  });

  test('a TLS handshake works with it in both directions', async () => {
    const seen = await handshake(ca, leaf);
    expect(seen).toEqual({ client: [true, oddNames.commonName], server: [true, oddNames.commonName] });
  });
});

async function handshake(ca: IssuedCertificate, leaf: IssuedCertificate) {
  const identity = { ca: ca.certificatePem, cert: leaf.certificatePem, key: leaf.privateKeyPem };
  const server = createServer({ ...identity, requestCert: true, rejectUnauthorized: true });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const accepted = new Promise<TLSSocket>((resolve) => server.once('secureConnection', resolve));
  const { port } = server.address() as AddressInfo;
  const client = connect({ ...identity, port, host: '127.0.0.1' });
  await new Promise((resolve, reject) => client.once('secureConnect', resolve).once('error', reject));
  const peer = await accepted;
  const sight = (socket: TLSSocket) => {
    const certificate: PeerCertificate = socket.getPeerCertificate();
    return [socket.authorized, certificate.subject.CN];
  };
  const seen = { client: sight(client), server: sight(peer) };
  client.destroy();
  peer.destroy();
  server.close();
  return seen;
}

describe('validity', () => {
  const days = (issued: IssuedCertificate) => {
    const certificate = new X509Certificate(issued.certificatePem);
    return (certificate.validToDate.getTime() - Date.now()) / 86_400_000;
  };

  test('begins five minutes back and lasts a year, for an authority ten', async () => {
    const [leaf, ca] = [
      await issueCertificate({ commonName: 'leaf' }),
      await issueCertificate({ commonName: 'ca', ca: true }),
    ];
    const begun = Date.now() - new X509Certificate(leaf.certificatePem).validFromDate.getTime();
    expect(begun / 60_000).toBeCloseTo(5, 0);
    expect(days(leaf)).toBeCloseTo(365, 1);
    expect(days(ca)).toBeCloseTo(3650, 1);
    expect(days(await issueCertificate({ commonName: 'short', validDays: 2 }))).toBeCloseTo(2, 1);
  });

  test.each(['ec', 'rsa'] as const)('takes dates, beyond 2050 too (%s)', async (algorithm) => {
    const notBefore = new Date('2001-02-03T04:05:06Z');
    const notAfter = new Date('2061-02-03T04:05:06Z');
    const issued = await issueCertificate({ commonName: 'x', notBefore, notAfter }, { algorithm });
    const certificate = new X509Certificate(issued.certificatePem);
    expect([certificate.validFromDate, certificate.validToDate]).toEqual([notBefore, notAfter]);
  });
});

test('an issuer that openssl made is named as it names itself', async () => {
  const [keyFile, certificateFile, configFile] = ['key', 'pem', 'cnf'].map((end) =>
    join(directory, `other.${end}`),
  ) as [string, string, string];
  // A key identifier of its own, and a name component with two values.
  const extensions =
    'basicConstraints=critical,CA:TRUE\nsubjectKeyIdentifier=010203\nkeyUsage=critical,keyCertSign';
  writeFileSync(
    configFile,
    `[req]\ndistinguished_name=dn\nx509_extensions=ext\n[dn]\n[ext]\n${extensions}\n`,
  );
  const subject = '/C=XX/O=one+O=用户/CN=other';
  for (const kind of [['rsa:2048'], ['ec', '-pkeyopt', 'ec_paramgen_curve:P-384']]) {
    const args = ['req', '-x509', '-nodes', '-utf8', '-subj', subject, '-config', configFile];
    const output = ['-keyout', keyFile, '-out', certificateFile];
    execFileSync('openssl', [...args, '-newkey', ...kind, ...output], { stdio: 'pipe' });
    const ca = {
      certificatePem: readFileSync(certificateFile, 'utf8'),
      privateKeyPem: readFileSync(keyFile, 'utf8'),
    };
    for (const algorithm of ['ec', 'rsa'] as const) {
      const leaf = await issueCertificate({ commonName: 'leaf' }, { issuer: ca, algorithm });
      expect(opensslVerify(ca, leaf, 'any')).toContain('OK');
    }
  }
});

test('an EC certificate takes less than ten milliseconds', async () => {
  const ca = await issueCertificate({ commonName: 'ca', ca: true });
  const started = performance.now();
  for (let index = 0; index < 50; index++)
    await issueCertificate({ commonName: `user-${index}`, usages: ['clientAuth'] }, { issuer: ca });
  // Twice the aim: the machine that tests may be busy.
  expect((performance.now() - started) / 50).toBeLessThan(20);
});
