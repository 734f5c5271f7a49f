import { execFileSync } from 'node:child_process';
import { X509Certificate, createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { issueCertificate } from './issue.ts';
import { clientSubject, fingerprintSha256 } from './subject.ts';

async function certificateFor(commonName: string, organizations: readonly string[] = []) {
  const issued = await issueCertificate({ commonName, organizations });
  return new X509Certificate(issued.certificatePem);
}

/** The same certificate with octets replaced; who reads a subject has verified the signature before. */
function patched(certificate: X509Certificate, from: Buffer, to: Buffer): X509Certificate {
  const raw = Buffer.from(certificate.raw);
  for (let at = raw.indexOf(from); at >= 0; at = raw.indexOf(from, at + to.length)) to.copy(raw, at);
  return new X509Certificate(raw);
}

describe('names', () => {
  test.each([
    ['jane', ['dev', 'ops']],
    ['jané用户', ['grüppe', '🚀']],
    ['jane\nO=system:masters', ['a\nO=system:masters']],
    ['jane, O=system:masters', ['a+CN=root']],
    ['system:serviceaccount:ns:name', ['system:serviceaccounts']],
    ['"quoted" \\ and #', ['#0c04', ' padded ', '\\0A', '<>;=']],
    ['one\u0000two', ['\ufeffmarked']],
    ['', ['only-a-group']],
    ['only-a-name', []],
    ['twice', ['dev', 'dev']],
  ])('%j of %j', async (commonName, organizations) => {
    expect(clientSubject(await certificateFor(commonName, organizations))).toEqual({
      commonName,
      organizations,
    });
  });
});

describe('string types', () => {
  const withType = async (tag: number, content: Buffer) => {
    const certificate = await certificateFor('x'.repeat(content.length));
    const written = Buffer.concat([
      Buffer.from([12, content.length]),
      Buffer.from('x'.repeat(content.length)),
    ]);
    return patched(certificate, written, Buffer.concat([Buffer.from([tag, content.length]), content]));
  };

  test.each([
    ['UTF8String', 12, Buffer.from('jané'), 'jané'],
    ['NumericString', 18, Buffer.from('12 34'), '12 34'],
    ['PrintableString', 19, Buffer.from('a*b&c'), 'a*b&c'],
    ['TeletexString', 20, Buffer.from([0x6a, 0xe9]), 'jé'],
    ['IA5String', 22, Buffer.from('jane@example.com'), 'jane@example.com'],
    ['BMPString', 30, Buffer.from([0x75, 0x28, 0x62, 0x37]), '用户'],
  ])('%s', async (_, tag, content, text) => {
    expect(clientSubject(await withType(tag, content)).commonName).toBe(text);
  });

  test.each([
    ['UTF8String that is none', 12, Buffer.from([0x6a, 0xff])],
    ['NumericString with letters', 18, Buffer.from('12a')],
    ['PrintableString with @', 19, Buffer.from('a@b')],
    ['IA5String with an octet above 127', 22, Buffer.from([0x6a, 0xe9])],
    ['BMPString with half a character', 30, Buffer.from([0x00, 0x6a, 0x00])],
    ['BMPString with surrogates', 30, Buffer.from([0xd8, 0x3d, 0xde, 0x80])],
    ['UniversalString', 28, Buffer.from([0, 0, 0, 0x6a])],
    ['OctetString', 4, Buffer.from('jane')],
  ])('%s is no name at all', async (_, tag, content) => {
    // OpenSSL refuses some of them before the subject is looked at.
    await expect(withType(tag, content).then(clientSubject)).rejects.toThrow(/subject holds|not valid|PEM/);
  });
});

describe('what openssl writes', () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'subject-'));
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  function withSubject(subject: string): X509Certificate {
    const [config, out] = [join(directory, 'cnf'), join(directory, 'pem')];
    writeFileSync(
      config,
      'oid_section=oids\n[oids]\nuserUid=1.3.6.1.4.1.57683.2\n[req]\ndistinguished_name=dn\n[dn]\n',
    );
    const args = ['req', '-x509', '-nodes', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-utf8'];
    const files = ['-config', config, '-subj', subject, '-keyout', join(directory, 'key'), '-out', out];
    execFileSync('openssl', [...args, ...files], { stdio: 'pipe' });
    return new X509Certificate(readFileSync(out));
  }

  test('several values in one component', () => {
    // As Go writes more than one organization.
    const { organizations, commonName } = clientSubject(withSubject('/O=one+O=two/CN=jane'));
    expect([organizations.toSorted(), commonName]).toEqual([['one', 'two'], 'jane']);
    expect(clientSubject(withSubject('/O=one+CN=jane'))).toEqual({
      commonName: 'jane',
      organizations: ['one'],
    });
  });

  test('of several common names the last counts, as in Go', () => {
    expect(clientSubject(withSubject('/CN=first/O=dev/CN=last')).commonName).toBe('last');
  });

  test('other attributes are no part of it', () => {
    expect(clientSubject(withSubject('/C=XX/OU=unit/emailAddress=a@b.c/CN=jane'))).toEqual({
      commonName: 'jane',
      organizations: [],
    });
  });

  test('a UID', () => {
    expect(clientSubject(withSubject('/CN=jane/userUid=4711')).uid).toBe('4711');
    expect(() => clientSubject(withSubject('/CN=jane/userUid=1/userUid=2'))).toThrow(/more than one UID/);
  });

  test('no name', () => {
    expect(clientSubject(withSubject('/'))).toEqual({ commonName: '', organizations: [] });
  });
});

test('the fingerprint is that of the DER', async () => {
  const certificate = await certificateFor('jane');
  const expected = createHash('sha256').update(certificate.raw).digest('hex');
  expect(fingerprintSha256(certificate)).toBe(expected);
});
