import { createReadStream, createWriteStream } from 'node:fs';
import { access, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';

export interface BackupLimits {
  /** Days, by the moment in the name; 0: any age. */
  readonly maxAgeDays: number;
  /** Files; 0: any number. */
  readonly maxBackups: number;
  /** Whether backups are compressed with gzip. */
  readonly compress: boolean;
}

interface Backup {
  readonly name: string;
  readonly compressed: boolean;
  readonly time: number;
}

/** `audit-2026-01-02T03-04-05.000.log` beside `audit.log`: lumberjack's names, in UTC. */
export function backupPath(path: string, epochMs: number): string {
  const { folder, prefix, extension } = partsOf(path);
  const moment = new Date(epochMs).toISOString().slice(0, -1).replaceAll(':', '-');
  return join(folder, `${prefix}${moment}${extension}`);
}

/** A name that no backup has: two may fall into one millisecond. */
export async function freeBackupPath(path: string, epochMs: number): Promise<string> {
  for (let time = epochMs; ; time += 1) {
    const candidate = backupPath(path, time);
    if (!(await exists(candidate)) && !(await exists(`${candidate}.gz`))) return candidate;
  }
}

const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );

function partsOf(path: string): { folder: string; prefix: string; extension: string } {
  const extension = extname(path);
  return { folder: dirname(path), prefix: `${basename(path, extension)}-`, extension };
}

/** Removes backups that are too many or too old, and compresses the others if that is wanted. Touches no other file. */
export async function tidyBackups(
  path: string,
  { maxAgeDays, maxBackups, compress }: BackupLimits,
): Promise<void> {
  const { folder } = partsOf(path);
  const backups = backupsAmong(await readdir(folder), path);
  const oldest = maxAgeDays > 0 ? Date.now() - maxAgeDays * 86_400_000 : -Infinity;
  const kept = backups.filter(
    ({ time }, index) => time >= oldest && (maxBackups === 0 || index < maxBackups),
  );
  for (const backup of backups) {
    if (!kept.includes(backup)) await rm(join(folder, backup.name), { force: true });
  }
  if (!compress) return;
  for (const { name, compressed } of kept) if (!compressed) await compressFile(join(folder, name));
}

/** Newest first. */
function backupsAmong(names: readonly string[], path: string): Backup[] {
  const { prefix, extension } = partsOf(path);
  const backups: Backup[] = [];
  for (const name of names) {
    const compressed = name.endsWith('.gz');
    const bare = compressed ? name.slice(0, -'.gz'.length) : name;
    if (!bare.startsWith(prefix) || !bare.endsWith(extension)) continue;
    const moment = bare.slice(prefix.length, bare.length - extension.length);
    const parts = /^(\d{4}-\d\d-\d\dT)(\d\d)-(\d\d)-(\d\d\.\d{3})$/.exec(moment);
    const time = parts ? Date.parse(`${parts[1]}${parts[2]}:${parts[3]}:${parts[4]}Z`) : Number.NaN;
    if (!Number.isNaN(time)) backups.push({ name, compressed, time });
  }
  return backups.sort((one, other) => other.time - one.time);
}

/** Whole or not at all: the original goes when its copy is complete. */
async function compressFile(path: string): Promise<void> {
  const unfinished = `${path}.gz.tmp`;
  try {
    await pipeline(createReadStream(path), createGzip(), createWriteStream(unfinished, { mode: 0o600 }));
    await rename(unfinished, `${path}.gz`);
  } catch (error) {
    await rm(unfinished, { force: true });
    throw error;
  }
  await rm(path, { force: true });
}
