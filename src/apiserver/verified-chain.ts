import type { ChainVerdict, ChainVerifier } from '../pki/verify-chain.ts';
import type { ClientConnection } from './client-connection.ts';

interface Remembered {
  readonly verifier: ChainVerifier;
  readonly verdict: ChainVerdict;
  readonly until: number;
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
  /** The one who asks: verdicts of different CAs are kept apart. */
  key: object,
): ChainVerdict {
  const now = Date.now();
  const remembered = connection.facts.get(key) as Remembered | undefined;
  if (remembered && remembered.verifier === verifier && now < remembered.until) return remembered.verdict;
  const verdict = verifier.verify(connection.peerChain);
  connection.facts.set(key, { verifier, verdict, until: now + verdictTtlMs } satisfies Remembered);
  return verdict;
}
