import { createServer } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import type { Server as HttpServer } from 'node:http';
import type { TLSSocket } from 'node:tls';
import type { Closable } from '../base/scope.ts';
import type { Log } from '../base/log.ts';
import { ClientConnection } from './client-connection.ts';
import type { Exchange } from './exchange.ts';
import { createHttp1Server } from './http1-server.ts';
import { Http2ServerConnection } from './http2-connection.ts';
import { defaultListenerLimits } from './listener-limits.ts';
import type { ListenerLimits } from './listener-limits.ts';
import type { ServingCertificate, SniCertificate } from './sni-certificates.ts';
import { createTlsServer } from './tls-server.ts';
import type { TlsSettings } from './tls-server.ts';

export interface ListenerOptions extends TlsSettings {
  readonly host: string;
  readonly port: number;
  readonly certificate: ServingCertificate;
  readonly sniCertificates?: readonly SniCertificate[];
  readonly limits?: Partial<ListenerLimits>;
  readonly handle: (exchange: Exchange) => void;
  /** A TLS handshake failed. */
  readonly onHandshakeError?: () => void;
  readonly log: Log;
}

export interface Listener extends Closable {
  readonly port: number;
  /** For new connections; those that are open keep theirs. */
  setCertificates(certificate: ServingCertificate, sniCertificates?: readonly SniCertificate[]): void;
  /** Open connections, by protocol. */
  connections(): { readonly http2: number; readonly http1: number };
}

/**
 * Listens for HTTP/2 and HTTP/1.1 on one port and turns every request into an Exchange. The split is made by ALPN, so
 * that each protocol has its own limits: `allowHTTP1` of node:http2 has one server with the limits of both.
 */
export async function listen(options: ListenerOptions): Promise<Listener> {
  const limits = { ...defaultListenerLimits, ...options.limits };
  const { handle, log } = options;
  const sockets = new Set<TLSSocket>();
  const http2 = new Set<Http2ServerConnection>();
  const clients = new WeakMap<object, ClientConnection>();
  const state = { closing: false };
  const http1 = createHttp1Server({
    ...{ limits, handle, isClosing: () => state.closing },
    connectionOf: (socket) => clients.get(socket) ?? new ClientConnection(socket as TLSSocket),
  });
  const onConnection = (socket: TLSSocket) => {
    const client = new ClientConnection(socket);
    clients.set(socket, client);
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => sockets.delete(socket));
    if (socket.alpnProtocol === 'h2') {
      const connection = new Http2ServerConnection(client, { limits, handle, log });
      http2.add(connection);
      socket.once('close', () => http2.delete(connection));
    } else {
      http1.emit('connection', socket);
    }
  };
  const tls = createTlsServer({ ...options, handshakeTimeoutMs: limits.handshakeTimeoutMs, onConnection });
  // A peer that is gone is noticed within a minute also where nothing is sent: Go's listener does the same.
  const server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: 30_000 });
  server.maxConnections = limits.maxConnections;
  server.on('connection', (socket) => tls.accept(socket));
  await startListening(server, options);
  server.on('error', (error: Error) => log.error({ err: error }, 'listener failed'));
  const checks = setInterval(() => {
    for (const connection of http2) connection.check(performance.now());
  }, checkIntervalMs(limits));
  checks.unref();
  server.once('close', () => http1.close());
  return {
    port: (server.address() as AddressInfo).port,
    setCertificates: (certificate, sni = []) => tls.setCertificates(certificate, sni),
    connections: () => ({ http2: http2.size, http1: sockets.size - http2.size }),
    close: () => {
      state.closing = true;
      return closeListener({ server, http1, http2 }).finally(() => clearInterval(checks));
    },
    destroy: () => {
      clearInterval(checks);
      server.close();
      for (const connection of http2) connection.destroy();
      for (const socket of sockets) socket.destroy();
    },
  };
}

function startListening(server: Server, { host, port }: ListenerOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, () => {
      server.removeListener('error', reject);
      resolve();
    });
  });
}

/** Often enough for the shortest of the times that are looked at. */
function checkIntervalMs({ http2IdleTimeoutMs, pingIntervalMs, headersTimeoutMs }: ListenerLimits): number {
  return Math.max(10, Math.min(5_000, http2IdleTimeoutMs / 4, pingIntervalMs / 4, headersTimeoutMs / 4));
}

async function closeListener(parts: {
  server: Server;
  http1: HttpServer;
  http2: Set<Http2ServerConnection>;
}): Promise<void> {
  const { server, http1, http2 } = parts;
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  // GOAWAY: running streams end, new ones go elsewhere.
  for (const connection of http2) connection.finish();
  http1.closeIdleConnections();
  http1.keepAliveTimeout = 1;
  await closed;
}
