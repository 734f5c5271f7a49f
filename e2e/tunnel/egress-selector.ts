import { writeFile } from 'node:fs/promises';

import { stringify } from 'yaml';

import type { TunnelServer } from './server.ts';

/**
 * Writes what a kube-apiserver is told by `--egress-selector-config-file`: nodes, pods and Services are reached through the
 * server (EgressSelectorConfiguration, KEP-1281). It knows gRPC on Unix sockets alone.
 */
export async function writeEgressSelector(
  path: string,
  server: Pick<TunnelServer, 'mode' | 'frontend'>,
): Promise<string> {
  const config = {
    apiVersion: 'apiserver.k8s.io/v1beta1',
    kind: 'EgressSelectorConfiguration',
    egressSelections: [{ name: 'cluster', connection: connection(server) }],
  };
  await writeFile(path, stringify(config));
  return path;
}

function connection({ mode, frontend }: Pick<TunnelServer, 'mode' | 'frontend'>): unknown {
  const proxyProtocol = mode === 'grpc' ? 'GRPC' : 'HTTPConnect';
  if (frontend.type === 'unix') return { proxyProtocol, transport: { uds: { udsName: frontend.path } } };
  const { port, certificates } = frontend;
  const tlsConfig = {
    caBundle: certificates.caFile,
    clientCert: certificates.clientCertificateFile,
    clientKey: certificates.clientKeyFile,
  };
  return { proxyProtocol, transport: { tcp: { url: `https://127.0.0.1:${port}`, tlsConfig } } };
}
