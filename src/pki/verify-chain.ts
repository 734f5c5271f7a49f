import type { X509Certificate } from 'node:crypto';
import { readCertificateBundle } from './certificate-bundle.ts';
import { readCertificateFields } from './certificate-fields.ts';
import type { CertificateFields } from './certificate-fields.ts';
import { derTag, readDerInside, readDerValues } from './der.ts';

export interface ChainVerifierOptions {
  /** What the leaf is used for: a client's proof of who it is, or a server's. */
  readonly purpose: 'client' | 'server';
  readonly now?: () => Date;
}

export type ChainVerdict = { readonly ok: true } | { readonly ok: false; readonly reason: string };

export interface ChainVerifier {
  /** How many certificates of the bundle can be read and end a chain, if they are valid when it is verified. */
  readonly authorities: number;
  /** How many certificates of the bundle could not be read. */
  readonly unreadable: number;
  /** `chain` is what the peer presented: the leaf first, then certificates in any order. Never throws. */
  verify(chain: readonly X509Certificate[]): ChainVerdict;
}

/**
 * Verifies chains against one set of authorities, apart from Node's TLS layer: one listener serves front proxies and
 * users, whose authorities must not vouch for each other, and `socket.authorized` knows only one set. The rules are those
 * of Go's x509.Verify, where kube-apiserver's clients were tried, but stricter in one: name constraints are not
 * evaluated, so an authority that has them ends no chain. Host names are not looked at.
 *
 * @example
 * const users = createChainVerifier(clientCaPem, { purpose: 'client' });
 * const verdict = users.verify(presentedChain(socket));
 */
export function createChainVerifier(caPem: string, options: ChainVerifierOptions): ChainVerifier {
  const bundle = readCertificateBundle(caPem);
  const authorities = bundle.certificates.flatMap(readEntry);
  return {
    authorities: authorities.length,
    unreadable: bundle.unreadable + bundle.certificates.length - authorities.length,
    verify: (chain) =>
      new ChainSearch(authorities, purposeOids[options.purpose], options.now?.() ?? new Date()).run(chain),
  };
}

const purposeOids = { client: '1.3.6.1.5.5.7.3.2', server: '1.3.6.1.5.5.7.3.1' } as const;
const purposeNames: Record<string, string> = {
  [purposeOids.client]: 'client authentication',
  [purposeOids.server]: 'server authentication',
};
const anyPurpose = '2.5.29.37.0';
const basicConstraintsOid = '2.5.29.19';
const nameConstraintsOid = '2.5.29.30';

/** The extensions whose meaning is taken into account, here or by OpenSSL's checkIssued (RFC 5280 §4.2). */
const understood = new Set([
  '2.5.29.14', // subject key identifier
  '2.5.29.15', // key usage
  '2.5.29.17', // subject alternative name
  basicConstraintsOid,
  '2.5.29.32', // certificate policies: none is asked for, so any will do
  '2.5.29.35', // authority key identifier
  '2.5.29.37', // extended key usage
]);

/** Signatures by MD2, MD4, MD5 and SHA-1 can be forged; Go has refused them since 1.18. */
const forgeable = new Set([
  '1.2.840.113549.1.1.2',
  '1.2.840.113549.1.1.3',
  '1.2.840.113549.1.1.4',
  '1.2.840.113549.1.1.5',
  '1.2.840.10040.4.3',
  '1.2.840.10045.4.1',
]);

/** Certificates in a chain, both ends counted. */
const longestChain = 8;
/** A peer may present any number of certificates of one name; Go has the same bound. */
const mostSignatureChecks = 100;

interface Entry {
  readonly certificate: X509Certificate;
  readonly fields: CertificateFields;
  /** How many intermediate certificates may stand below this one. */
  readonly pathLength: number;
}

function readEntry(certificate: X509Certificate): Entry[] {
  try {
    const fields = readCertificateFields(certificate);
    return [{ certificate, fields, pathLength: pathLengthConstraint(fields) }];
  } catch {
    return [];
  }
}

/** One verification: a depth-first search for any chain that holds. */
class ChainSearch {
  readonly #authorities: readonly Entry[];
  readonly #purpose: string;
  readonly #now: Date;
  #presented: readonly Entry[] = [];
  #signatureChecks = 0;
  /** Why a candidate was refused that came closest; a chain that leads nowhere has no better reason than that. */
  #refusal: string | undefined;

  constructor(authorities: readonly Entry[], purpose: string, now: Date) {
    this.#authorities = authorities;
    this.#purpose = purpose;
    this.#now = now;
  }

  run(chain: readonly X509Certificate[]): ChainVerdict {
    const [first, ...others] = chain;
    if (!first) return { ok: false, reason: 'no certificate was presented' };
    const [leaf] = readEntry(first);
    if (!leaf) return { ok: false, reason: 'the certificate cannot be read' };
    this.#presented = others.flatMap(readEntry);
    const problem = this.#problemOf(leaf, 'the certificate');
    if (problem !== undefined) return { ok: false, reason: problem };
    // A certificate that is itself in the bundle is trusted as it is, with no authority behind it.
    const trusted = this.#authorities.some(({ certificate }) => same(certificate, leaf.certificate));
    if (trusted || this.#extend([leaf])) return { ok: true };
    return { ok: false, reason: this.#refusal ?? 'the certificate is signed by an unknown authority' };
  }

  /** Looks for an authority above the last of the path, by way of presented certificates where there is none. */
  #extend(path: readonly Entry[]): boolean {
    const child = path.at(-1);
    if (!child || path.length >= longestChain) return false;
    const isNew = (entry: Entry) => !path.some(({ certificate }) => same(certificate, entry.certificate));
    const accepts = (issuer: Entry, name: string) =>
      isNew(issuer) && this.#issued(issuer, child) && this.#mayIssue(issuer, path.length, name);
    return (
      this.#authorities.some((authority) => accepts(authority, 'the authority')) ||
      this.#presented.some(
        (issuer) => accepts(issuer, 'an intermediate certificate') && this.#extend([...path, issuer]),
      )
    );
  }

  #issued(issuer: Entry, child: Entry): boolean {
    try {
      // Names, key identifiers and the right to sign certificates first: they are cheap, a signature is not.
      if (!child.certificate.checkIssued(issuer.certificate)) return false;
      if (++this.#signatureChecks > mostSignatureChecks) return this.#refuse('too many signatures to check');
      if (!child.certificate.verify(issuer.certificate.publicKey)) return false;
      if (!forgeable.has(child.fields.signatureAlgorithm)) return true;
      return this.#refuse('the signature is of a kind that can be forged');
    } catch {
      return false; // A key of a kind that OpenSSL cannot verify with.
    }
  }

  /** `length`: certificates below the issuer; all but the leaf count against its path length constraint. */
  #mayIssue(issuer: Entry, length: number, name: string): boolean {
    if (!issuer.certificate.ca) return this.#refuse(`${name} may not sign certificates`);
    const problem = this.#problemOf(issuer, name);
    if (problem !== undefined) return this.#refuse(problem);
    if (issuer.fields.extensions.some(({ oid }) => oid === nameConstraintsOid))
      return this.#refuse(`${name} has name constraints, which are not supported`);
    if (length - 1 > issuer.pathLength) return this.#refuse(`${name} allows fewer intermediate certificates`);
    return true;
  }

  #refuse(reason: string): false {
    this.#refusal ??= reason;
    return false;
  }

  #problemOf({ certificate, fields }: Entry, name: string): string | undefined {
    // Written so that a date that cannot be read, NaN, is a problem.
    if (!(certificate.validFromDate.getTime() <= this.#now.getTime())) return `${name} is not yet valid`;
    if (!(this.#now.getTime() <= certificate.validToDate.getTime())) return `${name} has expired`;
    if (fields.extensions.some(({ oid, critical }) => critical && !understood.has(oid)))
      return `${name} has a critical extension that is not known`;
    if (!allowsPurpose(certificate, fields, this.#purpose))
      return `${name} is not for ${purposeNames[this.#purpose] ?? this.#purpose}`;
    return undefined;
  }
}

function same(one: X509Certificate, other: X509Certificate): boolean {
  return one.raw.equals(other.raw);
}

/** Without the extension any purpose is fine; with it, in a leaf or in an authority, only the purposes in it. */
function allowsPurpose(certificate: X509Certificate, fields: CertificateFields, purpose: string): boolean {
  if (!fields.extensions.some(({ oid }) => oid === '2.5.29.37')) return true;
  // The typings say that it is always there; Node gives undefined for a certificate without.
  const usages = certificate.keyUsage as readonly string[] | undefined;
  return usages?.some((usage) => usage === purpose || usage === anyPurpose) ?? false;
}

/** BasicConstraints ::= SEQUENCE { cA BOOLEAN DEFAULT FALSE, pathLenConstraint INTEGER OPTIONAL } */
function pathLengthConstraint(fields: CertificateFields): number {
  const extension = fields.extensions.find(({ oid }) => oid === basicConstraintsOid);
  const [outer] = extension ? readDerValues(extension.value) : [];
  const bound = outer && readDerInside(outer, derTag.sequence).find(({ tag }) => tag === derTag.integer);
  if (!bound) return Infinity;
  // A negative one is no constraint that could be kept (RFC 5280 §4.2.1.9).
  if (((bound.content[0] ?? 0x80) & 0x80) !== 0) throw new Error('the path length constraint is negative');
  return bound.content.reduce((number, byte) => number * 256 + byte, 0);
}
