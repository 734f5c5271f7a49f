import { createGateway } from './gateway.ts';
import { unknownGates } from './gateway-flags.ts';
import type { GatewayOptions } from './gateway-options.ts';
import { createLog } from './process-log.ts';

/** Runs the gateway until SIGTERM or SIGINT, a second one of which ends it at once; gives the exit code. */
export async function runGateway(options: GatewayOptions): Promise<number> {
  const log = createLog(options.verbosity);
  const unknown = unknownGates(options);
  if (unknown.length > 0) log.warn({ gates: unknown }, 'feature gates that are not known are ignored');
  const gateway = await createGateway(options, log);
  return new Promise<number>((resolve) => {
    let stopping = false;
    const onSignal = (signal: NodeJS.Signals) => {
      log.info({ signal }, 'signal');
      if (stopping) {
        gateway.destroy();
        resolve(1);
        return;
      }
      stopping = true;
      gateway.stop().then(
        () => resolve(0),
        (error: unknown) => {
          log.error({ err: error }, 'stopping failed');
          resolve(1);
        },
      );
    };
    process.on('SIGTERM', onSignal);
    process.on('SIGINT', onSignal);
  });
}
