import type { Cluster, EndpointAddress } from '../clusters/cluster.ts';
import type { ClusterCredential } from '../clusters/credential.ts';
import type { TransportFactory } from '../proxy/cluster-transports.ts';
import { denyAddresses } from '../net/address-guard.ts';
import { createBalancedTransport } from '../net/balanced-transport.ts';
import { createTransport } from '../net/create-transport.ts';
import { dialFor } from '../net/dial-for.ts';
import { createClientTls } from '../net/tls.ts';
import type { ClientTls } from '../net/tls.ts';

/**
 * Makes transports to clusters that can be reached directly or through an egress proxy; neither must be at a denied
 * address (rules of `denyAddresses`).
 */
export function createDirectTransports(denied: readonly string[] = []): TransportFactory {
  const guard = denied.length > 0 ? denyAddresses(denied) : undefined;
  return (cluster, credential) => {
    const { endpoint } = cluster;
    const dial = dialFor(endpoint.proxyUrl?.reveal(), { guard });
    const tls = clientTlsOf(cluster, credential);
    const to = ({ host, port }: EndpointAddress) => createTransport({ address: { host, port }, dial, tls });
    if (!endpoint.others) return to(endpoint);
    const addresses = [endpoint, ...endpoint.others];
    return createBalancedTransport(
      addresses.map((address) => ({ authority: address.authority, transport: to(address) })),
    );
  };
}

/** TLS from end to end with a cluster's API server. */
export function clientTlsOf(cluster: Cluster, { clientCertificate }: ClusterCredential): ClientTls {
  const { serverName } = cluster.endpoint;
  return createClientTls({
    ...trustOf(cluster),
    ...(serverName === undefined ? {} : { serverName }),
    ...(clientCertificate
      ? {
          certificatePem: clientCertificate.certificatePem,
          privateKeyPem: clientCertificate.privateKeyPem.reveal(),
        }
      : {}),
  });
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
