import type { PeerName } from './peers/peer.ts';
import type { RunningPeer } from './peers/running.ts';
import type { Stage } from './stage.ts';

/** One figure of a row. */
export interface Metric {
  readonly key: string;
  /** With its unit. */
  readonly title: string;
  /** Digits behind the point. */
  readonly digits?: number;
}

/** Figures of one peer in one round, by key. */
export type Sample = Readonly<Record<string, number>>;

/** One row of the benchmark. */
export interface Row {
  /** As in the design; several may share one. */
  readonly number: number;
  readonly title: string;
  readonly metrics: readonly Metric[];
  /** Those for whom the row has a meaning; default all. */
  readonly peers?: readonly PeerName[];
  /** Once before the rounds. */
  prepare?(stage: Stage): Promise<void>;
  /** One round of a peer that was just started. */
  measure(measurement: Measurement): Promise<Sample>;
}

export interface Measurement {
  readonly stage: Stage;
  readonly peer: RunningPeer;
  /** Shorter, for a developer at work. */
  readonly quick: boolean;
}
