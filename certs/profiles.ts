import type { CertificateProfile } from '../src/pki/issue.ts';

export interface DevelopmentCertificate {
  /** Base name of the two files, `<name>.crt` and `<name>.key`. */
  readonly name: string;
  /** What it is for, as the command prints it. */
  readonly purpose: string;
  /** Name of the authority that signs it; it stands earlier in the list. Without one it signs itself. */
  readonly issuer?: string;
  readonly profile: CertificateProfile;
}

/** Names under which the Service of apiservice/ and of the chart is reached inside the hub, and the machine at hand. */
const gatewayNames = [
  'cluster-gateway.vela-system.svc',
  'cluster-gateway.vela-system.svc.cluster.local',
  'cluster-gateway.vela-system',
  'cluster-gateway',
  'localhost',
];

/**
 * Three authorities, for three questions: is this the gateway, is this the hub's front proxy, is this a user? An
 * authority that answered two of them would let whom it knows as one speak as the other.
 */
export const developmentCertificates: readonly DevelopmentCertificate[] = [
  {
    name: 'gateway-ca',
    purpose: 'signs the gateway; spec.caBundle of the APIService',
    profile: { commonName: 'cluster-gateway-ca', ca: true },
  },
  {
    name: 'gateway',
    purpose: '--tls-cert-file and --tls-private-key-file',
    issuer: 'gateway-ca',
    profile: {
      commonName: 'cluster-gateway',
      usages: ['serverAuth'],
      dnsNames: gatewayNames,
      ipAddresses: ['127.0.0.1', '::1'],
    },
  },
  {
    name: 'front-proxy-ca',
    purpose: 'signs the front proxy; --requestheader-client-ca-file',
    profile: { commonName: 'front-proxy-ca', ca: true },
  },
  {
    name: 'front-proxy-client',
    purpose: 'the hub speaking for its users; --proxy-client-cert-file of kube-apiserver',
    issuer: 'front-proxy-ca',
    profile: { commonName: 'front-proxy-client', usages: ['clientAuth'] },
  },
  {
    name: 'client-ca',
    purpose: 'signs users; --client-ca-file',
    profile: { commonName: 'client-ca', ca: true },
  },
  {
    name: 'admin',
    purpose: 'a user who may do everything',
    issuer: 'client-ca',
    profile: { commonName: 'admin', organizations: ['system:masters'], usages: ['clientAuth'] },
  },
  {
    name: 'jane',
    purpose: 'a user of the group dev, who may do what RBAC says',
    issuer: 'client-ca',
    profile: { commonName: 'jane', organizations: ['dev'], usages: ['clientAuth'] },
  },
];
