import type { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';

/** More than any chain that could be accepted; what a peer sends beyond it is passed over. */
const longestPresented = 16;

/**
 * The certificates that the peer of a TLS connection presented, leaf first; empty when it presented none.
 *
 * A resumed session holds the leaf alone: OpenSSL keeps no intermediates in it. A listener that verifies chains itself
 * therefore has to be made with `secureOptions: constants.SSL_OP_NO_TICKET`, which makes every handshake a full one.
 */
export function presentedChain(socket: Pick<TLSSocket, 'getPeerX509Certificate'>): X509Certificate[] {
  const chain: X509Certificate[] = [];
  let next = socket.getPeerX509Certificate();
  while (next && chain.length < longestPresented) {
    chain.push(next);
    next = next.issuerCertificate;
  }
  return chain;
}
