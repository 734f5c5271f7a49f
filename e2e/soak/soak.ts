import type { Client } from '../scenarios/registration-client.ts';
import type { GatewayProcess, KubeWorld } from '../worlds/kube.ts';
import type { Failure, Outage } from './verdict.ts';

/** What the parts of a soak share: each runs until the signal, and notes what it sees. */
export interface Soak {
  readonly kube: KubeWorld;
  readonly gateway: GatewayProcess;
  /** The hub's administrator, at both doors. */
  readonly doors: readonly [hub: Client, direct: Client];
  readonly signal: AbortSignal;
  /** Whether the signal has come. */
  readonly ended: () => boolean;
  readonly minutes: number;
  readonly notes: Notes;
}

/** What happened so far. */
export interface Notes {
  readonly counts: ReadonlyMap<string, number>;
  readonly failures: readonly Failure[];
  readonly outages: readonly Outage[];
  readonly lost: readonly string[];
  count(what: string, more?: number): void;
  fail(failure: Failure): void;
  /** The cluster is away on purpose from now until the returned function is called, and a little longer. */
  outage(cluster: string): (lingerMs: number) => void;
  lose(what: string): void;
}

/** Bounded: a soak that goes wrong altogether must not fill the memory of who watches it. */
const most = 10_000;

export function createNotes(): Notes {
  const counts = new Map<string, number>();
  const [failures, outages, lost]: [Failure[], { cluster: string; from: number; to: number }[], string[]] = [
    [],
    [],
    [],
  ];
  return {
    ...{ counts, failures, outages, lost },
    count(what, more = 1) {
      counts.set(what, (counts.get(what) ?? 0) + more);
    },
    fail(failure) {
      if (failures.length < most) failures.push(failure);
    },
    outage(cluster) {
      const outage = { cluster, from: performance.now(), to: Infinity };
      outages.push(outage);
      return (lingerMs) => {
        outage.to = performance.now() + lingerMs;
      };
    },
    lose(what) {
      if (lost.length < most) lost.push(what);
    },
  };
}

/** Sleeps, but not beyond the end of the soak. */
export function pause({ signal }: Pick<Soak, 'signal'>, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
    if (signal.aborted) done();
  });
}
