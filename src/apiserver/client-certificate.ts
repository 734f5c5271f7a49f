import type { X509Certificate } from 'node:crypto';
import { clientSubject, fingerprintSha256 } from '../pki/subject.ts';
import { createChainVerifier } from '../pki/verify-chain.ts';
import type { ChainVerifier } from '../pki/verify-chain.ts';
import { none } from './authenticator.ts';
import type { AuthenticationMethod } from './authenticator.ts';
import { verifyOncePerConnection } from './verified-chain.ts';

/** Authenticates a client certificate of the cluster's client CA: CN is the user, O the groups (apiserver x509.go). */
export function createClientCertificateMethod(
  currentCa: () => string | undefined,
  /** Told once for each connection and verification. */
  onVerified?: (leaf: X509Certificate) => void,
): AuthenticationMethod {
  const asker = { key: {}, onVerified };
  let source: string | undefined;
  let verifier: ChainVerifier | undefined;
  return ({ connection }) => {
    const caPem = currentCa();
    const leaf = connection.peerChain[0];
    if (caPem === undefined || !leaf) return none;
    if (caPem !== source || !verifier) {
      verifier = createChainVerifier(caPem, { purpose: 'client' });
      source = caPem;
    }
    const verdict = verifyOncePerConnection(connection, verifier, asker);
    if (!verdict.ok) return { type: 'rejected', reason: `client certificate: ${verdict.reason}` };
    const { commonName, organizations } = clientSubject(leaf);
    if (commonName === '') return none;
    return {
      type: 'authenticated',
      user: {
        name: commonName,
        groups: organizations,
        extra: { 'authentication.kubernetes.io/credential-id': [`X509SHA256=${fingerprintSha256(leaf)}`] },
      },
    };
  };
}
