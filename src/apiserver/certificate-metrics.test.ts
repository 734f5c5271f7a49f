import { X509Certificate } from 'node:crypto';
import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { issueCertificate } from '../pki/issue.ts';
import { createClientCertificateMetric, createServingCertificateMetric } from './certificate-metrics.ts';

test('the end of each serving certificate is told, as it is when the metrics are read', async () => {
  const registry = new Registry();
  const of = (notAfter: Date) => issueCertificate({ commonName: 'x', notAfter });
  let { certificatePem } = await of(new Date('2061-02-03T04:05:06Z'));
  createServingCertificateMetric(registry, () => [{ name: 'default', certificatePem }]);
  const name = 'apiserver_serving_certificate_expiration_timestamp_seconds{name="default"}';
  expect(await registry.metrics()).toContain(`${name} ${Date.parse('2061-02-03T04:05:06Z') / 1000}`);
  ({ certificatePem } = await of(new Date('2062-01-01T00:00:00Z')));
  expect(await registry.metrics()).toContain(`${name} ${Date.parse('2062-01-01T00:00:00Z') / 1000}`);
});

test('client certificates are counted by what is left of them', async () => {
  const registry = new Registry();
  const observe = createClientCertificateMetric(registry);
  const { certificatePem } = await issueCertificate({
    commonName: 'x',
    notAfter: new Date(Date.now() + 90 * 60_000),
  });
  observe(new X509Certificate(certificatePem));
  const text = await registry.metrics();
  expect(text).toContain('apiserver_client_certificate_expiration_seconds_bucket{le="3600"} 0');
  expect(text).toContain('apiserver_client_certificate_expiration_seconds_bucket{le="7200"} 1');
});
