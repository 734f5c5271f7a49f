import { parseGoDuration } from '../kube/go-duration.ts';

// Values in the forms that Kubernetes' flags take. Each throws an Error that says what is wrong with the text.

/** A Go duration (`1m30s`), not negative, in milliseconds. */
export function parseDuration(text: string): number {
  const wrong = () => new Error(`${JSON.stringify(text)} is not a duration such as 10s or 1m30s`);
  let ms: number;
  try {
    ms = parseGoDuration(text);
  } catch {
    throw wrong();
  }
  if (ms < 0) throw wrong();
  return ms;
}

/** The same, above zero. */
export function parsePositiveDuration(text: string): number {
  const ms = parseDuration(text);
  if (ms === 0) throw new Error('it must be more than 0');
  return ms;
}

/** As Go's strconv.ParseBool. */
export function parseBoolean(text: string): boolean {
  if (['1', 't', 'T', 'true', 'TRUE', 'True'].includes(text)) return true;
  if (['0', 'f', 'F', 'false', 'FALSE', 'False'].includes(text)) return false;
  throw new Error(`${JSON.stringify(text)} is not true or false`);
}

export function parseInteger(text: string, range: { min: number; max: number }): number {
  const value = Number(text);
  if (!/^-?\d+$/.test(text) || value < range.min || value > range.max) {
    throw new Error(`${JSON.stringify(text)} is not a whole number from ${range.min} to ${range.max}`);
  }
  return value;
}

export function parseNumber(text: string, range: { min: number; max: number }): number {
  const value = Number(text);
  if (!/^\d+(?:\.\d+)?$|^\.\d+$/.test(text) || value < range.min || value > range.max) {
    throw new Error(`${JSON.stringify(text)} is not a number from ${range.min} to ${range.max}`);
  }
  return value;
}

/** Comma-separated; empty members are dropped, as Go's flag values of Kubernetes do. */
export function parseList(text: string): string[] {
  return text
    .split(',')
    .map((member) => member.trim())
    .filter((member) => member !== '');
}

/** `Name=true,Other=false`; empty text and a trailing comma are fine. */
export function parseFeatureGates(text: string): Map<string, boolean> {
  const gates = new Map<string, boolean>();
  for (const pair of parseList(text)) {
    const [name = '', value] = pair.split('=', 2);
    if (value === undefined) throw new Error(`missing bool value for feature gate ${JSON.stringify(name)}`);
    gates.set(name.trim(), parseBoolean(value.trim()));
  }
  return gates;
}

/** Go's TLS 1.2 cipher suites by OpenSSL's names. TLS 1.3 suites are always on, as in Go. */
const cipherSuites: Record<string, string> = {
  TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: 'ECDHE-ECDSA-AES128-GCM-SHA256',
  TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: 'ECDHE-RSA-AES128-GCM-SHA256',
  TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384: 'ECDHE-ECDSA-AES256-GCM-SHA384',
  TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384: 'ECDHE-RSA-AES256-GCM-SHA384',
  TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: 'ECDHE-ECDSA-CHACHA20-POLY1305',
  TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256: 'ECDHE-RSA-CHACHA20-POLY1305',
  TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305: 'ECDHE-ECDSA-CHACHA20-POLY1305',
  TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305: 'ECDHE-RSA-CHACHA20-POLY1305',
  TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA: 'ECDHE-ECDSA-AES128-SHA',
  TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA: 'ECDHE-RSA-AES128-SHA',
  TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA: 'ECDHE-ECDSA-AES256-SHA',
  TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA: 'ECDHE-RSA-AES256-SHA',
  TLS_AES_128_GCM_SHA256: 'TLS_AES_128_GCM_SHA256',
  TLS_AES_256_GCM_SHA384: 'TLS_AES_256_GCM_SHA384',
  TLS_CHACHA20_POLY1305_SHA256: 'TLS_CHACHA20_POLY1305_SHA256',
};

/** OpenSSL's names of cipher suites that are written as Go writes them. */
export function parseCipherSuites(text: string): string[] {
  return parseList(text).map((name) => {
    const suite = cipherSuites[name];
    if (suite === undefined)
      throw new Error(`cipher suite ${JSON.stringify(name)} is not known or not secure`);
    return suite;
  });
}

export function parseTlsVersion(text: string): 'TLSv1.2' | 'TLSv1.3' {
  if (text === 'VersionTLS12') return 'TLSv1.2';
  if (text === 'VersionTLS13') return 'TLSv1.3';
  throw new Error(`${JSON.stringify(text)} is not VersionTLS12 or VersionTLS13`);
}

/** Files of a certificate and its key, and the names that it is for; without names those in the certificate. */
export interface SniCertificateFiles {
  readonly certificateFile: string;
  readonly keyFile: string;
  readonly names: readonly string[];
}

/** `cert,key` or `cert,key:name,name`, one to a line (component-base cli/flag/namedcertkey_flag.go). */
export function parseSniCertificates(text: string): SniCertificateFiles[] {
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map(parseSniCertificate);
}

function parseSniCertificate(text: string): SniCertificateFiles {
  const colon = text.indexOf(':');
  const files = (colon < 0 ? text : text.slice(0, colon)).split(',').map((file) => file.trim());
  const [certificateFile, keyFile, ...more] = files;
  if (!certificateFile || !keyFile || more.length > 0)
    throw new Error(
      `${JSON.stringify(text)} is not a certificate file and a key file with a comma between them`,
    );
  if (colon < 0) return { certificateFile, keyFile, names: [] };
  const names = parseList(text.slice(colon + 1));
  if (names.length === 0) throw new Error(`${JSON.stringify(text)} has no names behind the colon`);
  return { certificateFile, keyFile, names };
}
