import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { addressOf, tunnelled } from '../tunnel/world-tunnel.ts';
import type { KubeCluster } from './control-plane.ts';
import type { KubeWorld } from './kube.ts';
import { requestToken } from './token.ts';

export type CredentialType = 'X509Certificate' | 'ServiceAccountToken' | 'Dynamic';

export interface RegisterOptions {
  /** The cluster that the Secret leads to. */
  readonly cluster: KubeCluster;
  readonly credential: CredentialType;
  /** Who the gateway is there: by default an administrator. For tokens the user is a service account of kube-system. */
  readonly user?: string;
  readonly groups?: readonly string[];
  /** Instead of the cluster's own address. */
  readonly endpoint?: string;
  /** CA as PEM instead of the cluster's own; null leaves it out. */
  readonly caPem?: string | null;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  /** More keys of the Secret, as text (proxy-url), or other values for those that it has. */
  readonly data?: Readonly<Record<string, string>>;
}

/** What a registration left behind that a test may turn. */
export interface Registered {
  readonly name: string;
  /** For `Dynamic`: the file with the ExecCredential that the plugin prints. */
  readonly execCredentialFile?: string;
  /** Removes the Secret. */
  remove(): Promise<void>;
}

const namespace = 'vela-system';
const secretsPath = `/api/v1/namespaces/${namespace}/secrets`;

/**
 * Writes the Secret of a cluster at the hub, or replaces it: from then on the gateway knows the cluster by `name`.
 * @example await registerCluster(world, 'a', { cluster: world.a, credential: 'X509Certificate' });
 */
export async function registerCluster(
  world: KubeWorld,
  name: string,
  options: RegisterOptions,
): Promise<Registered> {
  const { data, ...rest } = await credentialData(world, name, options);
  const caPem = options.caPem === undefined ? options.cluster.caPem : options.caPem;
  await applySecret(world, {
    name,
    labels: { 'cluster.core.oam.dev/cluster-credential-type': options.credential, ...options.labels },
    annotations: options.annotations ?? {},
    data: {
      endpoint: options.endpoint ?? options.cluster.url,
      ...(caPem === null ? {} : { 'ca.crt': caPem }),
      ...data,
      ...options.data,
    },
  });
  const remove = async (): Promise<void> => {
    await world.hub.api.expect(`${secretsPath}/${name}`, { method: 'DELETE' });
  };
  return { name, ...rest, remove };
}

/** A Secret as it is: for the ill-formed ones. Values are text, not yet base64. */
export interface ClusterSecret {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly data: Readonly<Record<string, string>>;
  /** Why it is left as it is in a world whose clusters are behind a tunnel (ENDPOINT=tunnel). */
  readonly direct?: string;
}

type SecretWorld = Pick<KubeWorld, 'hub' | 'a' | 'b' | 'tunnel'>;

/**
 * Creates a Secret in the gateway's namespace of the hub, or replaces it as a whole. The namespace is made if need be. In a
 * world with a tunnel it becomes one of a cluster behind that, if it may.
 */
export async function applySecret(world: SecretWorld, given: ClusterSecret): Promise<void> {
  const { hub } = world;
  const secret = await behindTunnel(world, given);
  const body = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: secret.name, namespace, labels: secret.labels, annotations: secret.annotations ?? {} },
    type: 'Opaque',
    data: Object.fromEntries(
      Object.entries(secret.data).map(([key, value]) => [key, Buffer.from(value).toString('base64')]),
    ),
  };
  const replaced = await hub.api.call(`${secretsPath}/${secret.name}`, { method: 'PUT', body });
  if (replaced.status === 200) return;
  await createOnce(hub, '/api/v1/namespaces', { metadata: { name: namespace } });
  await hub.api.expect(secretsPath, { method: 'POST', body });
}

async function behindTunnel(
  { tunnel, hub, a, b }: SecretWorld,
  secret: ClusterSecret,
): Promise<ClusterSecret> {
  const address = tunnel && secret.direct === undefined ? addressOf(secret) : undefined;
  if (tunnel === undefined || address === undefined) return secret;
  await tunnel.lead(secret.name, address);
  const isOwn = [hub, a, b].some(({ port }) => port === address.port);
  return tunnelled(secret, isOwn ? undefined : address);
}

interface CredentialData {
  readonly data: Readonly<Record<string, string>>;
  readonly execCredentialFile?: string;
}

async function credentialData(
  world: KubeWorld,
  name: string,
  options: RegisterOptions,
): Promise<CredentialData> {
  switch (options.credential) {
    case 'X509Certificate':
      return { data: await certificateData(options) };
    case 'ServiceAccountToken':
      return { data: { token: await accountToken(options) } };
    case 'Dynamic': {
      const path = join(world.directory, `exec-credential-${name}.json`);
      await writeExecCredential(path, await accountToken(options));
      const exec = {
        apiVersion: 'client.authentication.k8s.io/v1',
        command: '/bin/cat',
        args: [path],
        interactiveMode: 'Never',
      };
      return { data: { exec: JSON.stringify(exec) }, execCredentialFile: path };
    }
  }
}

async function certificateData({ cluster, user, groups }: RegisterOptions): Promise<Record<string, string>> {
  const isAdmin = user === undefined && groups === undefined;
  const issued = await cluster.user(user ?? 'cluster-gateway', groups ?? (isAdmin ? ['system:masters'] : []));
  return { 'tls.crt': issued.certificatePem, 'tls.key': issued.keyPem };
}

/** A service account, an administrator unless it was named by the caller, who then says in RBAC what it may do. */
async function accountToken({ cluster, user }: RegisterOptions): Promise<string> {
  const account = user ?? 'cluster-gateway';
  await createOnce(cluster, '/api/v1/namespaces/kube-system/serviceaccounts', {
    metadata: { name: account },
  });
  if (user === undefined) {
    await createOnce(cluster, '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
      metadata: { name: account },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
      subjects: [{ kind: 'ServiceAccount', name: account, namespace: 'kube-system' }],
    });
  }
  return requestToken(cluster, { namespace: 'kube-system', name: account, seconds: 30 * 86_400 });
}

/** Replaces what the exec plugin of a `Dynamic` cluster prints. */
export async function writeExecCredential(path: string, token: string, expires?: Date): Promise<void> {
  const status = { token, ...(expires === undefined ? {} : { expirationTimestamp: expires.toISOString() }) };
  const credential = { apiVersion: 'client.authentication.k8s.io/v1', kind: 'ExecCredential', status };
  await writeFile(path, JSON.stringify(credential), { mode: 0o600 });
}

async function createOnce({ api }: KubeCluster, path: string, body: unknown): Promise<void> {
  const answer = await api.call(path, { method: 'POST', body });
  if (answer.status !== 201 && answer.status !== 409) {
    throw new Error(`POST ${path}: ${answer.status} ${answer.text}`);
  }
}
