import { Counter, Gauge } from 'prom-client';
import type { Registry } from 'prom-client';
import type { CredentialResolver, PluginResult } from '../clusters/credential.ts';
import type { ClusterRegistry } from '../clusters/registry.ts';

export interface CredentialMetricsOptions {
  readonly registry: Pick<ClusterRegistry, 'list'>;
  readonly credentials: Pick<CredentialResolver, 'expiresAt'>;
}

/** When the clusters' credentials and CAs end: made anew at each collection, so that a cluster's series goes with it. */
export function createCredentialMetrics(
  metrics: Registry,
  { registry, credentials }: CredentialMetricsOptions,
): void {
  new Gauge({
    name: 'cluster_gateway_credential_expiration_timestamp_seconds',
    help: "When the gateway's credential for a cluster ends, in seconds since 1970, where it is known: of a plugin, what it printed last.",
    labelNames: ['cluster'],
    registers: [metrics],
    collect() {
      this.reset();
      for (const record of registry.list()) {
        const expiresAt = record.type === 'accepted' ? credentials.expiresAt(record) : undefined;
        if (expiresAt !== undefined) this.set({ cluster: record.name }, expiresAt / 1000);
      }
    },
  });
  new Gauge({
    name: 'cluster_gateway_cluster_ca_expiration_timestamp_seconds',
    help: 'When the last of the CAs in the Secret of a cluster ends, in seconds since 1970.',
    labelNames: ['cluster'],
    registers: [metrics],
    collect() {
      this.reset();
      for (const record of registry.list()) {
        if (record.type !== 'accepted' || record.endpoint.trust.type !== 'ca') continue;
        const { validity } = record.endpoint.trust;
        if (validity) this.set({ cluster: record.name }, validity.until / 1000);
      }
    },
  });
}

/** Counts the runs of credential plugins. */
export function createExecPluginMetric(metrics: Registry): (result: PluginResult) => void {
  const runs = new Counter({
    name: 'cluster_gateway_exec_plugin_runs_total',
    help: 'Runs of credential plugins by result: ok or failed.',
    labelNames: ['result'],
    registers: [metrics],
  });
  return (result) => runs.inc({ result });
}
