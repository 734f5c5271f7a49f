import { LRUCache } from 'lru-cache';
import { errorText } from '../base/failure.ts';
import type { Log } from '../base/log.ts';
import type { Closable } from '../base/scope.ts';
import { SingleFlight } from '../base/single-flight.ts';
import { TokenBucket } from '../base/token-bucket.ts';
import type { HubClient } from '../hub/client.ts';
import { createInformer } from '../hub/informer.ts';
import type { Informer } from '../hub/informer.ts';
import { compareResourceVersions } from '../kube/resource-version.ts';
import { StatusError } from '../kube/status.ts';
import type { ClusterSecrets } from './cluster-secrets.ts';
import { CREDENTIAL_TYPE_LABEL } from './cluster.ts';
import type { ClusterRecord } from './cluster.ts';
import { clusterFromSecret } from './secret-cluster.ts';
import type { SecretClusterOptions } from './secret-cluster.ts';
import { secretFrom } from './secret.ts';

/**
 * What changed. `changed`: one cluster is new, different, or gone (no record). `replaced`: a new list has taken the
 * place of all; the single changes were told before. `advanced`: nothing changed up to this version.
 */
export type ClusterChange =
  | {
      readonly type: 'changed';
      readonly name: string;
      readonly record: ClusterRecord | undefined;
      readonly resourceVersion: string;
    }
  | { readonly type: 'replaced'; readonly resourceVersion: string }
  | { readonly type: 'advanced'; readonly resourceVersion: string };

/** The clusters that exist now. Readers pull or subscribe; the registry knows none of them. */
export interface ClusterRegistry {
  get(name: string): ClusterRecord | undefined;
  /** Asks the hub once for a name that is not known yet, so that a Secret works as soon as it is written. */
  find(name: string, signal: AbortSignal): Promise<ClusterRecord | undefined>;
  /** Takes what the hub itself has just said of a cluster, ahead of the watch: `get` and `find` give it from now on. */
  learn(record: ClusterRecord): void;
  list(): readonly ClusterRecord[];
  readonly resourceVersion: string;
  readonly hasSynced: boolean;
  synced(signal: AbortSignal): Promise<void>;
  subscribe(listener: (change: ClusterChange) => void): () => void;
}

export interface SecretRegistryOptions extends SecretClusterOptions {
  readonly client: HubClient;
  /** Of the same hub and namespace. */
  readonly secrets: ClusterSecrets;
  readonly namespace: string;
  readonly log: Log;
}

/** Names that were just asked for in vain are not asked for again within this time; their Secret's event still counts. */
const unknownTtlMs = 1_000;
/** What the hub said before the watch did is kept until the watch is as new, or this long: the watch may be broken. */
const aheadTtlMs = 15_000;

/** Clusters from labelled Secrets of one namespace, kept current by a watch. */
export function createSecretRegistry(options: SecretRegistryOptions): ClusterRegistry & Closable {
  return new SecretRegistry(options);
}

class SecretRegistry implements ClusterRegistry, Closable {
  readonly #options: SecretRegistryOptions;
  readonly #informer: Informer<ClusterRecord>;
  readonly #ahead = new LRUCache<string, ClusterRecord>({ max: 1000, ttl: aheadTtlMs });
  readonly #unknown = new LRUCache<string, true>({ max: 10_000, ttl: unknownTtlMs });
  readonly #flights = new SingleFlight<ClusterRecord | undefined>();
  // Callers who make names up must not become a load on the hub.
  readonly #liveGets = new TokenBucket({ perSecond: 20, burst: 50 });

  constructor(options: SecretRegistryOptions) {
    this.#options = options;
    this.#informer = createInformer<ClusterRecord>({
      client: options.client,
      path: this.#secretsPath,
      // Other Secrets of the namespace (Helm keeps megabytes there) are never fetched.
      labelSelector: CREDENTIAL_TYPE_LABEL,
      decode: (object) => clusterFromSecret(secretFrom(object), options),
      log: options.log,
    });
    this.#informer.subscribe((event) => {
      if (event.type === 'replaced' || event.type === 'advanced') return;
      this.#unknown.delete(event.name);
    });
  }

  get #secretsPath(): string {
    return `/api/v1/namespaces/${encodeURIComponent(this.#options.namespace)}/secrets`;
  }

  get(name: string): ClusterRecord | undefined {
    const ahead = this.#ahead.get(name);
    if (ahead && this.#isAhead(ahead)) return ahead;
    return this.#informer.get(this.#options.namespace, name);
  }

  learn(record: ClusterRecord): void {
    // Of two answers the newer one stands, whichever came first.
    const ahead = this.#ahead.get(record.name);
    if (ahead && compareResourceVersions(ahead.resourceVersion, record.resourceVersion) > 0) return;
    this.#ahead.set(record.name, record);
  }

  /** Whether the watch has yet to come to this state. Once it has, it alone says what is, above all that nothing is. */
  #isAhead({ resourceVersion }: ClusterRecord): boolean {
    return compareResourceVersions(resourceVersion, this.#informer.resourceVersion) > 0;
  }

  list(): readonly ClusterRecord[] {
    return this.#informer.list();
  }

  get resourceVersion(): string {
    return this.#informer.resourceVersion;
  }

  get hasSynced(): boolean {
    return this.#informer.hasSynced;
  }

  synced(signal: AbortSignal): Promise<void> {
    return this.#informer.synced(signal);
  }

  subscribe(listener: (change: ClusterChange) => void): () => void {
    return this.#informer.subscribe((event) => {
      if (event.type === 'replaced' || event.type === 'advanced') {
        listener({ type: event.type, resourceVersion: event.resourceVersion });
        return;
      }
      const record = event.type === 'deleted' ? undefined : event.object;
      listener({ type: 'changed', name: event.name, record, resourceVersion: event.resourceVersion });
    });
  }

  async find(name: string, signal: AbortSignal): Promise<ClusterRecord | undefined> {
    const known = this.get(name);
    if (known || this.#unknown.has(name)) return known;
    const record = await this.#flights.run(name, () => this.#ask(name));
    signal.throwIfAborted();
    return record;
  }

  async #ask(name: string): Promise<ClusterRecord | undefined> {
    if (!this.#liveGets.take()) return undefined;
    const record = await this.#liveGet(name);
    if (record) this.learn(record);
    else this.#unknown.set(name, true);
    // The watch may have been faster: what it told stands, above all that the Secret is gone.
    return this.get(name);
  }

  async #liveGet(name: string): Promise<ClusterRecord | undefined> {
    const { secrets, log } = this.#options;
    try {
      return await secrets.get(name, AbortSignal.timeout(5_000));
    } catch (error) {
      log.warn({ cluster: name, reason: errorText(error) }, 'cannot ask the hub for a cluster');
      const message = `the hub cannot be asked for cluster ${JSON.stringify(name)}`;
      throw new StatusError('ServiceUnavailable', message, { cause: error });
    }
  }

  close(): Promise<void> {
    return this.#informer.close();
  }

  destroy(reason?: unknown): void {
    this.#informer.destroy(reason);
  }
}
