import { expect, test } from 'vitest';
import { Failure } from '../../base/failure.ts';
import { issueCertificate } from '../../pki/issue.ts';
import { withOwnDates } from './own-certificate.ts';

const failure = new Failure('unreachable', 'http2: connection closed before SETTINGS');
const { certificatePem } = await issueCertificate({
  commonName: 'agent',
  notBefore: new Date('2026-01-01T00:00:00Z'),
  notAfter: new Date('2026-02-01T00:00:00Z'),
});

test.each([
  [
    '2026-02-01T00:00:01Z',
    'our own certificate has expired at 2026-02-01T00:00:00.000Z, and it is 2026-02-01T00:00:01.000Z',
  ],
  [
    '2025-12-31T23:59:59Z',
    'our own certificate is not valid before 2026-01-01T00:00:00.000Z, and it is 2025-12-31T23:59:59.000Z',
  ],
])('a failed connection at %s says that the certificate is out of its dates', (now, text) => {
  expect(withOwnDates(failure, certificatePem, new Date(now))).toMatchObject({
    kind: 'untrusted',
    message: `http2: connection closed before SETTINGS: ${text}`,
  });
});

test('a failure that is not about dates stays what it is', () => {
  expect(withOwnDates(failure, certificatePem, new Date('2026-01-15T00:00:00Z'))).toBe(failure);
  expect(withOwnDates(failure, undefined, new Date('2027-01-01T00:00:00Z'))).toBe(failure);
  const bug = new TypeError('x is not a function');
  expect(withOwnDates(bug, certificatePem, new Date('2027-01-01T00:00:00Z'))).toBe(bug);
});
