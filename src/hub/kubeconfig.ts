import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { KubeConfig, loadYaml } from '@kubernetes/client-node';
import type { Cluster, User } from '@kubernetes/client-node';
import { z } from 'zod';

import { Redacted } from '../base/redacted.ts';
import type { Address } from '../net/dial.ts';
import type { ClientTlsOptions } from '../net/tls.ts';
import { HubCredentials } from './hub-credentials.ts';
import type { HubIdentity } from './hub-credentials.ts';

/** How the gateway reaches its hub, and as whom. Credentials are read anew, never copied at start. */
export interface HubConfig {
  readonly address: Address;
  /** Value of Host. */
  readonly authority: string;
  /** Below which the API is served; usually empty. */
  readonly basePath: string;
  readonly proxyUrl: Redacted<string> | undefined;
  /** CA, client certificate and server name as they are now; the files behind them may be replaced. */
  tls(fresh?: boolean): Promise<ClientTlsOptions>;
  /** The value of Authorization as it is now; `fresh` forgets what was remembered, after a 401. */
  authorization(fresh?: boolean): Promise<Redacted<string> | undefined>;
}

export interface LoadHubConfigOptions {
  /** Path of a kubeconfig; its current context counts. Absent: the service account of the pod. */
  readonly kubeconfig?: string;
  /** Where a pod's file system begins: for tests. */
  readonly podRoot?: string;
}

/**
 * Loads a kubeconfig, or the service account of the pod when no path is given. Throws when there is neither, and on
 * what would make the gateway somebody else than the kubeconfig says.
 */
export function loadHubConfig(options: LoadHubConfigOptions): HubConfig {
  const identity = loadIdentity(options);
  const url = new URL(identity.cluster.server);
  const reload = () => {
    const next = loadIdentity(options);
    // A credential must not go to another server than the one that it was written for.
    if (next.cluster.server !== identity.cluster.server)
      throw new Error('the server of the kubeconfig has changed; that needs a restart');
    return next;
  };
  const credentials = new HubCredentials(identity, reload);
  const { proxyUrl } = identity.cluster;
  return {
    address: {
      host: url.hostname.replace(/^\[|\]$/g, ''),
      port: url.port === '' ? 443 : Number(url.port),
    },
    authority: url.host,
    basePath: url.pathname.replace(/\/+$/, ''),
    proxyUrl: proxyUrl ? new Redacted(proxyUrl) : undefined,
    tls: (fresh) => credentials.tls(fresh),
    authorization: (fresh) => credentials.authorization(fresh),
  };
}

function loadIdentity({ kubeconfig, podRoot }: LoadHubConfigOptions): HubIdentity {
  const config = new KubeConfig();
  if (kubeconfig === undefined) {
    const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = process.env;
    if (!host || !port)
      throw new Error('no kubeconfig was given, and this is not a pod with a service account');
    config.loadFromCluster(podRoot);
  } else {
    config.loadFromFile(kubeconfig);
  }
  const cluster = config.getCurrentCluster();
  const user = config.getCurrentUser();
  if (!cluster || !user) throw new Error('the kubeconfig has no current context with a cluster and a user');
  check(cluster, user);
  return { config, cluster, user, tokenFile: tokenFileOf(kubeconfig, user) };
}

function check(cluster: Cluster, user: User): void {
  if (!URL.canParse(cluster.server) || new URL(cluster.server).protocol !== 'https:')
    throw new Error('the server of the kubeconfig must be an https:// URL');
  // Without it the gateway would act as the impersonator, who may do more.
  if (user.impersonateUser) throw new Error('the kubeconfig impersonates (`as`), which is not supported');
}

const rawShape = z.object({
  users: z.array(
    z.object({ name: z.string(), user: z.object({ tokenFile: z.string().optional() }).nullish() }),
  ),
});
const providerShape = z.object({ config: z.object({ tokenFile: z.string() }) });

/**
 * Where the token stands, if in a file. client-node knows the key `tokenFile` of a kubeconfig not at all (it reads a
 * `token-file`, once), and re-reads that of an auth provider every minute, with its line feed.
 */
function tokenFileOf(kubeconfig: string | undefined, user: User): string | undefined {
  const provider = providerShape.safeParse(user.authProvider).data;
  if (provider) return provider.config.tokenFile;
  if (kubeconfig === undefined) return undefined;
  const raw = rawShape.safeParse(loadYaml(readFileSync(kubeconfig, 'utf8'))).data;
  const tokenFile = raw?.users.find(({ name }) => name === user.name)?.user?.tokenFile;
  return tokenFile ? resolve(dirname(kubeconfig), tokenFile) : undefined;
}
