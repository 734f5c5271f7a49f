import { setTimeout as sleep } from 'node:timers/promises';
import { StatusError } from '../kube/status.ts';
import type { ClusterSecrets } from './cluster-secrets.ts';
import { HEALTHY_ANNOTATION, HEALTHY_REASON_ANNOTATION } from './cluster.ts';
import type { ClusterHealth, ClusterRecord } from './cluster.ts';
import type { ClusterRegistry } from './registry.ts';

export interface HealthWrite {
  readonly health: ClusterHealth;
  /** The state that the writer has seen; undefined: whatever it is now. */
  readonly resourceVersion: string | undefined;
  readonly dryRun: boolean;
  readonly signal: AbortSignal;
}

/** `written`: the cluster as it is now, or would be. `conflict`: it is no longer in the state that the writer saw. */
export type HealthWritten =
  | { readonly type: 'written'; readonly record: ClusterRecord }
  | { readonly type: 'conflict' }
  | { readonly type: 'unknown' };

export interface HealthWriter {
  write(name: string, write: HealthWrite): Promise<HealthWritten>;
}

/** For a writer that asks for no state, a second or so in all: more than others may write to one Secret meanwhile. */
const attempts = 12;

/**
 * Notes the health of clusters in the annotations of their Secrets. Only these annotations change, and only of a Secret
 * that is a cluster in that very state. Throws what the hub refuses, or that it cannot be reached.
 */
export function createHealthWriter(parts: {
  readonly registry: Pick<ClusterRegistry, 'find' | 'learn'>;
  readonly secrets: ClusterSecrets;
}): HealthWriter {
  const { registry, secrets } = parts;
  const asked = async (name: string, signal: AbortSignal) => {
    const record = await secrets.get(name, signal);
    if (record) registry.learn(record);
    return record;
  };
  const known = async (name: string, { resourceVersion, signal }: HealthWrite) => {
    const record = await registry.find(name, signal);
    // The writer may have read it at a replica that is ahead of this one.
    const isOther = resourceVersion !== undefined && record?.resourceVersion !== resourceVersion;
    return record && isOther ? asked(name, signal) : record;
  };
  return {
    write: async (name, write) => {
      const { resourceVersion: seen, dryRun, signal } = write;
      let record = await known(name, write);
      for (let attempt = 1; attempt <= attempts; attempt += 1) {
        if (!record) return { type: 'unknown' };
        if (seen !== undefined && record.resourceVersion !== seen) return { type: 'conflict' };
        try {
          const { resourceVersion } = record;
          const annotations = annotationsOf(write.health);
          const written = await secrets.annotate(name, { annotations, resourceVersion, dryRun, signal });
          if (!written) return { type: 'unknown' };
          if (!dryRun) registry.learn(written);
          return { type: 'written', record: written };
        } catch (error) {
          const code = error instanceof StatusError ? error.status.code : 0;
          if (code === 404) return { type: 'unknown' };
          if (code !== 409) throw error;
        }
        if (seen === undefined) await sleep(10 * attempt * (1 + Math.random()), undefined, { signal });
        record = await asked(name, signal);
      }
      return { type: 'conflict' };
    },
  };
}

/** Both always, as the Go gateway writes them. */
const annotationsOf = ({ healthy, reason }: ClusterHealth) => ({
  [HEALTHY_ANNOTATION]: String(healthy),
  [HEALTHY_REASON_ANNOTATION]: reason,
});
