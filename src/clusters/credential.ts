import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { Failure, errorText } from '../base/failure.ts';
import type { Log } from '../base/log.ts';
import { Redacted } from '../base/redacted.ts';
import type { Cluster, Credential } from './cluster.ts';
import { PluginPlaces } from './exec-plugin-places.ts';
import { runExecPlugin } from './exec-plugin.ts';
import type { ExecCredential } from './exec-plugin.ts';
import { PluginCredential } from './plugin-credential.ts';

/** What a request to a cluster carries to prove who the gateway is. */
export interface ClusterCredential {
  /** The value of Authorization. */
  readonly authorization?: Redacted<string>;
  readonly clientCertificate?: { readonly certificatePem: string; readonly privateKeyPem: Redacted<string> };
  /** Tells transports apart: connections made with one client certificate never serve another. */
  readonly transportKey: string;
}

export interface CredentialResolver {
  /** The credential for the next request; a promise only where a plugin has to run first. */
  resolve(cluster: Cluster): ClusterCredential | Promise<ClusterCredential>;
  /** The cluster answered 401 to a request with this credential. */
  reject(cluster: Cluster, credential: ClusterCredential): void;
  /** When the credential in use ends, in milliseconds since the epoch; undefined: it has no end, or none is known. Runs nothing. */
  expiresAt(cluster: Cluster): number | undefined;
  /** The cluster is gone: nothing of it is kept. */
  forget(name: string): void;
  /** Ends the plugins that run, and lets none begin. */
  destroy(): void;
}

export type PluginResult = 'ok' | 'failed';

export interface CredentialResolverOptions {
  readonly log: Log;
  /** Told of each run of a plugin. */
  readonly onPluginRun?: (result: PluginResult) => void;
  readonly now?: () => number;
  readonly run?: typeof runExecPlugin;
}

interface Plugin {
  readonly key: string;
  readonly state: PluginCredential<ClusterCredential>;
}

type DynamicCredential = Extract<Credential, { type: 'Dynamic' }>;

/** Says at most so often that a cluster does not take the gateway's credential. */
const refusalLogPauseMs = 60_000;

/** Finds each cluster's credential. Plugins run only when a request needs them. */
export function createCredentialResolver(options: CredentialResolverOptions): CredentialResolver {
  const { log, now = Date.now, run = runExecPlugin, onPluginRun } = options;
  const plugins = new LRUCache<string, Plugin>({ max: 10_000 });
  const places = new PluginPlaces({ max: 8, waitMs: 10_000 });
  // A request looks up what was found for its cluster before, and makes no key.
  const pluginsInUse = new WeakMap<Cluster, Plugin>();
  const staticCredentials = new WeakMap<Cluster, ClusterCredential>();
  const refused = new LRUCache<string, true>({ max: 1_000, ttl: refusalLogPauseMs });
  const ending = new AbortController();

  const pluginOf = (cluster: Cluster, credential: DynamicCredential): Plugin => {
    const inUse = pluginsInUse.get(cluster);
    if (inUse) return inUse;
    const key = keyOf(cluster, credential);
    const known = plugins.get(cluster.name);
    if (known?.key === key) {
      pluginsInUse.set(cluster, known);
      return known;
    }
    const state = new PluginCredential<ClusterCredential>({
      now,
      run: () =>
        places.run(async () => {
          const exec = credential.exec.reveal();
          const printed = await run(exec, cluster.endpoint, { signal: ending.signal });
          const usable = fromPlugin(cluster, printed, now());
          onPluginRun?.('ok');
          return usable;
        }),
      onFailed: (error) => {
        onPluginRun?.('failed');
        log.warn({ cluster: cluster.name, reason: errorText(error) }, 'a credential plugin failed');
      },
    });
    const plugin = { key, state };
    plugins.set(cluster.name, plugin);
    pluginsInUse.set(cluster, plugin);
    return plugin;
  };

  return {
    resolve: (cluster) => {
      if (cluster.credential.type === 'Dynamic') return pluginOf(cluster, cluster.credential).state.resolve();
      let credential = staticCredentials.get(cluster);
      if (!credential) {
        credential = fromSecret(cluster, cluster.credential);
        staticCredentials.set(cluster, credential);
      }
      return credential;
    },
    reject: (cluster, credential) => {
      if (cluster.credential.type === 'Dynamic')
        pluginOf(cluster, cluster.credential).state.reject(credential);
      if (refused.has(cluster.name)) return;
      refused.set(cluster.name, true);
      log.warn(
        { cluster: cluster.name },
        "a cluster answered 401: it does not take the gateway's credential",
      );
    },
    expiresAt: (cluster) => {
      if (cluster.credential.type !== 'Dynamic') return cluster.credential.validity?.until;
      const known = plugins.peek(cluster.name);
      return known?.key === keyOf(cluster, cluster.credential) ? known.state.expiresAt : undefined;
    },
    forget: (name) => {
      plugins.delete(name);
      refused.delete(name);
    },
    destroy: () => ending.abort(),
  };
}

/** Of all that a plugin's credential depends on: a label or a health note changes nothing. */
const keyOf = ({ accessFingerprint }: Cluster, { fingerprint }: DynamicCredential) =>
  `${accessFingerprint}/${fingerprint}`;

function fromSecret(
  { accessFingerprint }: Cluster,
  credential: Exclude<Credential, DynamicCredential>,
): ClusterCredential {
  switch (credential.type) {
    case 'ServiceAccountToken':
      return { authorization: credential.authorization, transportKey: accessFingerprint };
    case 'X509Certificate':
      return {
        clientCertificate: {
          certificatePem: credential.certificatePem,
          privateKeyPem: credential.privateKeyPem,
        },
        transportKey: accessFingerprint,
      };
  }
}

function fromPlugin({ accessFingerprint }: Cluster, printed: ExecCredential, now: number) {
  const { token, clientCertificate, expiresAt } = printed;
  if (expiresAt !== undefined && expiresAt <= now) {
    const time = new Date(expiresAt).toISOString();
    throw new Failure('refused', `exec: the plugin printed a credential that ended at ${time}`);
  }
  return {
    credential: token
      ? { authorization: new Redacted(`Bearer ${token.reveal()}`), transportKey: accessFingerprint }
      : {
          ...(clientCertificate ? { clientCertificate } : {}),
          transportKey: keyFor(printed, accessFingerprint),
        },
    expiresAt,
  };
}

/** Of the certificate's own connections. */
function keyFor({ clientCertificate }: ExecCredential, accessFingerprint: string): string {
  const digest = createHash('sha256')
    .update(clientCertificate?.certificatePem ?? '')
    .update(clientCertificate?.privateKeyPem.reveal() ?? '')
    .digest('hex');
  return `${accessFingerprint}/${digest}`;
}
