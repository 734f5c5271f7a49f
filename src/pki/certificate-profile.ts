export type CertificateUsage = 'serverAuth' | 'clientAuth';

/** What a certificate says. Times have a resolution of one second. */
export interface CertificateProfile {
  readonly commonName: string;
  /** Each becomes an O of its own; Kubernetes reads them as the groups of a client. */
  readonly organizations?: readonly string[];
  /** Without usages there is no extended key usage extension: good for any purpose. */
  readonly usages?: readonly CertificateUsage[];
  readonly ca?: boolean;
  readonly dnsNames?: readonly string[];
  readonly ipAddresses?: readonly string[];
  /** Days from now; 365, or 3650 for a CA, unless told. */
  readonly validDays?: number;
  /** Five minutes ago unless told, for peers whose clock is late. */
  readonly notBefore?: Date;
  /** Wins over `validDays`. */
  readonly notAfter?: Date;
}

/** A certificate and its private key, the key as PKCS#8. */
export interface IssuedCertificate {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
}

/** A profile with everything decided that is not a key. */
export interface CertificateContent {
  readonly profile: CertificateProfile;
  readonly validity: { readonly notBefore: Date; readonly notAfter: Date };
  /** Hexadecimal. */
  readonly serialNumber: string;
}
