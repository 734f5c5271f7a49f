import type { Duplex } from 'node:stream';
import { wayEnds } from './dial.ts';
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
    const told = { ends: false };
    stream.once(wayEnds, () => (told.ends = true));
    const socket = await connectTls(stream, {
      tls,
      host: address.host,
      alpn: offer,
      signal,
      ...(handshakeTimeoutMs !== undefined && { timeoutMs: handshakeTimeoutMs }),
    });
    stream.once(wayEnds, () => socket.emit(wayEnds));
    // Told during the handshake, it waits until somebody can hear it.
    if (told.ends) setImmediate(() => socket.emit(wayEnds));
    // A server without ALPN speaks what HTTPS spoke before there was ALPN.
    return { socket, protocol: socket.alpnProtocol === 'h2' ? 'h2' : 'http/1.1' };
  };
}
