import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { KubeCluster } from '../worlds/kube.ts';
import { writeKubeconfig } from '../worlds/kubeconfig.ts';

/**
 * A kubeconfig that leads to a cluster itself, with the very credential that the Secret of its registration holds
 * (a certificate or a token): what a command does there is what it must do through the gateway.
 */
export async function secretKubeconfig(
  { hub, directory }: { readonly hub: Pick<KubeCluster, 'api'>; readonly directory: string },
  name: string,
  { url, caPem }: Pick<KubeCluster, 'url' | 'caPem'>,
): Promise<string> {
  const secret = (await hub.api.expect(`/api/v1/namespaces/vela-system/secrets/${name}`)) as {
    data: Record<string, string>;
  };
  const text = (key: string): string => Buffer.from(secret.data[key] ?? '', 'base64').toString();
  const tokenFile = join(directory, `direct-${name}.token`);
  if (secret.data['token'] !== undefined) await writeFile(tokenFile, text('token'), { mode: 0o600 });
  return writeKubeconfig(join(directory, `direct-${name}.kubeconfig`), {
    name,
    ...{ server: url, caPem },
    user:
      secret.data['token'] === undefined
        ? { certificatePem: text('tls.crt'), keyPem: text('tls.key') }
        : { tokenFile },
  });
}
