import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { ensureSystem } from '../kube/debian.ts';
import type { ProcessGroup } from '../worlds/process.ts';

/** A clock of the day that some processes have instead of the machine's; timers go on as they do. */
export interface Clock {
  /** Starts processes that have it. Not Go's: they do not ask the C library for the time. */
  readonly processes: ProcessGroup;
  /** Sets it, also for processes that run. @example await clock.set('+1d'); await clock.set('+0'); */
  set(offset: string): Promise<void>;
}

export interface ClockOptions {
  readonly name: string;
  readonly directory: string;
  readonly processes: ProcessGroup;
}

/** Makes a clock that shows the right time, by libfaketime (needs root where that is not installed). */
export async function createClock({ name, directory, processes }: ClockOptions): Promise<Clock> {
  const missing = await ensureSystem([{ file: '/usr/share/doc/libfaketime', package: 'libfaketime' }]);
  if (missing !== undefined) throw new Error(missing);
  const file = join(directory, `${name}.clock`);
  const set = (offset: string): Promise<void> => writeFile(file, `${offset}\n`);
  await set('+0');
  const environment = [
    // The loader puts the machine's own library folder in the place of $LIB.
    'LD_PRELOAD=/usr/$LIB/faketime/libfaketimeMT.so.1',
    `FAKETIME_TIMESTAMP_FILE=${file}`,
    'FAKETIME_CACHE_DURATION=1',
    'FAKETIME_DONT_FAKE_MONOTONIC=1',
    'NO_FAKE_STAT=1',
  ];
  return {
    set,
    processes: {
      start: (process) =>
        processes.start({
          ...process,
          command: 'env',
          args: [...environment, process.command, ...process.args],
        }),
      endAll: () => processes.endAll(),
    },
  };
}
