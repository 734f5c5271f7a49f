import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { issueCertificate } from './issue.ts';
import type { CertificateProfile, IssuedCertificate } from './issue.ts';
import { createChainVerifier } from './verify-chain.ts';
import type { ChainVerdict } from './verify-chain.ts';

const authority = (commonName: string, more: Partial<CertificateProfile> = {}): CertificateProfile => ({
  commonName,
  ca: true,
  ...more,
});
const user = (more: Partial<CertificateProfile> = {}): CertificateProfile => ({
  commonName: 'jane',
  usages: ['clientAuth'],
  ...more,
});
const past = { notBefore: new Date('2020-01-01'), notAfter: new Date('2021-01-01') };
const future = { notBefore: new Date('2100-01-01'), notAfter: new Date('2101-01-01') };

const issue = (profile: CertificateProfile, issuer?: IssuedCertificate) =>
  issueCertificate(profile, issuer ? { issuer } : {});

/** A chain of authorities below `top`, the last first. */
async function authoritiesBelow(top: IssuedCertificate, count: number): Promise<IssuedCertificate[]> {
  const made: IssuedCertificate[] = [];
  for (let index = 0; index < count; index++)
    made.unshift(await issue(authority(`level ${index}`), made[0] ?? top));
  return made;
}

function verify(
  bundle: readonly IssuedCertificate[],
  chain: readonly IssuedCertificate[],
  options: { purpose?: 'client' | 'server'; now?: () => Date } = {},
): ChainVerdict {
  const pem = bundle.map(({ certificatePem }) => certificatePem).join('');
  const certificates = chain.map(({ certificatePem }) => new X509Certificate(certificatePem));
  return createChainVerifier(pem, { purpose: 'client', ...options }).verify(certificates);
}

const accepted = { ok: true };
const refused = (reason: RegExp) => ({ ok: false, reason: expect.stringMatching(reason) });

let ca: IssuedCertificate;
let otherCa: IssuedCertificate;
/** Named as `ca` is, with a key of its own. */
let namesake: IssuedCertificate;
let middle: IssuedCertificate;
let jane: IssuedCertificate;
let janeBelowMiddle: IssuedCertificate;

beforeAll(async () => {
  [ca, otherCa, namesake] = await Promise.all([
    issue(authority('ca')),
    issue(authority('other')),
    issue(authority('ca')),
  ]);
  middle = await issue(authority('middle'), ca);
  [jane, janeBelowMiddle] = await Promise.all([issue(user(), ca), issue(user(), middle)]);
});

describe('who signed it', () => {
  test('an authority of the bundle', () => expect(verify([ca], [jane])).toEqual(accepted));

  test('one of several authorities, in any place', () => {
    expect(verify([otherCa, namesake, ca], [jane])).toEqual(accepted);
    expect(verify([ca, namesake, otherCa], [jane])).toEqual(accepted);
  });

  test('an RSA authority', async () => {
    const rsa = await issueCertificate(authority('rsa'), { algorithm: 'rsa' });
    expect(verify([rsa], [await issue(user(), rsa)])).toEqual(accepted);
    expect(verify([rsa], [await issueCertificate(user(), { issuer: rsa, algorithm: 'rsa' })])).toEqual(
      accepted,
    );
  });

  test('an authority that is not in the bundle', () => {
    expect(verify([otherCa], [jane])).toEqual(refused(/unknown authority/));
    expect(verify([otherCa], [jane, ca])).toEqual(refused(/unknown authority/));
  });

  test('an authority of the same name with another key', () => {
    expect(verify([namesake], [jane])).toEqual(refused(/unknown authority/));
    expect(verify([namesake], [jane, ca])).toEqual(refused(/unknown authority/));
  });

  test('the same, when no key identifier gives it away and only the signature can', () => {
    const forged = new X509Certificate(jane.certificatePem).raw;
    // The last octet belongs to the signature.
    forged[forged.length - 1] = (forged[forged.length - 1] ?? 0) ^ 1;
    const chain = [new X509Certificate(forged)];
    expect(createChainVerifier(ca.certificatePem, { purpose: 'client' }).verify(chain)).toEqual(
      refused(/unknown authority/),
    );
  });

  test('itself', async () => {
    expect(verify([ca], [await issue(user())])).toEqual(refused(/unknown authority/));
    expect(verify([ca], [await issue(user({ ca: true }))])).toEqual(refused(/unknown authority/));
  });

  test('itself, but the bundle holds that very certificate', async () => {
    const self = await issue(user());
    expect(verify([ca, self], [self])).toEqual(accepted);
    const old = await issue(user(past));
    expect(verify([ca, old], [old])).toEqual(refused(/expired/));
  });

  test('another user, who is in the bundle but no authority', async () => {
    expect(verify([ca, jane], [await issue(user({ commonName: 'joe' }), jane)])).toEqual(refused(/./));
  });

  test('nobody: no certificate was presented', () => {
    expect(verify([ca], [])).toEqual(refused(/no certificate/));
  });
});

describe('when', () => {
  test.each([
    ['expired', past, /certificate has expired/],
    ['not yet valid', future, /certificate is not yet valid/],
  ])('%s', async (_, dates, reason) => {
    expect(verify([ca], [await issue(user(dates), ca)])).toEqual(refused(reason));
  });

  test.each([
    ['expired', past, /authority has expired/],
    ['not yet valid', future, /authority is not yet valid/],
  ])('the authority is %s', async (_, dates, reason) => {
    const bad = await issue(authority('bad', dates));
    expect(verify([bad], [await issue(user(), bad)])).toEqual(refused(reason));
  });

  test('an intermediate certificate has expired', async () => {
    const bad = await issue(authority('bad', past), ca);
    expect(verify([ca], [await issue(user(), bad), bad])).toEqual(refused(/intermediate.*expired/));
  });

  test('the clock is asked at each verification', async () => {
    const dates = { notBefore: new Date('2030-01-01'), notAfter: new Date('2031-01-01') };
    let now = '2029-12-31T23:59:59Z';
    const verifier = createChainVerifier(ca.certificatePem, { purpose: 'client', now: () => new Date(now) });
    const chain = [new X509Certificate((await issue(user(dates), ca)).certificatePem)];
    expect(verifier.verify(chain)).toEqual(refused(/not yet/));
    now = '2030-06-01T00:00:00Z';
    expect(verifier.verify(chain)).toEqual(accepted);
    now = '2031-01-01T00:00:01Z';
    expect(verifier.verify(chain)).toEqual(refused(/expired/));
    expect(verify([ca], [jane], { now: () => new Date(NaN) })).toEqual(refused(/./));
  });
});

describe('what for', () => {
  test('a server certificate is no proof of a client, and the other way round', async () => {
    const server = await issue(user({ usages: ['serverAuth'] }), ca);
    expect(verify([ca], [server])).toEqual(refused(/not for client authentication/));
    expect(verify([ca], [server], { purpose: 'server' })).toEqual(accepted);
    expect(verify([ca], [jane], { purpose: 'server' })).toEqual(refused(/not for server authentication/));
  });

  test('both, or no purpose at all', async () => {
    expect(verify([ca], [await issue(user({ usages: ['serverAuth', 'clientAuth'] }), ca)])).toEqual(accepted);
    expect(verify([ca], [await issue(user({ usages: [] }), ca)])).toEqual(accepted);
  });

  test('an authority with purposes passes on no others', async () => {
    const servers = await issue(authority('servers', { usages: ['serverAuth'] }), ca);
    const clients = await issue(authority('clients', { usages: ['clientAuth'] }), ca);
    for (const usages of [[], ['clientAuth']] as const) {
      const reason = /intermediate certificate is not for client authentication/;
      expect(verify([ca], [await issue(user({ usages }), servers), servers])).toEqual(refused(reason));
      expect(verify([ca], [await issue(user({ usages }), clients), clients])).toEqual(accepted);
    }
    expect(verify([servers], [await issue(user(), servers)])).toEqual(refused(/authority is not for client/));
  });
});

describe('intermediate certificates', () => {
  test('lead to an authority, in any order, with others between them', async () => {
    const lower = await issue(authority('lower'), middle);
    const leaf = await issue(user(), lower);
    expect(verify([ca], [leaf, lower, middle])).toEqual(accepted);
    expect(verify([ca], [leaf, ca, otherCa, middle, jane, lower])).toEqual(accepted);
  });

  test('do not help when one is missing', () => {
    expect(verify([ca], [janeBelowMiddle])).toEqual(refused(/unknown authority/));
  });

  test('may be what the bundle holds', () => {
    expect(verify([middle], [janeBelowMiddle])).toEqual(accepted);
  });

  test('must be authorities', async () => {
    expect(verify([ca], [await issue(user({ commonName: 'joe' }), jane), jane])).toEqual(refused(/./));
  });

  test('are bounded in number', async () => {
    const six = await authoritiesBelow(ca, 6);
    expect(verify([ca], [await issue(user(), six[0]), ...six])).toEqual(accepted);
    const seven = await authoritiesBelow(ca, 7);
    expect(verify([ca], [await issue(user(), seven[0]), ...seven])).toEqual(refused(/unknown authority/));
  });

  test('that sign each other in a circle end the search', async () => {
    const key = await issue(authority('a'));
    const other = await issue(authority('b'), key);
    const circle = { ...(await issue(authority('a'), other)), privateKeyPem: key.privateKeyPem };
    expect(verify([ca], [await issue(user(), other), other, circle, key])).toEqual(
      refused(/unknown authority/),
    );
  });
});

describe('bundles', () => {
  test('an empty one verifies nothing', () => {
    for (const pem of ['', '\n', 'no certificate here']) {
      const verifier = createChainVerifier(pem, { purpose: 'client' });
      expect(verifier.authorities).toBe(0);
      expect(verifier.verify([new X509Certificate(ca.certificatePem)])).toEqual(refused(/unknown authority/));
    }
  });

  test('what is expired or unreadable does not make the rest useless', async () => {
    const old = await issue(authority('ca', past));
    const broken = '-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n';
    const cut = '-----BEGIN CERTIFICATE-----\nMIIB\n';
    const pem = ['# kubernetes', old.certificatePem, broken, cut, ca.privateKeyPem, ca.certificatePem].join(
      '\n',
    );
    const verifier = createChainVerifier(pem, { purpose: 'client' });
    expect(verifier.verify([new X509Certificate(jane.certificatePem)])).toEqual(accepted);
    expect([verifier.authorities, verifier.unreadable]).toEqual([2, 2]);
  });
});

describe('what only openssl issues', () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'verify-chain-'));
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  function opensslAuthority(lines: readonly string[], more: readonly string[] = []): IssuedCertificate {
    const [config, key, out] = [join(directory, 'cnf'), join(directory, 'key'), join(directory, 'pem')];
    const sections = ['[req]', 'distinguished_name=dn', 'x509_extensions=ext', '[dn]', '[ext]', ...lines, ''];
    writeFileSync(config, sections.join('\n'));
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];
    const args = ['req', '-x509', '-nodes', '-subj', '/CN=openssl', '-config', config, '-keyout', key];
    execFileSync('openssl', [...args, ...curve, '-out', out, ...more], { stdio: 'pipe' });
    return { certificatePem: readFileSync(out, 'utf8'), privateKeyPem: readFileSync(key, 'utf8') };
  }

  test.each([
    [[], accepted],
    [['keyUsage=critical,keyCertSign'], accepted],
    [['keyUsage=critical,digitalSignature'], refused(/./)],
    [['nameConstraints=critical,permitted;DNS:example.com'], refused(/name constraints|not known/)],
    [['nameConstraints=permitted;DNS:example.com'], refused(/name constraints/)],
    [['1.2.3.4=critical,ASN1:NULL'], refused(/critical extension/)],
    [['1.2.3.4=ASN1:NULL'], accepted],
    [['extendedKeyUsage=anyExtendedKeyUsage'], accepted],
    [['extendedKeyUsage=codeSigning'], refused(/not for client/)],
  ])('an authority with %j', async (lines, verdict) => {
    const top = opensslAuthority(['basicConstraints=critical,CA:TRUE', ...lines]);
    expect(verify([top], [await issue(user(), top)])).toEqual(verdict);
  });

  test.each([['basicConstraints=critical,CA:FALSE'], ['subjectKeyIdentifier=hash']])(
    'no authority, for it says %s',
    async (line) => {
      const top = opensslAuthority([line]);
      expect(verify([top], [await issue(user(), top)])).toEqual(refused(/./));
    },
  );

  test('a path length constraint counts the intermediate certificates below', async () => {
    const top = opensslAuthority(['basicConstraints=critical,CA:TRUE,pathlen:1']);
    const [lower, upper] = await authoritiesBelow(top, 2);
    if (!lower || !upper) throw new Error('no authorities');
    expect(verify([top], [await issue(user(), top)])).toEqual(accepted);
    expect(verify([top], [await issue(user(), upper), upper])).toEqual(accepted);
    expect(verify([top], [await issue(user(), lower), lower, upper])).toEqual(refused(/fewer intermediate/));
  });

  test('a signature by SHA-1', async () => {
    // Self-signed by SHA-1 does no harm to an authority; a certificate that it signs so is refused.
    const top = opensslAuthority(['basicConstraints=critical,CA:TRUE'], ['-sha1']);
    expect(verify([top], [await issue(user(), top)])).toEqual(accepted);
    const signer = [join(directory, 'top.pem'), join(directory, 'top.key')] as const;
    writeFileSync(signer[0], top.certificatePem);
    writeFileSync(signer[1], top.privateKeyPem);
    for (const [digest, verdict] of [
      ['-sha1', refused(/forged/)],
      ['-sha256', accepted],
    ] as const) {
      const leaf = opensslAuthority(
        ['extendedKeyUsage=clientAuth'],
        [...['-CA', signer[0], '-CAkey', signer[1], digest]],
      );
      expect(verify([top], [leaf])).toEqual(verdict);
    }
  });

  test('an authority of another name with the same key', async () => {
    const top = opensslAuthority(['basicConstraints=critical,CA:TRUE']);
    const [config, key, out] = ['cnf', 'key', 'renamed.pem'].map((name) => join(directory, name)) as [
      string,
      string,
      string,
    ];
    const args = ['req', '-x509', '-config', config, '-key', key, '-subj', '/CN=renamed', '-out', out];
    execFileSync('openssl', args, { stdio: 'pipe' });
    const renamed = { certificatePem: readFileSync(out, 'utf8'), privateKeyPem: top.privateKeyPem };
    expect(verify([renamed], [await issue(user(), top)])).toEqual(refused(/unknown authority/));
    expect(verify([renamed], [await issue(user(), renamed)])).toEqual(accepted);
  });

  test('a search among authorities without key identifiers is bounded', async () => {
    const decoys = Array.from({ length: 12 }, () => opensslAuthority(['basicConstraints=critical,CA:TRUE']));
    const [signer] = decoys;
    if (!signer) throw new Error('no authorities');
    const chain = [await issue(user(), signer), ...Array.from({ length: 20 }, () => decoys).flat()];
    expect(verify([ca], chain)).toEqual(refused(/too many signatures/));
  });
});
