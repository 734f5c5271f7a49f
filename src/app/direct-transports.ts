import type { Cluster } from '../clusters/cluster.ts';
import type { TransportFactory } from '../proxy/cluster-transports.ts';
import { createTransport } from '../net/create-transport.ts';
import { dialFor } from '../net/dial-for.ts';
import { createClientTls } from '../net/tls.ts';

/** Makes transports to clusters that can be reached directly or through an egress proxy. */
export function createDirectTransports(): TransportFactory {
  return (cluster, credential) => {
    const { host, port } = cluster.endpoint;
    const certificate = credential.clientCertificate;
    return createTransport({
      address: { host, port },
      dial: dialFor(cluster.endpoint.proxyUrl?.reveal()),
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
