import { createLog } from './process-log.ts';
import { runUntilSignal } from './run-until-signal.ts';
import { startTunnelServer } from './tunnel-server.ts';
import type { TunnelServerRoleOptions } from './tunnel-server-options.ts';

/** Runs the tunnel server until SIGTERM or SIGINT, a second one of which ends it at once; gives the exit code. */
export async function runTunnelServer(options: TunnelServerRoleOptions): Promise<number> {
  const log = createLog(options.verbosity);
  return runUntilSignal(await startTunnelServer(options, { log }), log);
}
