import { readdir, readFile, readlink } from 'node:fs/promises';

import type { Sample } from './verdict.ts';

/** The text of a process's metrics endpoint. */
export type ReadMetrics = () => Promise<string>;

/** What a process holds now (Linux: proc(5)), and what it says of its heap. */
export async function sampleProcess(pid: number, second: number, metrics: ReadMetrics): Promise<Sample> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const [, kiB = 'NaN'] = /^VmRSS:\s+(\d+) kB$/m.exec(status) ?? [];
  const names = await readdir(`/proc/${pid}/fd`);
  // A file may be closed before it is looked at.
  const links = await Promise.all(names.map((name) => readlink(`/proc/${pid}/fd/${name}`).catch(() => '')));
  const text = await metrics();
  const mebibytes = (name: string): number =>
    Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1] ?? NaN) / 1024 ** 2;
  return {
    ...{ second, rssMiB: Number(kiB) / 1024, files: links.filter((link) => link !== '').length },
    ...{
      heapMiB: mebibytes('nodejs_heap_size_used_bytes'),
      externalMiB: mebibytes('nodejs_external_memory_bytes'),
    },
    sockets: links.filter((link) => link.startsWith('socket:')).length,
  };
}
