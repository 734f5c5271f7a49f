import { randomBytes } from 'node:crypto';
import { link, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { cacheDirectory } from '../kube/binaries.ts';
import { removeCgroups } from './cgroups.ts';

/** A world that exists, or existed when its owner was killed: what must be removed, written down before anything is made. */
export interface WorldRecord {
  /** Number of this world, 1 to 200, unique among those that run on this machine for this user. */
  readonly slot: number;
  /** The process that owns the world, and when it started (pids are used again). */
  readonly pid: number;
  readonly processStart: string;
  readonly directory: string;
  /** Name of the cgroup of its node. */
  readonly cgroup: string;
}

const slots = 200;

/** Claims a number and a folder for a new world. */
export async function claimWorld(directory?: string): Promise<WorldRecord> {
  const folder = directory ?? (await mkdtemp(join(tmpdir(), 'cluster-gateway-world-')));
  await mkdir(folder, { recursive: true });
  await mkdir(recordsFolder(), { recursive: true });
  const pid = process.pid;
  const processStart = await startOf(pid);
  const offset = randomBytes(1).readUInt8();
  for (let attempt = 0; attempt < slots; attempt += 1) {
    const slot = ((offset + attempt) % slots) + 1;
    const cgroup = `cluster-gateway-${slot}-${randomBytes(4).toString('hex')}`;
    const record: WorldRecord = { slot, pid, processStart: processStart ?? '', directory: folder, cgroup };
    if (await writeExclusive(record)) return record;
  }
  throw new Error(`${slots} worlds are running already; their records are in ${recordsFolder()}`);
}

/** Forgets a world that has been removed. */
export async function releaseWorld(record: WorldRecord): Promise<void> {
  await rm(recordPath(record.slot), { force: true });
}

/**
 * Removes what the worlds of killed processes left: cgroups and folders. Their processes, mounts and network namespaces went with them.
 * @returns the folders that were removed
 */
export async function removeLeftovers(): Promise<string[]> {
  const names = await readdir(recordsFolder()).catch(() => []);
  const removed = await Promise.all(
    names
      .filter((name) => /^\d+\.json$/.test(name))
      .map((name) => removeIfOrphan(join(recordsFolder(), name))),
  );
  return removed.filter((directory) => directory !== undefined);
}

async function removeIfOrphan(path: string): Promise<string | undefined> {
  const record = parseRecord(await readFile(path, 'utf8').catch(() => '{}'));
  if (record === undefined) return undefined;
  if ((await startOf(record.pid)) === record.processStart) return undefined;
  await removeCgroups(record.cgroup);
  await rm(record.directory, { recursive: true, force: true });
  await rm(path, { force: true });
  return record.directory;
}

function parseRecord(text: string): WorldRecord | undefined {
  const value = JSON.parse(text) as Partial<WorldRecord>;
  const { slot, pid, processStart, directory, cgroup } = value;
  if (slot === undefined || pid === undefined || processStart === undefined) return undefined;
  if (directory === undefined || cgroup === undefined) return undefined;
  return { slot, pid, processStart, directory, cgroup };
}

/** link() fails when the name exists, and the file is complete from its first moment, unlike with open('wx'). */
async function writeExclusive(record: WorldRecord): Promise<boolean> {
  const draft = `${recordPath(record.slot)}.${randomBytes(4).toString('hex')}`;
  await writeFile(draft, JSON.stringify(record));
  try {
    await link(draft, recordPath(record.slot));
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  } finally {
    await rm(draft);
  }
}

function recordsFolder(): string {
  return join(cacheDirectory(), 'worlds');
}

function recordPath(slot: number): string {
  return join(recordsFolder(), `${slot}.json`);
}

/** Start time of a process in clock ticks since boot (field 22 of /proc/PID/stat), undefined if there is none or it is a zombie. */
async function startOf(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  // The second field, the command in parentheses, may itself hold spaces and parentheses.
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields?.[0] === 'Z' ? undefined : fields?.[19];
}
