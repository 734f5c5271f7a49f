import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { checkServerIdentity, connect, createSecureContext } from 'node:tls';
import type { PeerCertificate, SecureContext, TLSSocket } from 'node:tls';
import { Failure, errorText } from '../base/failure.ts';
import { abortFailure, tlsFailure } from './node-errors.ts';

export interface ClientTlsOptions {
  /** Certificates that may sign the server's, PEM; the public ones of Node when absent. */
  readonly ca?: string;
  /** Accept any server certificate. */
  readonly insecure?: boolean;
  /** Our own certificate chain and its key, PEM: both or neither. */
  readonly certificatePem?: string;
  readonly privateKeyPem?: string;
  /** Verify the certificate for this name, and send it as SNI, instead of the host that is dialled. */
  readonly serverName?: string;
}

/** TLS material of one cluster, parsed once. Make it anew when the material changes: it also remembers TLS sessions. */
export interface ClientTls {
  readonly context: SecureContext;
  readonly verify: boolean;
  readonly serverName: string | undefined;
  /** Resumable sessions by server name and ALPN offer: a resumed handshake costs no signature and no chain check. */
  readonly sessions: Map<string, { readonly session: Buffer; readonly storedAt: number }>;
}

export interface TlsConnectOptions {
  readonly tls: ClientTls;
  /** The host that is dialled: what the certificate is checked for, unless `tls.serverName` says otherwise. */
  readonly host: string;
  readonly alpn: readonly string[];
  readonly signal: AbortSignal;
  /** How long the handshake may take: 10 s unless said, as in Go's default transport. */
  readonly timeoutMs?: number;
}

/** A verified chain is not looked at again on resumption, so a session is forgotten long before a certificate may have expired. */
const sessionLifetimeMs = 3_600_000;
const maxSessionsRemembered = 16;

/** Parses TLS material. Throws a `Failure` (`untrusted`) that says what is wrong with it. */
export function createClientTls(options: ClientTlsOptions = {}): ClientTls {
  const { ca, certificatePem, privateKeyPem, insecure = false, serverName } = options;
  if ((certificatePem === undefined) !== (privateKeyPem === undefined))
    throw new Failure('untrusted', 'tls: a client certificate needs its private key, and the reverse');
  try {
    if (ca !== undefined) checkCertificates(ca);
    const context = createSecureContext({
      minVersion: 'TLSv1.2',
      ...(ca !== undefined && { ca }),
      ...(certificatePem !== undefined && { cert: certificatePem, key: privateKeyPem }),
    });
    return { context, verify: !insecure, serverName, sessions: new Map() };
  } catch (error) {
    // OpenSSL's messages name the fault, never the key.
    throw new Failure('untrusted', `tls: bad certificate or key: ${errorText(error)}`, { cause: error });
  }
}

/** OpenSSL skips what it cannot read, and an empty list of authorities must not pass for a good one. */
function checkCertificates(pem: string): void {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g);
  if (!blocks) throw new Error('the CA data holds no certificate');
  for (const block of blocks) new X509Certificate(block);
}

/** Runs a TLS handshake over a byte stream. Rejects with a `Failure` and then has destroyed the stream. */
export function connectTls(stream: Duplex, options: TlsConnectOptions): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const { signal } = options;
    if (signal.aborted) {
      stream.destroy();
      reject(abortFailure(signal));
      return;
    }
    // Its errors come out of the TLS socket; unheard here they would end the process.
    stream.on('error', () => undefined);
    const socket = startHandshake(stream, options);
    const onSecure = () => {
      settle();
      resolve(socket);
    };
    const fail = (failure: Failure) => {
      settle();
      socket.on('error', () => undefined);
      socket.destroy();
      stream.destroy();
      reject(failure);
    };
    const onError = (error: Error) => fail(tlsFailure(error));
    const onClose = () => fail(new Failure('unreachable', 'tls handshake: EOF'));
    const onAbort = () => fail(abortFailure(signal));
    const timer = setTimeout(
      () => fail(new Failure('timeout', 'net/http: TLS handshake timeout')),
      options.timeoutMs ?? 10_000,
    );
    const settle = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      socket.off('secureConnect', onSecure).off('error', onError).off('close', onClose);
    };
    signal.addEventListener('abort', onAbort);
    socket.on('secureConnect', onSecure).on('error', onError).on('close', onClose);
  });
}

function startHandshake(stream: Duplex, { tls, host, alpn }: TlsConnectOptions): TLSSocket {
  const name = tls.serverName ?? host;
  const key = `${name} ${alpn.join(',')}`;
  const known = tls.sessions.get(key);
  const resume = known !== undefined && Date.now() - known.storedAt < sessionLifetimeMs;
  const socket = connect({
    socket: stream,
    host: name,
    // RFC 6066 §3: no IP address in SNI. The certificate is still checked for it, by `host`.
    ...(isIP(name) === 0 && { servername: name }),
    secureContext: tls.context,
    ALPNProtocols: [...alpn],
    rejectUnauthorized: tls.verify,
    checkServerIdentity: verifyName,
    ...(resume && { session: known.session }),
  });
  // It would take this of the stream below, whatever that is: TLS sockets are closed when their peer's end was read.
  socket.allowHalfOpen = false;
  socket.on('session', (session: Buffer) => {
    if (!tls.sessions.has(key) && tls.sessions.size >= maxSessionsRemembered) tls.sessions.clear();
    tls.sessions.set(key, { session, storedAt: Date.now() });
  });
  return socket;
}

/** Subject alternative names only, as Go does: Node would still take the common name of a certificate without them. */
function verifyName(host: string, certificate: PeerCertificate): Error | undefined {
  const names = certificate.subjectaltname ?? '';
  if (names !== '' && checkServerIdentity(host, certificate) === undefined) return undefined;
  const prefix = 'tls: failed to verify certificate: x509:';
  const kind = isIP(host) === 0 ? 'DNS' : 'IP Address';
  const valid = names
    .split(', ')
    .filter((name) => name.startsWith(`${kind}:`))
    .map((name) => name.slice(kind.length + 1));
  if (valid.length > 0)
    return new Failure('untrusted', `${prefix} certificate is valid for ${valid.join(', ')}, not ${host}`);
  return new Failure(
    'untrusted',
    kind === 'DNS'
      ? `${prefix} certificate is not valid for any names, but wanted to match ${host}`
      : `${prefix} cannot validate certificate for ${host} because it doesn't contain any IP SANs`,
  );
}
