import { constants as cryptoConstants } from 'node:crypto';
import { createServer as createHttpServer } from 'node:http';
import type { Server as HttpServer } from 'node:http';
import { constants as h2, performServerHandshake } from 'node:http2';
import type { IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import { createServer as createTlsServer } from 'node:tls';
import type { SecureVersion, TLSSocket, TlsOptions } from 'node:tls';
import type { AddressInfo } from 'node:net';
import type { Closable } from '../base/scope.ts';
import type { Log } from '../base/log.ts';
import { ClientConnection } from './client-connection.ts';
import type { Exchange } from './exchange.ts';
import { Http1Exchange, UpgradeExchange } from './http1-exchange.ts';
import { Http2Exchange } from './http2-exchange.ts';

export interface ListenerLimits {
  /** Bytes of one request's header lines, both protocols: 1 MiB as Go's server, for callers in a thousand groups. */
  readonly maxHeaderBytes: number;
  /** Concurrent streams of one HTTP/2 connection (`--http2-max-streams-per-connection`). */
  readonly maxStreamsPerConnection: number;
  /** Milliseconds for a TLS handshake, and for the head of an HTTP/1.1 request. */
  readonly handshakeTimeoutMs: number;
  readonly headersTimeoutMs: number;
  /** Milliseconds that an idle keep-alive HTTP/1.1 connection stays: longer than Go's clients keep theirs. */
  readonly keepAliveTimeoutMs: number;
  readonly maxConnections: number;
}

export const defaultListenerLimits: ListenerLimits = {
  maxHeaderBytes: 1024 * 1024,
  maxStreamsPerConnection: 1000,
  handshakeTimeoutMs: 10_000,
  headersTimeoutMs: 32_000,
  keepAliveTimeoutMs: 120_000,
  maxConnections: 20_000,
};

export interface ServingCertificate {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
}

export interface ListenerOptions {
  readonly host: string;
  readonly port: number;
  readonly certificate: ServingCertificate;
  readonly minTlsVersion?: SecureVersion;
  /** OpenSSL names; TLS 1.3 suites cannot be configured, as in Go. */
  readonly cipherSuites?: readonly string[];
  readonly disableHttp2?: boolean;
  readonly limits?: Partial<ListenerLimits>;
  readonly handle: (exchange: Exchange) => void;
  readonly log: Log;
}

export interface Listener extends Closable {
  readonly port: number;
  setCertificate(certificate: ServingCertificate): void;
  /** Open connections, by protocol. */
  connections(): { readonly http2: number; readonly http1: number };
}

/**
 * Listens for HTTP/2 and HTTP/1.1 on one port and turns every request into an Exchange. The split is made by ALPN:
 * `allowHTTP1` of node:http2 would keep HTTP/1.1 under limits that cannot be set (contract 5.2).
 */
export async function listen(options: ListenerOptions): Promise<Listener> {
  const limits = { ...defaultListenerLimits, ...options.limits };
  const sessions = new Set<ServerHttp2Session>();
  const sockets = new Set<TLSSocket>();
  const connections = new WeakMap<object, ClientConnection>();
  const http1 = createHttp1Server({ limits, handle: options.handle, connections });
  const tls = createTlsServer({
    ...tlsOptions(options),
    handshakeTimeout: limits.handshakeTimeoutMs,
    noDelay: true,
    keepAlive: true,
  });
  tls.maxConnections = limits.maxConnections;
  // A broken handshake is the client's affair: port scans and probes make them all day.
  tls.on('tlsClientError', (error: Error) => options.log.debug({ err: error }, 'TLS handshake failed'));
  tls.on('secureConnection', (socket: TLSSocket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => sockets.delete(socket));
    connections.set(socket, new ClientConnection(socket));
    if (socket.alpnProtocol === 'h2') {
      const session = serveHttp2(socket, { limits, handle: options.handle, log: options.log });
      sessions.add(session);
      session.once('close', () => sessions.delete(session));
    } else {
      http1.emit('connection', socket);
    }
  });
  await new Promise<void>((resolve, reject) => {
    tls.once('error', reject);
    tls.listen({ host: options.host, port: options.port }, () => {
      tls.removeListener('error', reject);
      resolve();
    });
  });
  tls.on('error', (error: Error) => options.log.error({ err: error }, 'listener failed'));
  return {
    port: (tls.address() as AddressInfo).port,
    setCertificate: (certificate) => tls.setSecureContext(tlsOptions({ ...options, certificate })),
    connections: () => ({ http2: sessions.size, http1: sockets.size - sessions.size }),
    close: () => closeListener({ tls, http1, sessions, sockets }),
    destroy: () => {
      tls.close();
      for (const session of sessions) session.destroy();
      for (const socket of sockets) socket.destroy();
    },
  };
}

function tlsOptions(options: ListenerOptions): TlsOptions {
  return {
    cert: options.certificate.certificatePem,
    key: options.certificate.privateKeyPem,
    ALPNProtocols: options.disableHttp2 ? ['http/1.1'] : ['h2', 'http/1.1'],
    minVersion: options.minTlsVersion ?? 'TLSv1.2',
    ...(options.cipherSuites ? { ciphers: options.cipherSuites.join(':') } : {}),
    // Certificates are asked for and not judged here: each authenticator verifies the chain against its own CA.
    requestCert: true,
    rejectUnauthorized: false,
    // No resumption: a resumed session would show a chain that nobody presented on this connection.
    secureOptions: cryptoConstants.SSL_OP_NO_TICKET | cryptoConstants.SSL_OP_NO_RENEGOTIATION,
    sessionIdContext: 'cluster-gateway',
  };
}

interface ProtocolOptions {
  readonly limits: ListenerLimits;
  readonly handle: (exchange: Exchange) => void;
}

function createHttp1Server(
  options: ProtocolOptions & { connections: WeakMap<object, ClientConnection> },
): HttpServer {
  const { limits, handle, connections } = options;
  const connectionOf = (socket: object) =>
    connections.get(socket) ?? new ClientConnection(socket as TLSSocket);
  const server = createHttpServer({
    maxHeaderSize: limits.maxHeaderBytes,
    headersTimeout: limits.headersTimeoutMs,
    connectionsCheckingInterval: Math.min(5_000, limits.headersTimeoutMs),
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    // A body may take as long as it takes: uploads through /proxy have no deadline of their own.
    requestTimeout: 0,
    // A missing Host line is refused by the parser, two of them by admission (RFC 9112 3.2).
    requireHostHeader: true,
    insecureHTTPParser: false,
    joinDuplicateHeaders: false,
  });
  server.maxHeadersCount = 0;
  server.on('request', (request, response) =>
    handle(new Http1Exchange(request, response, connectionOf(request.socket))),
  );
  server.on('upgrade', (request, socket, head) =>
    handle(new UpgradeExchange({ request, socket, head, connection: connectionOf(request.socket) })),
  );
  server.on('connect', (_request, socket) => socket.destroy());
  // Node watches slow request heads only on servers that listen; this one is fed by the TLS listener.
  server.emit('listening');
  return server;
}

/** What Node gives with a new stream: flags and the lines as they came stand behind the joined headers. */
type StreamEvent = [
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  flags: number,
  rawHeaders: string[],
];

function serveHttp2(socket: TLSSocket, options: ProtocolOptions & { log: Log }): ServerHttp2Session {
  const { limits, handle, log } = options;
  const session = performServerHandshake(socket, {
    settings: {
      maxConcurrentStreams: limits.maxStreamsPerConnection,
      maxHeaderListSize: limits.maxHeaderBytes,
      initialWindowSize: 256 * 1024,
      enablePush: false,
    },
    // The default of 128 pairs refuses every request of a user in 130 groups (contract 5.2).
    maxHeaderListPairs: 16_384,
    maxSendHeaderBlockLength: limits.maxHeaderBytes,
    maxSessionMemory: 100,
    // kube-aggregator carries all callers on one connection: one who aborts much must not end the others' streams.
    streamResetBurst: 10_000,
    streamResetRate: 1_000,
  });
  // Bodies of many uploads share this connection's window.
  session.setLocalWindowSize(8 * 1024 * 1024);
  const connection = new ClientConnection(socket);
  session.on('error', (error: Error) => log.debug({ err: error }, 'HTTP/2 session failed'));
  session.on('stream', (...[stream, headers, flags, rawHeaders]: StreamEvent) => {
    const endOfStream = (flags & h2.NGHTTP2_FLAG_END_STREAM) !== 0;
    handle(new Http2Exchange({ stream, headers, rawHeaders, endOfStream, connection }));
  });
  return session;
}

async function closeListener(parts: {
  tls: ReturnType<typeof createTlsServer>;
  http1: HttpServer;
  sessions: Set<ServerHttp2Session>;
  sockets: Set<TLSSocket>;
}): Promise<void> {
  const { tls, http1, sessions } = parts;
  const closed = new Promise<void>((resolve) => tls.close(() => resolve()));
  // GOAWAY: running streams end, new ones go elsewhere.
  for (const session of sessions) session.close();
  http1.closeIdleConnections();
  http1.keepAliveTimeout = 1;
  await closed;
}
