import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { Failure } from '../base/failure.ts';
import { Redacted } from '../base/redacted.ts';
import { SingleFlight } from '../base/single-flight.ts';
import type { Cluster } from './cluster.ts';
import { runExecPlugin } from './exec-plugin.ts';
import type { ExecCredential } from './exec-plugin.ts';

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
  /** The cluster answered 401: what a plugin printed is not used again. */
  reject(cluster: Cluster): void;
}

export interface CredentialResolverOptions {
  /** Commands that may run: exact names or paths, or `*` for any (`--exec-plugin-allowlist`). */
  readonly allowedCommands: readonly string[];
  readonly now?: () => number;
  readonly run?: typeof runExecPlugin;
}

/** Renewed this long before it ends, as client-go does. */
const renewBeforeMs = 60_000;
/** A plugin that names no end is asked again after this long, and whenever the cluster answers 401. */
const endlessTtlMs = 10 * 60_000;

interface Remembered {
  readonly credential: ClusterCredential;
  readonly until: number;
}

/** Finds each cluster's credential. Plugins run once for many callers, and only when a request needs them. */
export function createCredentialResolver(options: CredentialResolverOptions): CredentialResolver {
  const now = options.now ?? Date.now;
  const run = options.run ?? runExecPlugin;
  const cache = new LRUCache<string, Remembered>({ max: 10_000 });
  const flights = new SingleFlight<ClusterCredential>();
  const staticCredentials = new WeakMap<Cluster, ClusterCredential>();
  const allowed = new Set(options.allowedCommands);

  const runFor = (cluster: Cluster, key: string) =>
    flights.run(key, async () => {
      if (cluster.credential.type !== 'Dynamic') throw new Error('only Dynamic credentials run a plugin');
      const exec = cluster.credential.exec.reveal();
      if (!allowed.has('*') && !allowed.has(exec.command)) {
        throw new Failure(
          'refused',
          `exec: command ${JSON.stringify(exec.command)} is not in --exec-plugin-allowlist`,
        );
      }
      const printed = await run(exec, cluster.endpoint);
      const credential = fromPlugin(cluster, printed);
      cache.set(key, {
        credential,
        until: printed.expiresAt === undefined ? now() + endlessTtlMs : printed.expiresAt - renewBeforeMs,
      });
      return credential;
    });

  return {
    resolve: (cluster) => {
      if (cluster.credential.type === 'Dynamic') {
        const key = cacheKey(cluster);
        const remembered = cache.get(key);
        return remembered && now() < remembered.until ? remembered.credential : runFor(cluster, key);
      }
      let credential = staticCredentials.get(cluster);
      if (!credential) {
        credential = fromSecret(cluster);
        staticCredentials.set(cluster, credential);
      }
      return credential;
    },
    reject: (cluster) => {
      if (cluster.credential.type === 'Dynamic') cache.delete(cacheKey(cluster));
    },
  };
}

/** By name and by content: a changed Secret never finds what the old one's plugin printed. */
function cacheKey(cluster: Cluster): string {
  const fingerprint = cluster.credential.type === 'Dynamic' ? cluster.credential.fingerprint : '';
  return `${cluster.name}/${cluster.accessFingerprint}/${fingerprint}`;
}

function fromSecret(cluster: Cluster): ClusterCredential {
  const { credential, accessFingerprint } = cluster;
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
    case 'Dynamic':
      throw new Error('a Dynamic credential comes from its plugin');
  }
}

/** A token wins over a certificate, as in the Go gateway. */
function fromPlugin(cluster: Cluster, printed: ExecCredential): ClusterCredential {
  if (printed.token) {
    return {
      authorization: new Redacted(`Bearer ${printed.token.reveal()}`),
      transportKey: cluster.accessFingerprint,
    };
  }
  const { clientCertificate } = printed;
  if (!clientCertificate) throw new Error('a plugin prints a token or a certificate');
  const digest = createHash('sha256')
    .update(clientCertificate.certificatePem)
    .update(clientCertificate.privateKeyPem.reveal())
    .digest('hex');
  return { clientCertificate, transportKey: `${cluster.accessFingerprint}/${digest}` };
}
