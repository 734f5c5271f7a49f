import { readFile } from 'node:fs/promises';
import type { RequestOptions } from 'node:https';
import type { Cluster, KubeConfig, User } from '@kubernetes/client-node';
import { Failure } from '../base/failure.ts';
import { Redacted } from '../base/redacted.ts';
import type { ClientTlsOptions } from '../net/tls.ts';

/** The current context of a kubeconfig. */
export interface HubIdentity {
  readonly config: KubeConfig;
  readonly cluster: Cluster;
  readonly user: User;
  /** Its content goes before a token in the kubeconfig, as with kubectl. */
  readonly tokenFile: string | undefined;
}

type Authorization = Redacted<string> | undefined;

/** A token file is read again after this. client-go waits a minute; tokens may be revoked sooner. */
const rereadMs = 10_000;
/** However many answers are 401, the kubeconfig is loaded (and its plugin run) only this often because of them. */
const reloadPauseMs = 1_000;
const pluginTimeoutMs = 30_000;

/** Reads credentials when they are needed: files are read again, plugins run again, after a 401 everything at once. */
export class HubCredentials {
  readonly #reload: () => HubIdentity;
  #identity: HubIdentity;
  #reloadedAt = -Infinity;
  #value: Authorization;
  #readAt = -Infinity;
  #reading: Promise<Authorization> | undefined;
  #plugin: Promise<RequestOptions> | undefined;

  constructor(identity: HubIdentity, reload: () => HubIdentity) {
    this.#identity = identity;
    this.#reload = reload;
  }

  async tls(fresh = false): Promise<ClientTlsOptions> {
    if (fresh) this.#forget();
    const { cluster, user } = this.#identity;
    const [ca, fileCertificate, fileKey, plugin] = await Promise.all([
      pem(cluster.caFile, cluster.caData),
      pem(user.certFile, user.certData),
      pem(user.keyFile, user.keyData),
      user.exec ? this.#runPlugin() : undefined,
    ]);
    const certificatePem = fileCertificate ?? textOf(plugin?.cert);
    const privateKeyPem = fileKey ?? textOf(plugin?.key);
    return {
      ...(cluster.skipTLSVerify ? { insecure: true } : ca === undefined ? {} : { ca }),
      ...(certificatePem !== undefined && { certificatePem }),
      ...(privateKeyPem !== undefined && { privateKeyPem }),
      ...(cluster.tlsServerName ? { serverName: cluster.tlsServerName } : {}),
    };
  }

  authorization(fresh = false): Promise<Authorization> {
    if (fresh) this.#forget();
    if (performance.now() - this.#readAt < rereadMs) return Promise.resolve(this.#value);
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #read(): Promise<Authorization> {
    const { user, tokenFile } = this.#identity;
    if (tokenFile === undefined && (user.exec || user.authProvider)) {
      const { headers } = await this.#runPlugin();
      const header = Object.entries(headers ?? {}).find(([name]) => name.toLowerCase() === 'authorization');
      this.#value = typeof header?.[1] === 'string' ? new Redacted(header[1]) : undefined;
    } else if (tokenFile !== undefined) {
      this.#value = (await tokenFrom(tokenFile)) ?? this.#value;
      if (!this.#value)
        throw new Failure('refused', 'the token file for the hub cannot be read or holds no token');
    } else {
      this.#value = staticAuthorization(user);
    }
    this.#readAt = performance.now();
    return this.#value;
  }

  /** Plugins are client-node's, which remembers what one gave until it expires: a new KubeConfig forgets it. */
  #forget(): void {
    this.#readAt = -Infinity;
    if (performance.now() - this.#reloadedAt < reloadPauseMs) return;
    this.#reloadedAt = performance.now();
    try {
      this.#identity = this.#reload();
    } catch {
      // A file that is being written, or another server's: the identity that there was may still be good.
    }
  }

  /** One run for all who wait. Its messages are not shown: a broken one may print what it was to give. */
  #runPlugin(): Promise<RequestOptions> {
    this.#plugin ??= withTimeout(appliedOptions(this.#identity.config)).finally(() => {
      this.#plugin = undefined;
    });
    return this.#plugin;
  }
}

function staticAuthorization({ token, username, password }: User): Authorization {
  if (token) return new Redacted(`Bearer ${token.trim()}`);
  if (!username) return undefined;
  return new Redacted(`Basic ${Buffer.from(`${username}:${password ?? ''}`).toString('base64')}`);
}

/** Undefined for a file that is away or empty: it is being replaced, and the last token may still be good. */
async function tokenFrom(path: string): Promise<Authorization> {
  const token = await readFile(path, 'utf8').then(
    (text) => text.trim(),
    () => '',
  );
  // Visible ASCII only: anything else would be another header, or a message that quotes it.
  return /^[\x21-\x7e]+$/.test(token) ? new Redacted(`Bearer ${token}`) : undefined;
}

async function appliedOptions(config: KubeConfig): Promise<RequestOptions> {
  const options: RequestOptions = { headers: {} };
  try {
    await config.applyToHTTPSOptions(options);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? `: ${String(error.code)}` : '';
    throw new Failure('refused', `the credential plugin of the kubeconfig failed${code}`);
  }
  return options;
}

async function withTimeout<T>(work: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => late.reject(new Failure('timeout', 'the credential plugin of the kubeconfig takes too long')),
    pluginTimeoutMs,
  );
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

async function pem(file: string | undefined, data: string | undefined): Promise<string | undefined> {
  // As with kubectl, what stands in the kubeconfig goes before the file that it names.
  if (data) return Buffer.from(data, 'base64').toString('utf8');
  return file ? readFile(file, 'utf8') : undefined;
}

const textOf = (value: unknown) =>
  typeof value === 'string' ? value : Buffer.isBuffer(value) ? value.toString('utf8') : undefined;
