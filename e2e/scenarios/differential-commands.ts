import { policySequences } from './differential-policy.ts';
import { readingSequences } from './differential-reading.ts';
import type { Sequence } from './differential-step.ts';
import { streamSequences } from './differential-streams.ts';
import { workloadSequences } from './differential-workloads.ts';
import { writingSequences } from './differential-writing.ts';

/** The table of commands that are run directly and through the gateway. */
export const sequences: readonly Sequence[] = [
  ...readingSequences,
  ...writingSequences,
  ...policySequences,
  ...workloadSequences,
  ...streamSequences,
];
