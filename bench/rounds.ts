import type { PeerName } from './peers/peer.ts';
import type { Sample } from './row.ts';

/** What a peer came to in a row. */
export interface PeerResult {
  readonly name: PeerName;
  /** One for each round; undefined where the peer failed. */
  readonly samples: readonly (Sample | undefined)[];
  /** Why it did not run, or the first failure. */
  readonly trouble?: string;
}

export interface RoundsOptions {
  readonly names: readonly PeerName[];
  readonly rounds: number;
  measure(name: PeerName): Promise<Sample>;
  /** Told after each measurement. */
  progress?(name: PeerName, round: number): void;
}

/**
 * Measures each peer once a round, so that whatever else the machine does falls on all of them, and begins each round with
 * another one. A peer that fails is left out of the rounds that follow.
 */
export async function runRounds(options: RoundsOptions): Promise<PeerResult[]> {
  const results = options.names.map((name) => ({
    name,
    samples: new Array<Sample | undefined>(options.rounds).fill(undefined),
    trouble: undefined as string | undefined,
  }));
  for (let round = 0; round < options.rounds; round += 1) {
    for (let i = 0; i < results.length; i += 1) {
      const result = results[(round + i) % results.length];
      if (result === undefined || result.trouble !== undefined) continue;
      try {
        result.samples[round] = await options.measure(result.name);
      } catch (error) {
        result.trouble = error instanceof Error ? error.message : String(error);
      }
      options.progress?.(result.name, round);
    }
  }
  return results.map(({ name, samples, trouble }) => ({
    ...{ name, samples },
    ...(trouble === undefined ? {} : { trouble }),
  }));
}
