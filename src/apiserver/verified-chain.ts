import type { X509Certificate } from 'node:crypto';
import type { ChainVerdict, ChainVerifier } from '../pki/verify-chain.ts';
import type { ClientConnection } from './client-connection.ts';

interface Remembered {
  readonly verifier: ChainVerifier;
  readonly verdict: ChainVerdict;
  readonly until: number;
}

/** Who asks. */
export interface ChainAsker {
  /** Verdicts of different CAs are kept apart. */
  readonly key: object;
  /** Told of each verification that was made and found no fault. */
  readonly onVerified?: ((leaf: X509Certificate) => void) | undefined;
}

/** How long a verdict holds on one connection: certificates expire while connections live. */
const verdictTtlMs = 10_000;

/**
 * Verifies a connection's client certificate against one CA bundle, at most once in ten seconds and anew as soon as
 * the bundle changes: a connection of kube-aggregator carries thousands of requests.
 */
export function verifyOncePerConnection(
  connection: ClientConnection,
  verifier: ChainVerifier,
  { key, onVerified }: ChainAsker,
): ChainVerdict {
  const now = Date.now();
  const remembered = connection.facts.get(key) as Remembered | undefined;
  if (remembered && remembered.verifier === verifier && now < remembered.until) return remembered.verdict;
  const verdict = verifier.verify(connection.peerChain);
  connection.facts.set(key, { verifier, verdict, until: now + verdictTtlMs } satisfies Remembered);
  const [leaf] = connection.peerChain;
  if (verdict.ok && leaf) onVerified?.(leaf);
  return verdict;
}
