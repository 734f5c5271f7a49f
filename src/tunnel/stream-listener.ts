import { chmod, unlink } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createServer as createTlsServer } from 'node:tls';
import type { TLSSocket, TlsOptions } from 'node:tls';
import type { Log } from '../base/log.ts';
import type { Closable } from '../base/scope.ts';
import { tlsFailure } from '../net/node-errors.ts';
import { cipherList } from '../pki/cipher-suites.ts';
import { HandshakePace } from './handshake-pace.ts';

/** TLS material of a port, as PEM. */
export interface ServerTls {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
  /** Clients must have a certificate that it signed; undefined: they need none. */
  readonly clientCaPem: string | undefined;
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
  /** OpenSSL names; empty: Go's defaults. */
  readonly cipherSuites: readonly string[];
}

/** Where a port listens. */
export type ListenAddress =
  | { readonly type: 'tcp'; readonly host: string; readonly port: number }
  | { readonly type: 'unix'; readonly path: string; readonly deleteExisting: boolean };

export interface StreamListenerOptions {
  readonly address: ListenAddress;
  /** Undefined: plain, as on Unix sockets. */
  readonly tls: ServerTls | undefined;
  /** Offered to clients, best first. */
  readonly alpn: readonly string[];
  readonly handshakeTimeoutMs: number;
  /** More connections than this are closed at once. */
  readonly maxConnections: number;
  readonly onConnection: (connection: AcceptedConnection) => void;
  readonly log: Log;
}

export interface AcceptedConnection {
  readonly socket: Duplex;
  /** The agreed protocol; undefined where there is no TLS, or none was offered. */
  readonly alpn: string | undefined;
  /** Present where a client certificate was asked for and verified. */
  readonly certificate: ReturnType<TLSSocket['getPeerX509Certificate']>;
  readonly remoteAddress: string;
}

export interface StreamListenerHandle extends Closable {
  /** The TCP port; 0 for Unix sockets. */
  readonly port: number;
  /** For new connections; those that are open keep theirs. */
  setTls(tls: ServerTls): void;
  readonly connections: number;
}

function contextOptions(tls: ServerTls): TlsOptions {
  return {
    cert: tls.certificatePem,
    key: tls.privateKeyPem,
    minVersion: tls.minVersion,
    ciphers: cipherList(tls.cipherSuites),
    ...(tls.clientCaPem === undefined ? {} : { ca: tls.clientCaPem }),
  };
}

/** Listens for byte streams: TCP with TLS, or a Unix socket. Connections end with the listener's `destroy`. */
export async function listenForStreams(options: StreamListenerOptions): Promise<StreamListenerHandle> {
  const { address, tls, log, onConnection } = options;
  const sockets = new Set<Socket>();
  const tlsServer = tls
    ? createTlsServer({
        ...contextOptions(tls),
        ALPNProtocols: [...options.alpn],
        requestCert: tls.clientCaPem !== undefined,
        rejectUnauthorized: tls.clientCaPem !== undefined,
        handshakeTimeout: options.handshakeTimeoutMs,
      })
    : undefined;
  tlsServer?.on('tlsClientError', (error, socket) => {
    // Node verifies behind the handshake, and then tells the client nothing: this is the only word of it.
    const { authorizationError: code } = socket as { readonly authorizationError?: unknown };
    if (typeof code === 'string')
      log.warn({ reason: tlsFailure({ code }).message }, 'the certificate of a client was refused');
    else log.debug({ err: error }, 'TLS handshake failed');
    socket.destroy();
  });
  tlsServer?.on('secureConnection', (socket) => {
    socket.on('error', () => undefined);
    onConnection({
      socket,
      alpn: socket.alpnProtocol || undefined,
      certificate: tls?.clientCaPem === undefined ? undefined : socket.getPeerX509Certificate(),
      remoteAddress: socket.remoteAddress ?? '',
    });
  });
  const handshakes = new HandshakePace((socket: Socket) => {
    // Its 'close' may come a turn later than its end.
    if (!socket.destroyed) tlsServer?.emit('connection', socket);
  });
  // Nothing is read of a connection that waits for its handshake.
  const accepting = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 30_000, pauseOnConnect: !!tls };
  const server = createServer(accepting, (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => {
      sockets.delete(socket);
      handshakes.remove(socket);
    });
    if (tlsServer) handshakes.add(socket);
    else
      onConnection({
        socket,
        alpn: undefined,
        certificate: undefined,
        remoteAddress: socket.remoteAddress ?? '',
      });
  });
  server.maxConnections = options.maxConnections;
  await startListening(server, address);
  server.on('error', (error: Error) => log.error({ err: error }, 'listener failed'));
  const bound = server.address();
  const stopped = { closing: undefined as Promise<void> | undefined };
  const stop = () => (stopped.closing ??= new Promise<void>((resolve) => server.close(() => resolve())));
  return {
    port: bound !== null && typeof bound !== 'string' ? bound.port : 0,
    setTls: (next) => tlsServer?.setSecureContext(contextOptions(next)),
    get connections() {
      return sockets.size;
    },
    close: stop,
    destroy: () => {
      void stop();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** Agents of a server that was restarted all come back at once; Node's own is 511. */
const backlog = 4096;

async function startListening(server: Server, address: ListenAddress): Promise<void> {
  if (address.type === 'unix' && address.deleteExisting)
    await unlink(address.path).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    const onListening = () => {
      server.removeListener('error', reject);
      resolve();
    };
    if (address.type === 'unix') server.listen({ path: address.path, backlog }, onListening);
    else server.listen({ host: address.host, port: address.port, backlog }, onListening);
  });
  // As the Go server's umask 0007: who shares the group may connect.
  if (address.type === 'unix') await chmod(address.path, 0o770);
}
