import { silentLog } from '../../base/log.ts';
import type { Closable } from '../../base/scope.ts';
import type { HubClient, HubRequest, HubWatch } from '../../hub/client.ts';
import { StatusError, notFound } from '../../kube/status.ts';
import { createClusterSecrets } from '../cluster-secrets.ts';
import type { ClusterSecrets } from '../cluster-secrets.ts';
import { createSecretRegistry } from '../registry.ts';
import type { ClusterRegistry } from '../registry.ts';

export const namespace = 'vela-system';
export const tokenLabels = { 'cluster.core.oam.dev/cluster-credential-type': 'ServiceAccountToken' };
/** Must never be seen outside. */
export const token = 'the-s3cret-token';

export interface HubSecret {
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly resourceVersion: string;
    readonly creationTimestamp?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly data: Readonly<Record<string, string>>;
}

const base64 = (text: string) => Buffer.from(text).toString('base64');

/** A Secret as the hub gives it, by default a cluster that can be used. */
export const secret = (
  name: string,
  resourceVersion: string,
  { data = { endpoint: 'https://10.0.0.1:6443', token }, ...metadata }: SecretParts = {},
): HubSecret => ({
  metadata: { name, namespace, resourceVersion, labels: tokenLabels, ...metadata },
  data: Object.fromEntries(Object.entries(data).map(([key, value]) => [key, base64(value)])),
});

export interface SecretParts {
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly creationTimestamp?: string;
  /** Not yet base64. */
  readonly data?: Readonly<Record<string, string>>;
}

/** Whether the gateway's selector takes it. */
const isLabelled = ({ metadata }: HubSecret) =>
  Object.keys(tokenLabels).every((key) => metadata.labels?.[key]);

/** The hub's Secrets in memory, with resource versions, patches with preconditions, dry run and a watch. */
export class SecretsHub implements HubClient {
  readonly connections = 0;
  readonly requests: HubRequest[] = [];
  readonly secrets = new Map<string, HubSecret>();
  /** Comes first: it may wait, throw, change what is stored, or give an answer of its own. */
  before: ((request: HubRequest) => unknown) | undefined;
  /** While true, the watch tells nothing: it is behind. */
  #held = false;
  #version = 100;
  #events: unknown[] = [];
  #wake: (() => void) | undefined;

  /** Writes a Secret as somebody else would. */
  put(name: string, parts: SecretParts = {}): HubSecret {
    const isNew = !this.secrets.has(name);
    return this.#keep(secret(name, String((this.#version += 1)), parts), isNew);
  }

  delete(name: string): void {
    const gone = this.secrets.get(name);
    if (!gone) return;
    this.secrets.delete(name);
    const resourceVersion = String((this.#version += 1));
    this.#tell('DELETED', { ...gone, metadata: { ...gone.metadata, resourceVersion } });
  }

  hold(): void {
    this.#held = true;
  }

  release(): void {
    this.#held = false;
    this.#wake?.();
  }

  async request(request: HubRequest): Promise<unknown> {
    this.requests.push(request);
    const answer: unknown = await this.before?.(request);
    if (answer !== undefined) return answer;
    const name = request.path.split('/')[6];
    if (name === undefined) {
      return {
        metadata: { resourceVersion: String(this.#version) },
        items: [...this.secrets.values()].filter(isLabelled),
      };
    }
    const found = this.secrets.get(name);
    if (!found) throw notFound({ group: '', resource: 'secrets' }, name);
    return request.method === 'PATCH' ? this.#patch(found, request) : found;
  }

  #patch(found: HubSecret, { body, contentType, query = {} }: HubRequest): HubSecret {
    if (contentType !== 'application/merge-patch+json') throw new Error('only merge patches are known');
    const { metadata } = body as { metadata: HubSecret['metadata'] };
    const { resourceVersion, annotations, ...others } = metadata;
    if (Object.keys(others).length > 0) throw new Error('more than annotations is patched');
    if (resourceVersion !== found.metadata.resourceVersion)
      throw new StatusError('Conflict', 'the object has been modified');
    const merged = { ...found.metadata, annotations: { ...found.metadata.annotations, ...annotations } };
    if (query['dryRun'] === 'All') return { ...found, metadata: merged };
    const version = String((this.#version += 1));
    return this.#keep({ ...found, metadata: { ...merged, resourceVersion: version } }, false);
  }

  #keep(kept: HubSecret, isNew: boolean): HubSecret {
    this.secrets.set(kept.metadata.name, kept);
    this.#tell(isNew ? 'ADDED' : 'MODIFIED', kept);
    return kept;
  }

  #tell(type: string, object: HubSecret): void {
    if (isLabelled(object)) this.#events.push({ type, object });
    this.#wake?.();
  }

  async *watch({ signal, query }: HubWatch): AsyncIterable<unknown> {
    const since = Number(query['resourceVersion']);
    const isNew = (event: unknown) =>
      Number((event as { object: HubSecret }).object.metadata.resourceVersion) > since;
    signal.addEventListener('abort', () => this.#wake?.());
    while (!signal.aborted) {
      const event = this.#held ? undefined : this.#events.shift();
      if (event === undefined) await new Promise<void>((resolve) => (this.#wake = resolve));
      else if (isNew(event)) yield event;
    }
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  destroy(): void {}
}

export interface RegistryOfSecrets {
  readonly hub: SecretsHub;
  readonly secrets: ClusterSecrets;
  readonly registry: ClusterRegistry & Closable;
}

/** A registry that has listed what the hub has. Whoever starts it closes it. */
export async function startRegistry(hub = new SecretsHub()): Promise<RegistryOfSecrets> {
  const options = { client: hub, namespace, requireCa: false, execPluginAllowlist: ['*'], log: silentLog };
  const secrets = createClusterSecrets(options);
  const registry = createSecretRegistry({ ...options, secrets });
  await registry.synced(AbortSignal.timeout(1000));
  return { hub, secrets, registry };
}

/** Resolves when the registry's watch has come to this version. */
export async function untilVersion(registry: ClusterRegistry, version: string): Promise<void> {
  if (registry.resourceVersion === version) return;
  await new Promise<void>((resolve) => {
    const end = registry.subscribe(({ resourceVersion }) => {
      if (resourceVersion !== version) return;
      end();
      resolve();
    });
  });
}
