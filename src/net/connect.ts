import type { Duplex } from 'node:stream';
import type { Address, Dial } from './dial.ts';
import { connectTls } from './tls.ts';
import type { ClientTls } from './tls.ts';

export type Protocol = 'h2' | 'http/1.1';

/** Opens a connection to one target and says which protocol the peer chose of those offered. */
export type Connect = (
  offer: readonly Protocol[],
  signal: AbortSignal,
) => Promise<{ readonly socket: Duplex; readonly protocol: Protocol }>;

export interface ConnectOptions {
  readonly address: Address;
  readonly dial: Dial;
  /** Absent: plain HTTP/1.1. */
  readonly tls?: ClientTls;
  readonly handshakeTimeoutMs?: number;
}

/** Dial and, where there is TLS, the handshake with ALPN (RFC 7301). */
export function createConnect({ address, dial, tls, handshakeTimeoutMs }: ConnectOptions): Connect {
  return async (offer, signal) => {
    const stream = await dial(address, signal);
    if (!tls) return { socket: stream, protocol: 'http/1.1' };
    const socket = await connectTls(stream, {
      tls,
      host: address.host,
      alpn: offer,
      signal,
      ...(handshakeTimeoutMs !== undefined && { timeoutMs: handshakeTimeoutMs }),
    });
    // A server without ALPN speaks what HTTPS spoke before there was ALPN.
    return { socket, protocol: socket.alpnProtocol === 'h2' ? 'h2' : 'http/1.1' };
  };
}
