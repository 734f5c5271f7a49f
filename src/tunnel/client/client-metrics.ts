import { Counter, Gauge } from 'prom-client';
import type { Registry } from 'prom-client';
import { connectionStatuses } from './connection-counts.ts';
import type { ConnectionCounts } from './connection-counts.ts';

/**
 * Why a dial failed, as the Go client's metric names it. `context`: its caller went away; `endpoint`: the agent, or that
 * there is none; `streamsetup`: no server could be asked.
 */
export type DialFailureReason =
  'unknown' | 'timeout' | 'context' | 'endpoint' | 'dialclosed' | 'tunnelclosed' | 'streamsetup';

export interface TunnelClientMetrics {
  /** Tells where the present figures are found; they are read at each scrape. */
  watch(counts: ConnectionCounts): void;
  dialFailed(reason: DialFailureReason): void;
}

const prefix = 'konnectivity_network_proxy_client_';

/** Metrics under the names of the Go client (konnectivity), so that its dashboards and alerts go on working. */
export function createTunnelClientMetrics(registry: Registry): TunnelClientMetrics {
  const registers = [registry];
  const failures = new Counter({
    ...{ name: `${prefix}dial_failure_total`, registers, labelNames: ['reason'] },
    help: 'Connections through the tunnel that could not be opened, by reason.',
  });
  return {
    watch: (counts) => {
      new Gauge({
        ...{ name: `${prefix}client_connections`, registers, labelNames: ['status'] },
        help: 'Connections through the tunnel, by status.',
        collect() {
          for (const status of connectionStatuses) this.set({ status }, counts.of(status));
        },
      });
    },
    dialFailed: (reason) => failures.inc({ reason }),
  };
}

/** Counts nothing: for tests, and for parts used without metrics. */
export const noTunnelClientMetrics: TunnelClientMetrics = { watch: () => {}, dialFailed: () => {} };
