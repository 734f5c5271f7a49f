import type { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { presentedChain } from '../pki/presented-chain.ts';

/** A connection that a caller opened: who is at the other end, as far as TLS says. */
export class ClientConnection {
  readonly socket: TLSSocket;
  readonly remoteAddress: string;
  /** By performance.now(). */
  readonly openedAt = performance.now();
  /** The most that any request over it has shown of who is at the other end; set by admission. */
  caller: 'unknown' | 'authenticated' | 'frontProxy' = 'unknown';
  /** What authenticators found out about this connection; each under a key of its own, ended with the connection. */
  readonly facts = new Map<object, unknown>();
  #chain: readonly X509Certificate[] | undefined;

  constructor(socket: TLSSocket) {
    this.socket = socket;
    this.remoteAddress = socket.remoteAddress ?? '';
  }

  /**
   * The certificates that the client presented, leaf first; empty without any. Not verified here: which CA counts
   * depends on who asks. TLS sessions are never resumed (listener.ts), so the chain is always the presented one.
   */
  get peerChain(): readonly X509Certificate[] {
    this.#chain ??= presentedChain(this.socket);
    return this.#chain;
  }
}
