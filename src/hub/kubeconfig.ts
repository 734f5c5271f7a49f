import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { RequestOptions } from 'node:https';
import { dirname, resolve } from 'node:path';
import { KubeConfig } from '@kubernetes/client-node';
import type { Cluster, User } from '@kubernetes/client-node';
import { parse } from 'yaml';
import { z } from 'zod';
import { Redacted } from '../base/redacted.ts';
import type { Address } from '../net/dial.ts';
import type { ClientTlsOptions } from '../net/tls.ts';

/** How the gateway reaches its hub, and as whom. Credentials are read anew, never copied at start. */
export interface HubConfig {
  readonly address: Address;
  /** Value of Host. */
  readonly authority: string;
  /** Below which the API is served; usually empty. */
  readonly basePath: string;
  readonly proxyUrl: Redacted<string> | undefined;
  /** CA, client certificate and server name as they are now; the files behind them may be replaced. */
  tls(): Promise<ClientTlsOptions>;
  /** The value of Authorization as it is now; `fresh` forgets what was remembered, after a 401. */
  authorization(fresh?: boolean): Promise<Redacted<string> | undefined>;
}

/** Loads a kubeconfig, or the service account of the pod when no path is given. Throws when there is neither. */
export function loadHubConfig(options: { readonly kubeconfig?: string }): HubConfig {
  const config = new KubeConfig();
  if (options.kubeconfig === undefined) {
    if (process.env.KUBERNETES_SERVICE_HOST === undefined) {
      throw new Error('no --kubeconfig was given, and this is not a pod with a service account');
    }
    config.loadFromCluster();
  } else {
    config.loadFromFile(options.kubeconfig);
  }
  const cluster = config.getCurrentCluster();
  const user = config.getCurrentUser();
  if (!cluster || !user) throw new Error('the kubeconfig has no current context with a cluster and a user');
  const url = new URL(cluster.server);
  if (url.protocol !== 'https:') throw new Error('the hub must be reached over https');
  const tokenFile = tokenFileOf(options.kubeconfig, user);
  return {
    address: { host: url.hostname.replace(/^\[|\]$/g, ''), port: url.port === '' ? 443 : Number(url.port) },
    authority: url.host,
    basePath: url.pathname.replace(/\/+$/, ''),
    proxyUrl: cluster.proxyUrl ? new Redacted(cluster.proxyUrl) : undefined,
    tls: () => tlsOf(config, cluster, user),
    authorization: tokenFile === undefined ? authorizationOf(config, user) : authorizationFromFile(tokenFile),
  };
}

const rawShape = z.object({
  users: z
    .array(z.object({ name: z.string(), user: z.object({ tokenFile: z.string().optional() }).nullish() }))
    .nullish(),
});

/** client-node reads `token-file` once, where kubectl's key is `tokenFile` and its content is meant to rotate. */
function tokenFileOf(kubeconfig: string | undefined, user: User): string | undefined {
  if (kubeconfig === undefined) return inClusterTokenFile(user);
  const raw = rawShape.safeParse(parse(readFileSync(kubeconfig, 'utf8')));
  const tokenFile = raw.data?.users?.find(({ name }) => name === user.name)?.user?.tokenFile;
  return tokenFile === undefined ? undefined : resolve(dirname(kubeconfig), tokenFile);
}

function inClusterTokenFile(user: User): string | undefined {
  const provider = z.object({ config: z.object({ tokenFile: z.string() }) }).safeParse(user.authProvider);
  return provider.data?.config.tokenFile;
}

/** As often as client-go reads a token file at most (its default is one minute; tokens may be revoked sooner). */
const rereadMs = 10_000;

function authorizationFromFile(path: string): HubConfig['authorization'] {
  let value: Redacted<string> | undefined;
  let readAt = 0;
  return async (fresh = false) => {
    if (!fresh && value && Date.now() - readAt < rereadMs) return value;
    try {
      const token = (await readFile(path, 'utf8')).trim();
      if (token !== '') value = new Redacted(`Bearer ${token}`);
      readAt = Date.now();
    } catch (error) {
      // A file that is being replaced: the last token may still be good.
      if (!value) throw error;
    }
    return value;
  };
}

/** Static tokens, passwords and plugins, the last by client-node, which runs them again when they expire. */
function authorizationOf(config: KubeConfig, user: User): HubConfig['authorization'] {
  if (!user.exec && !user.authProvider) {
    if (user.token) return () => Promise.resolve(new Redacted(`Bearer ${user.token ?? ''}`));
    if (!user.username) return () => Promise.resolve(undefined);
    const basic = Buffer.from(`${user.username}:${user.password ?? ''}`).toString('base64');
    return () => Promise.resolve(new Redacted(`Basic ${basic}`));
  }
  let value: Redacted<string> | undefined;
  let readAt = 0;
  return async (fresh = false) => {
    if (!fresh && Date.now() - readAt < rereadMs) return value;
    const applied = await appliedOptions(config);
    const header = Object.entries(applied.headers ?? {}).find(
      ([name]) => name.toLowerCase() === 'authorization',
    )?.[1];
    value = typeof header === 'string' ? new Redacted(header) : undefined;
    readAt = Date.now();
    return value;
  };
}

async function appliedOptions(config: KubeConfig): Promise<RequestOptions> {
  const options: RequestOptions = { headers: {} };
  await config.applyToHTTPSOptions(options);
  return options;
}

async function tlsOf(config: KubeConfig, cluster: Cluster, user: User): Promise<ClientTlsOptions> {
  const plugin = user.exec ? await appliedOptions(config) : undefined;
  const [ca, certificatePem, privateKeyPem] = await Promise.all([
    pem(cluster.caFile, cluster.caData),
    pem(user.certFile, user.certData),
    pem(user.keyFile, user.keyData),
  ]);
  const certificate = certificatePem ?? textOf(plugin?.cert);
  const key = privateKeyPem ?? textOf(plugin?.key);
  return {
    ...(cluster.skipTLSVerify ? { insecure: true } : ca === undefined ? {} : { ca }),
    ...(certificate !== undefined && key !== undefined
      ? { certificatePem: certificate, privateKeyPem: key }
      : {}),
    ...(cluster.tlsServerName ? { serverName: cluster.tlsServerName } : {}),
  };
}

async function pem(file: string | undefined, data: string | undefined): Promise<string | undefined> {
  if (data) return Buffer.from(data, 'base64').toString('utf8');
  return file ? readFile(file, 'utf8') : undefined;
}

const textOf = (value: unknown) =>
  typeof value === 'string' ? value : Buffer.isBuffer(value) ? value.toString('utf8') : undefined;
