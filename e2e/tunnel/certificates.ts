import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { issueCertificate } from '../../src/pki/issue.ts';

/** Paths of what one port of a tunnel's server is known by, and its clients. */
export interface PortCertificates {
  /** Signs both. */
  readonly caFile: string;
  readonly serverCertificateFile: string;
  readonly serverKeyFile: string;
  readonly clientCertificateFile: string;
  readonly clientKeyFile: string;
}

/** The two ports of a server trust different authorities: an agent must not be able to speak as a frontend. */
export interface TunnelCertificates {
  readonly frontend: PortCertificates;
  readonly agent: PortCertificates;
}

/** Makes both authorities and all that they sign, as files below `folder`. `addresses`: of the server, beside loopback. */
export async function issueTunnelCertificates(
  folder: string,
  addresses: readonly string[] = [],
): Promise<TunnelCertificates> {
  const [frontend, agent] = await Promise.all([
    issuePort(join(folder, 'frontend'), addresses),
    issuePort(join(folder, 'agent'), addresses),
  ]);
  return { frontend, agent };
}

async function issuePort(folder: string, addresses: readonly string[]): Promise<PortCertificates> {
  await mkdir(folder, { recursive: true });
  const ca = await issueCertificate({ commonName: 'tunnel-ca', ca: true });
  const [server, client] = await Promise.all([
    issueCertificate(
      {
        commonName: 'tunnel-server',
        usages: ['serverAuth'],
        dnsNames: ['localhost'],
        ipAddresses: ['127.0.0.1', ...addresses],
      },
      { issuer: ca },
    ),
    issueCertificate({ commonName: 'tunnel-client', usages: ['clientAuth'] }, { issuer: ca }),
  ]);
  const write = async (name: string, text: string): Promise<string> => {
    const path = join(folder, name);
    await writeFile(path, text, { mode: 0o600 });
    return path;
  };
  return {
    caFile: await write('ca.crt', ca.certificatePem),
    serverCertificateFile: await write('server.crt', server.certificatePem),
    serverKeyFile: await write('server.key', server.privateKeyPem),
    clientCertificateFile: await write('client.crt', client.certificatePem),
    clientKeyFile: await write('client.key', client.privateKeyPem),
  };
}
