import { readdir, readFile, readlink } from 'node:fs/promises';

import type { Sample } from './verdict.ts';

/** What a process holds now (Linux: proc(5)). */
export async function sampleProcess(pid: number, second: number): Promise<Sample> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const [, kiB = 'NaN'] = /^VmRSS:\s+(\d+) kB$/m.exec(status) ?? [];
  const names = await readdir(`/proc/${pid}/fd`);
  // A file may be closed before it is looked at.
  const links = await Promise.all(names.map((name) => readlink(`/proc/${pid}/fd/${name}`).catch(() => '')));
  return {
    ...{ second, rssMiB: Number(kiB) / 1024, files: links.filter((link) => link !== '').length },
    sockets: links.filter((link) => link.startsWith('socket:')).length,
  };
}
