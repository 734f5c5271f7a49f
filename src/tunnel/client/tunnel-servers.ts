import type { Failure } from '../../base/failure.ts';
import type { DialOutcome, DialRequest } from './dial-outcome.ts';
import type { DialSearch } from './dial-search.ts';

/** All tunnel servers behind one name. */
export interface TunnelServers {
  /**
   * Asks the next server for a connection; undefined: there is no other. Rejects with a `Failure` when the signal fires
   * before one could be asked, or nobody knows where they are.
   */
  ask(search: DialSearch, request: DialRequest): Promise<DialOutcome | undefined>;
  /** Why the last connection could not be made, of those servers that none could be made to. */
  failures(): Failure[];
  /** HTTP/2 connections that are open; those of mode http-connect are counted as what they carry. */
  readonly size: number;
  /** New connections from here on: certificates are new. */
  renew(): void;
  /** Now and then: looks for servers anew, and closes what is idle. */
  tidy(isInUse: boolean): Promise<void>;
  /** No new connections; those that are open end with what they carry. */
  close(): void;
  destroy(): void;
}
