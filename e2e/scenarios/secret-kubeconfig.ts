import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { writeKubeconfig } from '../worlds/kubeconfig.ts';
import type { ClusterName, World } from './world.ts';

/**
 * A kubeconfig that leads to a cluster itself, with the very credential that the Secret of its registration holds
 * (a certificate or a token): what a command does there is what it must do through the gateway.
 */
export async function secretKubeconfig(world: World, name: string, cluster: ClusterName): Promise<string> {
  const secret = (await world.hub.api.expect(`/api/v1/namespaces/vela-system/secrets/${name}`)) as {
    data: Record<string, string>;
  };
  const text = (key: string): string => Buffer.from(secret.data[key] ?? '', 'base64').toString();
  const tokenFile = join(world.directory, `direct-${name}.token`);
  if (secret.data['token'] !== undefined) await writeFile(tokenFile, text('token'), { mode: 0o600 });
  return writeKubeconfig(join(world.directory, `direct-${name}.kubeconfig`), {
    name,
    server: world[cluster].url,
    caPem: world[cluster].caPem,
    user:
      secret.data['token'] === undefined
        ? { certificatePem: text('tls.crt'), keyPem: text('tls.key') }
        : { tokenFile },
  });
}
