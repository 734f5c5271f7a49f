import type { Failure } from '../base/failure.ts';
import type { Closable } from '../base/scope.ts';
import type { Cluster } from '../clusters/cluster.ts';
import type { ClusterCredential } from '../clusters/credential.ts';
import type { Transport } from '../net/transport.ts';
import { CircuitBreaker } from './circuit-breaker.ts';
import { guardTransport } from './guarded-transport.ts';
import type { GuardedTransport } from './guarded-transport.ts';

/** Makes the way to one cluster; opens no connection yet. */
export type TransportFactory = (cluster: Cluster, credential: ClusterCredential) => Transport;

export interface ClusterTransports extends Closable {
  /** The transport for a cluster with this credential: made at the first request, kept for all that follow. */
  get(cluster: Cluster, credential: ClusterCredential): Transport;
  /**
   * Tells what has become of a cluster. Another endpoint or other TLS material: connections take no new request and
   * end with their last one. Gone or rejected: they end at once, for nobody may use them any more.
   */
  changed(name: string, cluster: Cluster | undefined): void;
  connections(): { readonly http2: number; readonly http1: number; readonly upgraded: number };
  /** Names of clusters that no connection can be made to: their requests fail at once. */
  broken(): string[];
}

interface Slot {
  readonly key: string;
  readonly accessFingerprint: string;
  readonly transport: GuardedTransport;
}

/** One transport for each cluster and credential that is in use; never shared between clusters, whatever they share. */
export function createClusterTransports(
  create: TransportFactory,
  limits: ClusterLimits = { maxUnanswered: 0 },
): ClusterTransports {
  return new PooledTransports(create, limits);
}

export interface ClusterLimits {
  /** Short requests that wait for one cluster's answer at a time; 0: no limit. */
  readonly maxUnanswered: number;
  /** Told when no connection can be made to a cluster any more, and (undefined) when one is made again. */
  readonly onBroken?: (name: string, failure: Failure | undefined) => void;
}

class PooledTransports implements ClusterTransports {
  readonly #create: TransportFactory;
  readonly #limits: ClusterLimits;
  readonly #slots = new Map<string, Slot>();
  readonly #draining = new Map<string, Set<Transport>>();

  constructor(create: TransportFactory, limits: ClusterLimits) {
    this.#create = create;
    this.#limits = limits;
  }

  get(cluster: Cluster, credential: ClusterCredential): Transport {
    const slot = this.#slots.get(cluster.name);
    if (slot?.key === credential.transportKey) return slot.transport;
    // A plugin printed a new certificate, or this request found the cluster before its event came.
    if (slot) this.#drain(cluster.name, slot.transport);
    const { maxUnanswered, onBroken } = this.#limits;
    const breaker = new CircuitBreaker({ onChange: (failure) => onBroken?.(cluster.name, failure) });
    const transport = guardTransport(this.#create(cluster, credential), { maxUnanswered, breaker });
    this.#slots.set(cluster.name, {
      key: credential.transportKey,
      accessFingerprint: cluster.accessFingerprint,
      transport,
    });
    return transport;
  }

  changed(name: string, cluster: Cluster | undefined): void {
    const slot = this.#slots.get(name);
    if (slot && slot.accessFingerprint !== cluster?.accessFingerprint) {
      this.#slots.delete(name);
      this.#drain(name, slot.transport);
    }
    if (!cluster) this.#destroyDraining(name);
  }

  #drain(name: string, transport: Transport): void {
    const draining = this.#draining.get(name) ?? new Set();
    this.#draining.set(name, draining.add(transport));
    void transport
      .close()
      .catch(() => undefined)
      .then(() => {
        draining.delete(transport);
        if (draining.size === 0 && this.#draining.get(name) === draining) this.#draining.delete(name);
      });
  }

  #destroyDraining(name: string): void {
    for (const transport of this.#draining.get(name) ?? [])
      transport.destroy(new Error(`cluster ${name} is gone`));
    this.#draining.delete(name);
  }

  connections() {
    const sum = { http2: 0, http1: 0, upgraded: 0 };
    for (const transport of this.#all()) {
      const { http2, http1, upgraded } = transport.connections();
      sum.http2 += http2;
      sum.http1 += http1;
      sum.upgraded += upgraded;
    }
    return sum;
  }

  broken(): string[] {
    return [...this.#slots].filter(([, { transport }]) => transport.isBroken).map(([name]) => name);
  }

  #all(): Transport[] {
    return [
      ...[...this.#slots.values()].map(({ transport }) => transport),
      ...[...this.#draining.values()].flatMap((set) => [...set]),
    ];
  }

  async close(): Promise<void> {
    await Promise.all(this.#all().map((transport) => transport.close()));
  }

  destroy(reason?: unknown): void {
    for (const transport of this.#all()) transport.destroy(reason);
    this.#slots.clear();
    this.#draining.clear();
  }
}
