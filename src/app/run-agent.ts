import type { AgentProcessOptions } from './agent-options.ts';
import { startAgent } from './agent-process.ts';
import { createLog } from './process-log.ts';
import { runUntilSignal } from './run-until-signal.ts';

/**
 * Runs the agent until SIGTERM or SIGINT, which drains it: it ends with the last connection. A second signal ends it at
 * once. Gives the exit code.
 */
export async function runAgent(options: AgentProcessOptions): Promise<number> {
  const log = createLog(options.verbosity);
  return runUntilSignal(await startAgent(options, { log }), log);
}
