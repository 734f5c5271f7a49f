import { X509Certificate } from 'node:crypto';
import { Gauge } from 'prom-client';
import type { Registry } from 'prom-client';

/** When the certificates of ports end, in seconds since 1970: read when the metrics are collected. */
export function createPortCertificateMetric(
  registry: Registry,
  current: () => Readonly<Record<string, { readonly certificatePem: string } | undefined>>,
): void {
  new Gauge({
    name: 'konnectivity_network_proxy_server_certificate_expiration_timestamp_seconds',
    help: 'When the certificates of the ports end, in seconds since 1970.',
    labelNames: ['port'],
    registers: [registry],
    collect() {
      for (const [port, tls] of Object.entries(current()))
        if (tls) this.set({ port }, new X509Certificate(tls.certificatePem).validToDate.getTime() / 1000);
    },
  });
}
