import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { ProcessGroup } from '../worlds/process.ts';

/** A file of names that some processes have as /etc/hosts; nobody else on the machine sees it. */
export interface HostsFile {
  /** Starts processes that have it (needs root). */
  readonly processes: ProcessGroup;
  /** Replaces all names but localhost, also for processes that run. */
  set(names: Readonly<Record<string, readonly string[]>>): Promise<void>;
}

export interface HostsFileOptions {
  readonly directory: string;
  readonly processes: ProcessGroup;
  /** Addresses by name. */
  readonly names: Readonly<Record<string, readonly string[]>>;
}

/** Makes a file of names. */
export async function createHostsFile({ directory, processes, names }: HostsFileOptions): Promise<HostsFile> {
  const path = join(directory, 'hosts');
  // The same file all the time: it is what is mounted.
  const set: HostsFile['set'] = (now) => {
    const lines = Object.entries(now).flatMap(([name, addresses]) =>
      addresses.map((address) => `${address} ${name}\n`),
    );
    return writeFile(path, `127.0.0.1 localhost\n${lines.join('')}`);
  };
  await set(names);
  const script = 'mount --bind "$0" /etc/hosts && exec "$@"';
  return {
    set,
    processes: {
      start: (process) =>
        processes.start({
          ...process,
          command: 'unshare',
          args: ['--mount', '--', 'sh', '-c', script, path, process.command, ...process.args],
        }),
      endAll: () => processes.endAll(),
    },
  };
}
