import { createGateway } from './gateway.ts';
import { unknownGates } from './gateway-flags.ts';
import type { GatewayOptions } from './gateway-options.ts';
import { createLog } from './process-log.ts';
import { runUntilSignal } from './run-until-signal.ts';

/** Runs the gateway until SIGTERM or SIGINT, a second one of which ends it at once; gives the exit code. */
export async function runGateway(options: GatewayOptions): Promise<number> {
  const log = createLog(options.verbosity);
  const unknown = unknownGates(options);
  if (unknown.length > 0) log.warn({ gates: unknown }, 'feature gates that are not known are ignored');
  return runUntilSignal(await createGateway(options, log), log);
}
