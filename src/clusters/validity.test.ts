import { X509Certificate } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { issueCertificate } from '../pki/issue.ts';
import { checkKeyPair, validityAt, validityOfCertificate, validityOfToken } from './validity.ts';

const day = 86_400_000;
const token = (payload: unknown) =>
  `x.${Buffer.from(typeof payload === 'string' ? payload : JSON.stringify(payload)).toString('base64url')}.y`;

test.each([
  [{ from: 0, until: 1000 }, 799, 'valid'],
  [{ from: 0, until: 1000 }, 800, 'expires-soon'],
  [{ from: 0, until: 1000 }, 999, 'expires-soon'],
  [{ from: 0, until: 1000 }, 1000, 'expired'],
  // Ten years: not two of them.
  [{ from: 0, until: 3650 * day }, 3619 * day, 'valid'],
  [{ from: 0, until: 3650 * day }, 3621 * day, 'expires-soon'],
  [{ until: 10 * day }, 8 * day, 'valid'],
  [{ until: 10 * day }, 9.5 * day, 'expires-soon'],
])('%j at %d is %s', (validity, now, expected) => {
  expect(validityAt(validity, now)).toBe(expected);
});

test.each([
  [token({ exp: 20, iat: 10, nbf: 5 }), { from: 10_000, until: 20_000 }],
  [token({ exp: 20, nbf: 5 }), { from: 5_000, until: 20_000 }],
  [token({ exp: 20 }), { until: 20_000 }],
  [token({ exp: 20, iat: 30 }), { until: 20_000 }],
])('a token that says when it ends: %s', (text, expected) => {
  expect(validityOfToken(text)).toEqual(expected);
});

test.each([
  'opaque',
  'a.b',
  'a.b.c',
  'a.b.c.d',
  '..',
  token({}),
  token('null'),
  token('[]'),
  token('7'),
  token('{"exp":"2030"}'),
  token('{"exp":1e300}'),
  token('{"exp":null}'),
  `x.${'A'.repeat(100_000)}.y`,
])('a token that says nothing of it (%#)', (text) => {
  expect(validityOfToken(text)).toBeUndefined();
});

describe('a certificate and its key', () => {
  test('that belong together, and until when', async () => {
    const { certificatePem, privateKeyPem } = await issueCertificate({ commonName: 'me', validDays: 7 });
    const validity = validityOfCertificate(new X509Certificate(certificatePem));
    expect(Math.abs(validity.until - (Date.now() + 7 * day))).toBeLessThan(60_000);
    expect(checkKeyPair(certificatePem, privateKeyPem)).toEqual({ type: 'good', validity });
  });

  test('that do not', async () => {
    const [me, you] = await Promise.all(['me', 'you'].map((commonName) => issueCertificate({ commonName })));
    if (!me || !you) throw new Error('no certificates');
    expect(checkKeyPair(me.certificatePem, you.privateKeyPem)).toEqual({ type: 'mismatch' });
    expect(checkKeyPair('x', me.privateKeyPem)).toEqual({ type: 'unreadable-certificate' });
    expect(checkKeyPair(me.certificatePem, 'x')).toEqual({ type: 'unreadable-key' });
  });
});
