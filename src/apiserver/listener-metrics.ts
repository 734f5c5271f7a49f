import { Counter } from 'prom-client';
import type { Registry } from 'prom-client';

/** kube-apiserver's name (apiserver pkg/endpoints/metrics). The function is to be called for each failed handshake. */
export function createHandshakeErrorMetric(registry: Registry): () => void {
  const errors = new Counter({
    name: 'apiserver_tls_handshake_errors_total',
    help: 'Connections that were dropped because their TLS handshake failed.',
    registers: [registry],
  });
  return () => errors.inc();
}
