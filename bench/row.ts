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
  /** It is a ratio or a number of things itself, and not compared with the Go gateway's. */
  readonly incomparable?: true;
}

/** Figures of one peer in one round, by key. */
export type Sample = Readonly<Record<string, number>>;

/** One row of the benchmark. */
export type Row = ProxyRow | TunnelRow;

interface RowHead {
  /** As in the design; several may share one. */
  readonly number: number;
  readonly title: string;
  readonly metrics: readonly Metric[];
  /** How long one measurement may take; default 180. */
  readonly limitSeconds?: number;
  /** Once before the rounds. @throws Error that says why the row cannot be measured on this machine */
  prepare?(stage: Stage): Promise<void>;
}

/** What goes through a proxy. */
export interface ProxyRow extends RowHead {
  readonly kind?: 'proxy';
  /** Those for whom the row has a meaning; default all. */
  readonly peers?: readonly PeerName[];
  /** One round of a peer that was just started. */
  measure(measurement: Measurement): Promise<Sample>;
}

/** What a tunnel does without a proxy before it. */
export interface TunnelRow extends RowHead {
  readonly kind: 'tunnel';
  readonly peers: readonly PeerName[];
  /** One round, for which it starts what it needs. */
  measure(measurement: TunnelMeasurement): Promise<Sample>;
}

export interface Measurement {
  readonly stage: Stage;
  readonly peer: RunningPeer;
  /** Shorter, for a developer at work. */
  readonly quick: boolean;
}

export interface TunnelMeasurement {
  readonly stage: Stage;
  /** Whose server, agent and client. */
  readonly name: PeerName;
  readonly quick: boolean;
}
