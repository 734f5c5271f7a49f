import { generateKeyPairSync } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { type IssuedCertificate, issueCertificate } from '../../src/pki/issue.ts';

/** The keys and certificates of one cluster, in memory and as files of its folder. */
export interface ClusterCertificates {
  /** Signs the server, the users and the kubelet. */
  readonly ca: IssuedCertificate;
  readonly admin: IssuedCertificate;
  /** Path of a file of these certificates. */
  readonly file: (name: ClusterCertificateFile) => string;
}

type ClusterCertificateFile =
  'ca.crt' | 'apiserver.crt' | 'apiserver.key' | 'sa.key' | NodeFile | FrontProxyFile;
type NodeFile = 'kubelet-client.crt' | 'kubelet-client.key' | 'kubelet.crt' | 'kubelet.key';
type FrontProxyFile = 'front-proxy-ca.crt' | 'front-proxy-client.crt' | 'front-proxy-client.key';

export interface CertificatesOptions {
  readonly folder: string;
  readonly name: string;
  /** Whether an aggregated server is reached from here. */
  readonly frontProxy: boolean;
  /** Node name, if there is a node. */
  readonly node?: string;
  /** Addresses of the API server and of the node, beside loopback. */
  readonly address?: string;
  readonly nodeAddress?: string;
}

/** Makes a cluster's own CA, everything that it signs, and the service-account key. */
export async function issueClusterCertificates(options: CertificatesOptions): Promise<ClusterCertificates> {
  const { folder } = options;
  await mkdir(folder, { recursive: true });
  const ca = await issueCertificate({ commonName: `${options.name}-ca`, ca: true });
  const server = issueCertificate(
    {
      commonName: 'kube-apiserver',
      usages: ['serverAuth'],
      dnsNames: ['localhost', 'kubernetes', 'kubernetes.default.svc'],
      ipAddresses: withLoopback(options.address),
    },
    { issuer: ca },
  );
  const admin = issueClient(ca, 'kubernetes-admin', ['system:masters']);
  // One file both signs and verifies service account tokens: the API server takes the public half out of it.
  const serviceAccounts = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  const saKey = serviceAccounts.export({ type: 'sec1', format: 'pem' });
  await Promise.all([
    write(folder, 'ca.crt', ca.certificatePem),
    write(folder, 'sa.key', saKey),
    server.then((issued) => writePair(folder, 'apiserver', issued)),
    options.frontProxy ? issueFrontProxy(folder) : undefined,
    issueKubelet(ca, options),
  ]);
  return { ca, admin: await admin, file: (name) => join(folder, name) };
}

/** A client certificate as Kubernetes reads it: the common name is the user, the organizations are its groups. */
export function issueClient(
  ca: IssuedCertificate,
  user: string,
  groups: readonly string[],
): Promise<IssuedCertificate> {
  return issueCertificate(
    { commonName: user, organizations: groups, usages: ['clientAuth'] },
    { issuer: ca },
  );
}

/** Its own CA: whoever holds a certificate of the clients' CA must not be able to speak as the front proxy. */
async function issueFrontProxy(folder: string): Promise<void> {
  const ca = await issueCertificate({ commonName: 'front-proxy-ca', ca: true });
  const client = await issueClient(ca, 'front-proxy-client', []);
  await write(folder, 'front-proxy-ca.crt', ca.certificatePem);
  await writePair(folder, 'front-proxy-client', client);
}

async function issueKubelet(
  ca: IssuedCertificate,
  { folder, node, nodeAddress }: CertificatesOptions,
): Promise<void> {
  if (node === undefined) return;
  const [client, server] = await Promise.all([
    issueClient(ca, 'kube-apiserver-kubelet-client', ['system:masters']),
    issueCertificate(
      { commonName: node, usages: ['serverAuth'], dnsNames: [node], ipAddresses: withLoopback(nodeAddress) },
      { issuer: ca },
    ),
  ]);
  await Promise.all([writePair(folder, 'kubelet-client', client), writePair(folder, 'kubelet', server)]);
}

function withLoopback(address: string | undefined): string[] {
  return ['127.0.0.1', ...(address === undefined ? [] : [address])];
}

async function writePair(folder: string, name: string, issued: IssuedCertificate): Promise<void> {
  await Promise.all([
    write(folder, `${name}.crt`, issued.certificatePem),
    write(folder, `${name}.key`, issued.privateKeyPem),
  ]);
}

function write(folder: string, name: string, text: string | Buffer): Promise<void> {
  return writeFile(join(folder, name), text, { mode: 0o600 });
}
