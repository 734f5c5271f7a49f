import { createPrivateKey, X509Certificate } from 'node:crypto';

/** From when to when a credential is good; milliseconds since the epoch. */
export interface Validity {
  readonly from?: number;
  readonly until: number;
}

export type ValidityState = 'valid' | 'expires-soon' | 'expired';

const dayMs = 86_400_000;
/** Controllers that rotate credentials do so when a fifth of their life is left; nobody needs to know a month ahead. */
const soonPart = 1 / 5;
const soonMostMs = 30 * dayMs;
/** Where nothing says how long the whole life is. */
const soonDefaultMs = dayMs;

/** How a validity stands at a time. Soon is the last fifth of a life, at most 30 days. */
export function validityAt({ from, until }: Validity, now: number): ValidityState {
  if (now >= until) return 'expired';
  const soonMs = from === undefined ? soonDefaultMs : Math.min((until - from) * soonPart, soonMostMs);
  return now >= until - soonMs ? 'expires-soon' : 'valid';
}

export function validityOfCertificate({ validFromDate, validToDate }: X509Certificate): Validity {
  return { from: validFromDate.getTime(), until: validToDate.getTime() };
}

/** A token that is longer is not looked into: kube-apiserver's are of some thousand characters. */
const maxTokenLength = 64 * 1024;

/**
 * When a JSON Web Token (RFC 7519 4.1.4) ends, as it says of itself: nothing is verified, for whoever issued it does
 * that. Undefined for other tokens and for those that name no end.
 */
export function validityOfToken(token: string): Validity | undefined {
  const parts = token.length > maxTokenLength ? [] : token.split('.');
  const [, payload] = parts;
  if (parts.length !== 3 || payload === undefined) return undefined;
  let claims: unknown;
  try {
    claims = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8'));
  } catch {
    return undefined;
  }
  const until = timeOf(claims, 'exp');
  if (until === undefined) return undefined;
  const from = timeOf(claims, 'iat') ?? timeOf(claims, 'nbf');
  return { ...(from === undefined || from >= until ? {} : { from }), until };
}

/** A NumericDate as milliseconds, where it is one that a Date can hold. */
function timeOf(claims: unknown, name: 'exp' | 'iat' | 'nbf'): number | undefined {
  if (typeof claims !== 'object' || claims === null) return undefined;
  const seconds = (claims as Readonly<Record<string, unknown>>)[name];
  if (typeof seconds !== 'number' || !Number.isFinite(new Date(seconds * 1000).getTime())) return undefined;
  return seconds * 1000;
}

/** What is wrong with a client certificate and its key, or from when to when they are good. */
export type KeyPairCheck =
  | { readonly type: 'good'; readonly validity: Validity }
  | { readonly type: 'unreadable-certificate' | 'unreadable-key' | 'mismatch' };

/** Never repeats what it read: OpenSSL's own texts may. */
export function checkKeyPair(certificatePem: string, privateKeyPem: string): KeyPairCheck {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(certificatePem);
  } catch {
    return { type: 'unreadable-certificate' };
  }
  try {
    if (!certificate.checkPrivateKey(createPrivateKey(privateKeyPem))) return { type: 'mismatch' };
  } catch {
    return { type: 'unreadable-key' };
  }
  return { type: 'good', validity: validityOfCertificate(certificate) };
}
