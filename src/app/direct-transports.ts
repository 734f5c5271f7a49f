import type { Cluster } from '../clusters/cluster.ts';
import type { TransportFactory } from '../proxy/cluster-transports.ts';
import { denyAddresses } from '../net/address-guard.ts';
import { createTransport } from '../net/create-transport.ts';
import { dialFor } from '../net/dial-for.ts';
import { createClientTls } from '../net/tls.ts';

/**
 * Makes transports to clusters that can be reached directly or through an egress proxy; neither must be at a denied
 * address (rules of `denyAddresses`).
 */
export function createDirectTransports(denied: readonly string[] = []): TransportFactory {
  const guard = denied.length > 0 ? denyAddresses(denied) : undefined;
  return (cluster, credential) => {
    const { host, port } = cluster.endpoint;
    const certificate = credential.clientCertificate;
    return createTransport({
      address: { host, port },
      dial: dialFor(cluster.endpoint.proxyUrl?.reveal(), { guard }),
      tls: createClientTls({
        ...trustOf(cluster),
        ...(certificate
          ? { certificatePem: certificate.certificatePem, privateKeyPem: certificate.privateKeyPem.reveal() }
          : {}),
      }),
    });
  };
}

function trustOf({ endpoint: { trust } }: Cluster): { ca?: string; insecure?: boolean } {
  switch (trust.type) {
    case 'ca':
      return { ca: trust.caPem };
    case 'system':
      return {};
    case 'none':
      return { insecure: true };
  }
}
