import { X509Certificate } from 'node:crypto';
import { Gauge, Histogram } from 'prom-client';
import type { Registry } from 'prom-client';

const hour = 3600;
const day = 24 * hour;

/** apiserver_client_certificate_expiration_seconds, with kube-apiserver's bounds (pkg/authentication/request/x509). */
export function createClientCertificateMetric(registry: Registry): (leaf: X509Certificate) => void {
  const remaining = new Histogram({
    name: 'apiserver_client_certificate_expiration_seconds',
    help: 'How long the client certificates that callers were authenticated by are still valid; each connection counts once in ten seconds.',
    buckets: [
      ...[0, hour / 2, hour, 2 * hour, 6 * hour, 12 * hour],
      ...[day, 2 * day, 4 * day, 7 * day, 30 * day, 90 * day, 180 * day, 360 * day],
    ],
    registers: [registry],
  });
  return ({ validToDate }) => remaining.observe((validToDate.getTime() - Date.now()) / 1000);
}

/** When the serving certificates end, in seconds since 1970, by name: read when the metrics are collected. */
export function createServingCertificateMetric(
  registry: Registry,
  current: () => readonly { readonly name: string; readonly certificatePem: string }[],
): void {
  new Gauge({
    name: 'apiserver_serving_certificate_expiration_timestamp_seconds',
    help: 'When the serving certificates end, in seconds since 1970.',
    labelNames: ['name'],
    registers: [registry],
    collect() {
      this.reset();
      for (const { name, certificatePem } of current())
        this.set({ name }, new X509Certificate(certificatePem).validToDate.getTime() / 1000);
    },
  });
}
