import { writeFile } from 'node:fs/promises';

import { stringify } from 'yaml';

/** What a kubeconfig of one context says. */
export interface KubeconfigFacts {
  readonly server: string;
  readonly caPem: string;
  readonly user: ClientCertificate | TokenFile;
  /** Name of cluster, user and context. */
  readonly name: string;
}

export interface ClientCertificate {
  readonly certificatePem: string;
  readonly keyPem: string;
}

/** A token in a file of its own, so that it can be replaced under a running reader. */
export interface TokenFile {
  readonly tokenFile: string;
}

/** Writes a kubeconfig that only its owner can read. */
export async function writeKubeconfig(path: string, facts: KubeconfigFacts): Promise<string> {
  const { name } = facts;
  const user =
    'tokenFile' in facts.user
      ? { tokenFile: facts.user.tokenFile }
      : {
          'client-certificate-data': base64(facts.user.certificatePem),
          'client-key-data': base64(facts.user.keyPem),
        };
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      { name, cluster: { server: facts.server, 'certificate-authority-data': base64(facts.caPem) } },
    ],
    users: [{ name, user }],
    contexts: [{ name, context: { cluster: name, user: name } }],
    'current-context': name,
  };
  await writeFile(path, stringify(config), { mode: 0o600 });
  return path;
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}
