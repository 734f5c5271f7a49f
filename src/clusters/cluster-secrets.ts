import type { HubClient } from '../hub/client.ts';
import { StatusError } from '../kube/status.ts';
import { CREDENTIAL_TYPE_LABEL } from './cluster.ts';
import type { ClusterRecord } from './cluster.ts';
import { clusterFromSecret } from './secret-cluster.ts';
import type { SecretClusterOptions } from './secret-cluster.ts';
import { secretFrom } from './secret.ts';

export interface ClusterSecretsOptions extends SecretClusterOptions {
  readonly client: HubClient;
  readonly namespace: string;
}

export interface AnnotationPatch {
  readonly annotations: Readonly<Record<string, string>>;
  /** The Secret must still be in this state. */
  readonly resourceVersion: string;
  /** The hub checks everything, answers as ever, and keeps nothing. */
  readonly dryRun: boolean;
  readonly signal: AbortSignal;
}

/** Single Secrets of the hub, as it has them this moment: no cache. What the hub refuses is thrown as it said it. */
export interface ClusterSecrets {
  /** Undefined: there is none, or it is not labelled as a cluster. */
  get(name: string, signal: AbortSignal): Promise<ClusterRecord | undefined>;
  /** Changes these annotations and nothing else. Throws the hub's 409 where the resource version is no longer right. */
  annotate(name: string, patch: AnnotationPatch): Promise<ClusterRecord | undefined>;
}

/** Who wrote the annotations, in the Secret's managedFields. */
const fieldManager = 'cluster-gateway';
/** kube-apiserver gives the gateway 60 s for an answer, and an answer may take several calls. */
const callTimeoutMs = 10_000;

export function createClusterSecrets(options: ClusterSecretsOptions): ClusterSecrets {
  const { client, namespace } = options;
  const pathOf = (name: string) =>
    `/api/v1/namespaces/${encodeURIComponent(namespace)}/secrets/${encodeURIComponent(name)}`;
  const recordOf = (answer: unknown) => {
    const secret = secretFrom(answer);
    if (secret.metadata.labels?.[CREDENTIAL_TYPE_LABEL] === undefined) return undefined;
    return clusterFromSecret(secret, options);
  };
  return {
    get: async (name, signal) => {
      try {
        const request = { method: 'GET', path: pathOf(name), signal, timeoutMs: callTimeoutMs } as const;
        return recordOf(await client.request(request));
      } catch (error) {
        if (error instanceof StatusError && error.status.code === 404) return undefined;
        throw error;
      }
    },
    annotate: async (name, { annotations, resourceVersion, dryRun, signal }) =>
      recordOf(
        await client.request({
          method: 'PATCH',
          path: pathOf(name),
          query: { fieldManager, ...(dryRun ? { dryRun: 'All' } : {}) },
          contentType: 'application/merge-patch+json',
          // With a resource version in it a patch is refused when the object has another one.
          body: { metadata: { resourceVersion, annotations } },
          signal,
          timeoutMs: callTimeoutMs,
        }),
      ),
  };
}
