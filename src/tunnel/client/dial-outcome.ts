import type { Duplex } from 'node:stream';
import { Failure } from '../../base/failure.ts';
import type { DialFailureReason } from './client-metrics.ts';
import type { CountedConnection } from './connection-counts.ts';
import { peerText } from '../peer-text.ts';

/** One dial, whoever is asked. */
export interface DialRequest {
  /** `host:port`, as agents are asked for it. */
  readonly target: string;
  /** Fires with a `Failure` when there was time enough. */
  readonly signal: AbortSignal;
  readonly counted: CountedConnection;
}

/** What came of asking one tunnel server for a connection. */
export type DialOutcome =
  | { readonly type: 'open'; readonly socket: Duplex }
  /** The server has no agent for the destination; another one may. */
  | { readonly type: 'no-agent' }
  /** The way to the server broke, or its agent did, before there was an answer: once more, elsewhere. */
  | { readonly type: 'lost'; readonly failure: Failure; readonly reason: DialFailureReason }
  /** No connection to the server could be made; why is known of the server. */
  | { readonly type: 'unreachable' }
  /** This server cannot be used; another one may. */
  | { readonly type: 'unusable'; readonly failure: Failure; readonly reason: DialFailureReason }
  /** Nothing else is worth a try: the agent tried in vain, or nobody waits any more. */
  | { readonly type: 'failed'; readonly failure: Failure; readonly reason: DialFailureReason };

/**
 * Reads the error of an answer: tunnel servers and agents tell by words alone (ANP pkg/server, Go's net). What the agent
 * says of the destination is the answer; what a server says of its agents is a reason to ask another server.
 */
export function outcomeOfError(error: string, target: string): DialOutcome {
  if (/no agent available|no tunnels available/i.test(error)) return { type: 'no-agent' };
  if (/agent was lost|too many dials wait/i.test(error)) {
    const failure = new Failure('unreachable', `${target} through the tunnel: ${peerText(error)}`);
    return { type: 'lost', failure, reason: 'endpoint' };
  }
  const isTimeout = /timeout|timed out|deadline exceeded/i.test(error);
  const failure = new Failure(
    isTimeout ? 'timeout' : 'unreachable',
    `the agent cannot reach ${target}: ${peerText(error)}`,
  );
  return { type: 'failed', failure, reason: 'endpoint' };
}
