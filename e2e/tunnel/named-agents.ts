import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { issueCertificate } from '../../src/pki/issue.ts';
import type { PortCertificates } from './certificates.ts';

/** Certificates of the port for agents, whose clients' are made out to one name each. */
export async function issueNamedAgents<Name extends string>(
  folder: string,
  names: readonly Name[],
): Promise<Readonly<Record<Name, PortCertificates>>> {
  await mkdir(folder, { recursive: true });
  const ca = await issueCertificate({ commonName: 'agents-ca', ca: true });
  const write = async (name: string, text: string): Promise<string> => {
    const path = join(folder, name);
    await writeFile(path, text, { mode: 0o600 });
    return path;
  };
  const server = await issueCertificate(
    { commonName: 'tunnel-server', usages: ['serverAuth'], ipAddresses: ['127.0.0.1'] },
    { issuer: ca },
  );
  const shared = {
    caFile: await write('ca.crt', ca.certificatePem),
    serverCertificateFile: await write('server.crt', server.certificatePem),
    serverKeyFile: await write('server.key', server.privateKeyPem),
  };
  const issued = names.map(async (name) => {
    const client = await issueCertificate(
      { commonName: name, usages: ['clientAuth'], dnsNames: [name] },
      { issuer: ca },
    );
    return [
      name,
      {
        ...shared,
        clientCertificateFile: await write(`${name}.crt`, client.certificatePem),
        clientKeyFile: await write(`${name}.key`, client.privateKeyPem),
      },
    ] as const;
  });
  return Object.fromEntries(await Promise.all(issued)) as Record<Name, PortCertificates>;
}
