import { Gauge } from 'prom-client';
import type { Registry } from 'prom-client';
import { createCounter } from '../apiserver/counted-series.ts';
import type { Count } from '../apiserver/counted-series.ts';
import type { ClusterRegistry } from '../clusters/registry.ts';
import type { ClusterTransports } from '../proxy/cluster-transports.ts';

export interface GatewayMetrics {
  observe(cluster: string, code: number): void;
}

/** What the gateway itself counts: by cluster, never by caller, path or anything else that callers make up. */
export function createGatewayMetrics(
  registry: Registry,
  clusters: ClusterRegistry,
  transports: ClusterTransports,
): GatewayMetrics {
  const requests = createCounter({
    registry,
    name: 'cluster_gateway_proxied_requests_total',
    help: 'Requests carried to clusters, by cluster and status code.',
    labelNames: ['cluster', 'code'],
  });
  new Gauge({
    name: 'cluster_gateway_clusters',
    help: 'Registered clusters by state: accepted, rejected, and (of the accepted ones) unverified, whose certificate is not checked.',
    labelNames: ['state'],
    registers: [registry],
    collect() {
      const records = clusters.list();
      const accepted = records.filter((record) => record.type === 'accepted');
      this.set({ state: 'accepted' }, accepted.length);
      this.set({ state: 'rejected' }, records.length - accepted.length);
      this.set(
        { state: 'unverified' },
        accepted.filter(({ endpoint }) => endpoint.trust.type === 'none').length,
      );
    },
  });
  new Gauge({
    name: 'cluster_gateway_broken_clusters',
    help: '1 for each cluster that no connection can be made to, so that its requests fail at once.',
    labelNames: ['cluster'],
    registers: [registry],
    collect() {
      this.reset();
      for (const cluster of transports.broken()) this.set({ cluster }, 1);
    },
  });
  new Gauge({
    name: 'cluster_gateway_target_connections',
    help: 'Open connections to clusters by kind.',
    labelNames: ['kind'],
    registers: [registry],
    collect() {
      for (const [kind, count] of Object.entries(transports.connections())) this.set({ kind }, count);
    },
  });
  // A cluster that is gone takes its series along, so that their number is bounded by the clusters that exist.
  const counts = new Map<string, Map<number, Count>>();
  clusters.subscribe((change) => {
    if (change.type !== 'changed' || change.record) return;
    for (const code of counts.get(change.name)?.keys() ?? [])
      requests.remove({ cluster: change.name, code: String(code) });
    counts.delete(change.name);
  });
  return {
    observe: (cluster, code) => {
      let byCode = counts.get(cluster);
      if (!byCode) {
        if (!clusters.get(cluster)) return;
        byCode = new Map<number, Count>();
        counts.set(cluster, byCode);
      }
      let count = byCode.get(code);
      if (!count) byCode.set(code, (count = requests.series({ cluster, code: String(code) })));
      count.inc();
    },
  };
}
