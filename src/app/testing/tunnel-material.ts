import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { issueCertificate } from '../../pki/issue.ts';
import type { IssuedCertificate } from '../../pki/issue.ts';
import type { PortCertificateFiles, TunnelServerRoleOptions } from '../tunnel-server-options.ts';

/** The authority of one port, its certificate, and one for clients. */
export interface PortMaterial {
  readonly ca: IssuedCertificate;
  readonly server: IssuedCertificate;
  readonly client: IssuedCertificate;
}

export async function issuePortMaterial(name: string): Promise<PortMaterial> {
  const ca = await issueCertificate({ commonName: `${name}-ca`, ca: true });
  const server = await issueCertificate(
    {
      commonName: `${name}-server`,
      usages: ['serverAuth'],
      ipAddresses: ['127.0.0.1'],
      dnsNames: ['localhost'],
    },
    { issuer: ca },
  );
  const client = await issueCertificate(
    { commonName: `${name}-client`, usages: ['clientAuth'] },
    { issuer: ca },
  );
  return { ca, server, client };
}

/** A directory with the files of ports; `remove` it after the test. */
export function materialDirectory() {
  const directory = mkdtempSync(join(tmpdir(), 'tunnel-server-'));
  return {
    path: (name: string) => join(directory, name),
    /** Writes, or writes again, what a port has. */
    write: (
      port: string,
      { ca, server }: Pick<PortMaterial, 'ca' | 'server'>,
    ): Required<PortCertificateFiles> => {
      const at = (file: string) => join(directory, `${port}-${file}`);
      writeFileSync(at('ca.crt'), ca.certificatePem);
      writeFileSync(at('tls.crt'), server.certificatePem);
      writeFileSync(at('tls.key'), server.privateKeyPem);
      return { certificateFile: at('tls.crt'), keyFile: at('tls.key'), clientCaFile: at('ca.crt') };
    },
    remove: () => rmSync(directory, { recursive: true }),
  };
}

export const freePort = { host: '127.0.0.1', port: 0 } as const;

export function roleOptions(
  files: { readonly frontend: PortCertificateFiles; readonly agent: PortCertificateFiles },
  more: Partial<TunnelServerRoleOptions> = {},
): TunnelServerRoleOptions {
  const address = { type: 'tcp', ...freePort } as const;
  return {
    serverId: 'server-1',
    serverCount: { type: 'fixed', count: 2 },
    strategies: ['destHost', 'default'],
    frontend: { mode: 'grpc', address, certificates: files.frontend, allowedNames: [] },
    agents: { address, certificates: files.agent },
    agentTokens: undefined,
    kubeconfig: undefined,
    identifierRule: 'any',
    tlsMinVersion: 'TLSv1.2',
    tlsCipherSuites: [],
    dialTimeoutMs: 5_000,
    keepaliveMs: 0,
    frontendKeepaliveMs: 0,
    maxPendingDials: 100,
    maxHeldBytes: 16 * 1024 * 1024,
    shutdownGraceMs: 10_000,
    health: freePort,
    admin: freePort,
    verbosity: 0,
    ...more,
  };
}
