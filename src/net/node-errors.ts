import { isIPv6 } from 'node:net';
import { Failure, errorText } from '../base/failure.ts';
import type { FailureKind } from '../base/failure.ts';
import { Http2ConnectionError, errorName } from '../http2/frame.ts';
import type { Address } from './dial.ts';

/** `host:port` as it stands in messages and in Host: IPv6 addresses in brackets. */
export function hostPort({ host, port }: Address): string {
  return `${isIPv6(host) ? `[${host}]` : host}:${port}`;
}

interface NodeError {
  readonly code?: unknown;
  readonly address?: unknown;
  readonly port?: unknown;
  readonly reason?: unknown;
  readonly errors?: unknown;
}

/** The error of the first try, when Happy Eyeballs failed at every address. */
function firstOf(error: unknown): unknown {
  const { errors } = (error ?? {}) as NodeError;
  return Array.isArray(errors) && errors.length > 0 ? (errors[0] as unknown) : error;
}

/** Node's `code` of an error, or ''. */
export function codeOf(error: unknown): string {
  const { code } = (firstOf(error) ?? {}) as NodeError;
  return typeof code === 'string' ? code : '';
}

/** Go's words for what the kernel answers to connect(2): kubectl's users and controllers match on them. */
const connectTexts: Record<string, readonly [FailureKind, string]> = {
  ECONNREFUSED: ['unreachable', 'connect: connection refused'],
  EHOSTUNREACH: ['unreachable', 'connect: no route to host'],
  ENETUNREACH: ['unreachable', 'connect: network is unreachable'],
  ETIMEDOUT: ['timeout', 'i/o timeout'],
  ECONNRESET: ['unreachable', 'connect: connection reset by peer'],
  EADDRNOTAVAIL: ['unreachable', 'connect: cannot assign requested address'],
  EACCES: ['unreachable', 'connect: permission denied'],
  EPERM: ['unreachable', 'connect: operation not permitted'],
  EINVAL: ['unreachable', 'connect: invalid argument'],
  EMFILE: ['unreachable', 'socket: too many open files'],
  ENFILE: ['unreachable', 'socket: too many open files in system'],
};

/** Why `net.connect` to this address failed. */
export function dialFailure(error: unknown, target: Address): Failure {
  const first = (firstOf(error) ?? {}) as NodeError;
  const code = codeOf(error);
  if (code === 'ENOTFOUND' || code === 'ENODATA')
    return new Failure('unreachable', `dial tcp: lookup ${target.host}: no such host`, { cause: error });
  if (code === 'EAI_AGAIN' || code === 'ESERVFAIL' || code === 'EREFUSED')
    return new Failure('unreachable', `dial tcp: lookup ${target.host}: server misbehaving`, {
      cause: error,
    });
  const host = typeof first.address === 'string' ? first.address : target.host;
  const where = hostPort({ host, port: target.port });
  const [kind, text] = connectTexts[code] ?? (['unreachable', errorText(firstOf(error))] as const);
  return new Failure(kind, `dial tcp ${where}: ${text}`, { cause: error });
}

const x509 = 'tls: failed to verify certificate: x509:';
const certificateTexts: Record<string, string> = {
  CERT_HAS_EXPIRED: `${x509} certificate has expired or is not yet valid`,
  CERT_NOT_YET_VALID: `${x509} certificate has expired or is not yet valid`,
  CERT_REVOKED: `${x509} certificate has been revoked`,
  CERT_SIGNATURE_FAILURE: `${x509} certificate signed by unknown authority (possibly because of "crypto/rsa: verification error" while trying to verify candidate authority certificate)`,
  INVALID_PURPOSE: `${x509} certificate specifies an incompatible key usage`,
  INVALID_CA: `${x509} certificate is not authorized to sign other certificates`,
  PATH_LENGTH_EXCEEDED: `${x509} too many intermediates for path length constraint`,
};
const unknownAuthority = new Set([
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'CERT_UNTRUSTED',
]);

/** Why a TLS handshake failed, in the words of Go's crypto/tls. */
export function tlsFailure(error: unknown): Failure {
  if (error instanceof Failure) return error;
  const code = codeOf(error);
  const certificate = unknownAuthority.has(code)
    ? `${x509} certificate signed by unknown authority`
    : certificateTexts[code];
  if (certificate !== undefined) return new Failure('untrusted', certificate, { cause: error });
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code === 'ERR_SSL_PACKET_LENGTH_TOO_LONG')
    return new Failure('unreachable', 'tls: first record does not look like a TLS handshake', {
      cause: error,
    });
  const alert = alertText(code);
  if (alert !== undefined) return new Failure('untrusted', `remote error: tls: ${alert}`, { cause: error });
  if (code === 'ECONNRESET' || code === 'EPIPE')
    // Node says ECONNRESET also when the peer just closed: there is no telling them apart.
    return new Failure('unreachable', 'tls handshake: connection reset by peer', { cause: error });
  if (code === 'ETIMEDOUT') return new Failure('timeout', 'tls handshake: i/o timeout', { cause: error });
  const { reason } = (error ?? {}) as NodeError;
  const kind = code.startsWith('ERR_SSL_') ? 'untrusted' : 'unreachable';
  const text = typeof reason === 'string' ? reason : errorText(error);
  return new Failure(kind, `tls: handshake failure: ${text}`, { cause: error });
}

/**
 * `ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED` → `certificate required`: alerts that the peer sent. OpenSSL 3.2 has given those
 * that are as old as SSL another name, `SSL/TLS`.
 */
function alertText(code: string): string | undefined {
  const alert = /^ERR_SSL_(?:SSLV3|TLSV1|TLSV13|SSL\/TLS)_ALERT_(.+)$/.exec(code)?.[1];
  if (alert === undefined) return undefined;
  const text = alert.toLowerCase().replaceAll('_', ' ');
  return text === 'unknown ca' ? 'unknown certificate authority' : text;
}

/** Why an established connection broke. */
export function connectionFailure(error: unknown, sent: boolean): Failure {
  if (error instanceof Failure) return error;
  const code = codeOf(error);
  const options = { cause: error, sent };
  if (error instanceof Http2ConnectionError)
    return new Failure('reset', `http2: connection error: ${errorName(error.code)}`, options);
  const alert = alertText(code);
  if (alert !== undefined) return new Failure('untrusted', `remote error: tls: ${alert}`, options);
  if (code === 'ETIMEDOUT') return new Failure('reset', 'read: connection timed out', options);
  if (code === 'EPIPE') return new Failure('reset', 'write: broken pipe', options);
  if (code === 'HPE_HEADER_OVERFLOW')
    return new Failure('too-large', 'the header of the answer is too large', options);
  if (code.startsWith('HPE_')) return new Failure('reset', 'malformed HTTP response', options);
  if (code === 'ECONNRESET' && errorText(error) !== 'socket hang up' && errorText(error) !== 'aborted')
    return new Failure('reset', 'read: connection reset by peer', options);
  return new Failure('reset', 'unexpected EOF', options);
}

/** What a signal's abort means to whoever waits below: the reason itself when it is a Failure (a deadline, say). */
export function abortFailure(signal: AbortSignal, sent = false): Failure {
  const reason: unknown = signal.reason;
  return reason instanceof Failure
    ? reason
    : new Failure('cancelled', 'context canceled', { cause: reason, sent });
}
