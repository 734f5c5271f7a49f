import { median } from './statistics.ts';

/** What the gateway's process held at a moment. */
export interface Sample {
  /** Seconds since the load began. */
  readonly second: number;
  /** Resident memory in MiB. */
  readonly rssMiB: number;
  /** Of V8's heap, with what is not collected yet, and outside of it, in MiB: tells what resident memory is made of. */
  readonly heapMiB: number;
  readonly externalMiB: number;
  readonly files: number;
  readonly sockets: number;
}

/** Time during which a cluster was away on purpose; milliseconds of `performance.now`. */
export interface Outage {
  readonly cluster: string;
  readonly from: number;
  readonly to: number;
}

export interface Failure {
  readonly what: string;
  readonly cluster: string;
  /** When it was sent, and how long it took: milliseconds. */
  readonly at: number;
  readonly ms: number;
}

/** The failures that no outage of their cluster explains. */
export function unexplained(failures: readonly Failure[], outages: readonly Outage[]): readonly Failure[] {
  return failures.filter(
    ({ cluster, at, ms }) =>
      !outages.some((outage) => outage.cluster === cluster && at < outage.to && at + ms > outage.from),
  );
}

/** Longest that files and sockets may be above what they were before the load: kept-alive connections to the clusters. */
const keptConnections = 12;

/** MiB by which resident memory may grow between the two parts that are compared: less than its noise in a short run. */
const growthMiB = 16;

export interface Evidence {
  /** Before the load, and a while after its end. */
  readonly before: Sample;
  readonly after: Sample;
  /** While it ran, in their order. */
  readonly samples: readonly Sample[];
  readonly failures: readonly Failure[];
  /** What was accepted and is not there, or is there twice. */
  readonly lost: readonly string[];
}

/** Why a soak has failed; empty when it has not. */
export function problemsOf({ before, after, samples, failures, lost }: Evidence): readonly string[] {
  const growth = growthOf(samples);
  return [
    ...(samples.length < 12 ? [`only ${samples.length} samples: too few to tell`] : []),
    ...(growth > growthMiB ? [`resident memory grew by ${growth.toFixed(1)} MiB from early to late`] : []),
    ...(['files', 'sockets'] as const).flatMap((what) =>
      after[what] - before[what] > keptConnections
        ? [`${after[what]} ${what} are open after the load, ${before[what]} were before it`]
        : [],
    ),
    ...failures.map(({ what, cluster, ms }) => `${cluster}: ${what} after ${ms.toFixed(0)} ms`),
    ...lost,
  ];
}

/** MiB from the third sixth of the samples to the last: the first third is the warming up. */
export function growthOf(samples: readonly Sample[]): number {
  const sixth = (index: number): readonly number[] =>
    samples
      .slice(Math.floor((samples.length * index) / 6), Math.floor((samples.length * (index + 1)) / 6))
      .map(({ rssMiB }) => rssMiB);
  return median(sixth(5)) - median(sixth(2));
}
