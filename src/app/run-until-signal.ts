import type { Log } from '../base/log.ts';

/** What a role runs: `stop` ends it in good order, `destroy` at once. */
export interface Stoppable {
  stop(): Promise<void>;
  destroy(): void;
}

/** Waits for SIGTERM or SIGINT, and stops; a second signal ends it at once. Gives the exit code. */
export function runUntilSignal(running: Stoppable, log: Log): Promise<number> {
  return new Promise<number>((resolve) => {
    let stopping = false;
    const onSignal = (signal: NodeJS.Signals) => {
      log.info({ signal }, 'signal');
      if (stopping) {
        running.destroy();
        resolve(1);
        return;
      }
      stopping = true;
      running.stop().then(
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
