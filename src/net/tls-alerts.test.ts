import { expect, test } from 'vitest';
import { connectionFailure, tlsFailure } from './node-errors.ts';

const error = (code: string) => Object.assign(new Error('ssl/tls alert'), { code });

test.each([
  ['ERR_SSL_SSL/TLS_ALERT_CERTIFICATE_EXPIRED', 'certificate expired'],
  ['ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED', 'certificate expired'],
  ['ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', 'unknown certificate authority'],
  ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', 'certificate required'],
])('the alert of a peer is told in its words, whatever OpenSSL calls it: %s', (code, alert) => {
  const told = { kind: 'untrusted', message: `remote error: tls: ${alert}` };
  expect(tlsFailure(error(code))).toMatchObject(told);
  expect(connectionFailure(error(code), false)).toMatchObject(told);
});
