import { constants as cryptoConstants } from 'node:crypto';
import type { Socket } from 'node:net';
import { createSecureContext, createServer } from 'node:tls';
import type { SecureContext, SecureVersion, Server, TLSSocket, TlsOptions } from 'node:tls';
import type { Log } from '../base/log.ts';
import { cipherList } from '../pki/cipher-suites.ts';
import { certificateForAddress, certificateForName, certificatesByName } from './sni-certificates.ts';
import type { ServingCertificate, SniCertificate } from './sni-certificates.ts';

export interface TlsSettings {
  readonly minTlsVersion?: SecureVersion;
  /** OpenSSL names; TLS 1.3 suites cannot be configured, as in Go. */
  readonly cipherSuites?: readonly string[];
  readonly disableHttp2?: boolean;
}

export interface TlsServerOptions extends TlsSettings {
  readonly certificate: ServingCertificate;
  /** In order: the first that has a name counts. */
  readonly sniCertificates?: readonly SniCertificate[];
  readonly handshakeTimeoutMs: number;
  readonly onConnection: (socket: TLSSocket) => void;
  /** A handshake failed; the connection is over. */
  readonly onHandshakeError?: () => void;
  readonly log: Log;
}

export interface TlsServer {
  /** Makes the handshake on an accepted connection. */
  accept(socket: Socket): void;
  setCertificates(certificate: ServingCertificate, sniCertificates: readonly SniCertificate[]): void;
}

/**
 * The TLS side of the listener. The certificate is chosen by the name that the client asks for and, when it asks for
 * none, by the local address that it reached, as kube-apiserver does (dynamiccertificates/tlsconfig.go).
 */
export function createTlsServer(options: TlsServerOptions): TlsServer {
  let contexts = new Map<ServingCertificate, SecureContext>();
  let byName: ReadonlyMap<string, ServingCertificate> = new Map();
  let byAddress = new Map<string, Server>();
  const contextOf = (certificate: ServingCertificate) => {
    let context = contexts.get(certificate);
    if (!context) {
      context = createSecureContext(contextOptions(certificate, options));
      contexts.set(certificate, context);
    }
    return context;
  };
  const serverFor = (certificate: ServingCertificate) =>
    startServer(options, certificate, (name) => {
      const named = certificateForName(byName, name);
      return named && contextOf(named);
    });
  const setNames = (sniCertificates: readonly SniCertificate[]) => {
    byName = certificatesByName(sniCertificates);
    contexts = new Map();
    byAddress = new Map();
  };
  setNames(options.sniCertificates ?? []);
  const main = serverFor(options.certificate);
  /** Without a name Node asks nobody, so that an address with a certificate of its own has a server of its own. */
  const serverAt = (address: string) => {
    const certificate = certificateForAddress(byName, address);
    if (!certificate) return main;
    const known = byAddress.get(address);
    if (known) return known;
    const server = serverFor(certificate);
    byAddress.set(address, server);
    return server;
  };
  return {
    accept: (socket) => void serverAt(socket.localAddress ?? '').emit('connection', socket),
    setCertificates: (certificate, sniCertificates) => {
      main.setSecureContext(contextOptions(certificate, options));
      setNames(sniCertificates);
    },
  };
}

/** A server that does not listen: connections are given to it. */
function startServer(
  options: TlsServerOptions,
  certificate: ServingCertificate,
  contextFor: (name: string) => SecureContext | undefined,
): Server {
  const server = createServer({
    ...contextOptions(certificate, options),
    ALPNProtocols: options.disableHttp2 ? ['http/1.1'] : ['h2', 'http/1.1'],
    // Certificates are asked for and not judged here: each authenticator verifies the chain against its own CA.
    requestCert: true,
    rejectUnauthorized: false,
    SNICallback: (name, done) => done(null, contextFor(name)),
    handshakeTimeout: options.handshakeTimeoutMs,
  });
  // A broken handshake is the client's affair: port scans and probes make them all day.
  server.on('tlsClientError', (error, socket) => {
    options.log.debug({ err: error }, 'TLS handshake failed');
    options.onHandshakeError?.();
    // Node tells that the time for it is over, and leaves the connection open.
    socket.destroy();
  });
  server.on('secureConnection', options.onConnection);
  return server;
}

function contextOptions(certificate: ServingCertificate, settings: TlsSettings): TlsOptions {
  return {
    cert: certificate.certificatePem,
    key: certificate.privateKeyPem,
    minVersion: settings.minTlsVersion ?? 'TLSv1.2',
    ciphers: cipherList(settings.cipherSuites),
    // No resumption: a resumed session would show a chain that nobody presented on this connection.
    secureOptions: cryptoConstants.SSL_OP_NO_TICKET | cryptoConstants.SSL_OP_NO_RENEGOTIATION,
    sessionIdContext: 'cluster-gateway',
  };
}
