import { resolve } from 'node:path';

import type { ProcessGroup } from '../../e2e/worlds/process.ts';
import { builtMain } from '../peers/ours.ts';
import { pinned } from '../peers/running.ts';

const sourceMain = resolve(import.meta.dirname, '../../src/cli/main.ts');

export interface AsMeasured {
  /** Undefined: on those of this process. */
  readonly core: string | undefined;
  /** Flags of Node for our own processes. */
  readonly nodeFlags: readonly string[];
}

/**
 * Starts servers and agents as gateways are measured: all of one side on the same core, Go's with GOMAXPROCS=1, and ours
 * built, as its image has it.
 */
export function asMeasured(group: ProcessGroup, how: AsMeasured): ProcessGroup {
  return { ...group, start: (options) => group.start({ ...options, ...measuredCommand(options, how) }) };
}

interface Command {
  readonly command: string;
  readonly args: readonly string[];
}

export function measuredCommand({ command, args }: Command, { core, nodeFlags }: AsMeasured): Command {
  const isOurs = command === process.execPath;
  if (isOurs && !args.includes(sourceMain)) throw new Error(`this does not start ${sourceMain}`);
  const built = args.flatMap((arg) => (arg === sourceMain ? [...nodeFlags, builtMain] : [arg]));
  return pinned({ command, args: built, env: isOurs ? {} : { GOMAXPROCS: '1' } }, core);
}
