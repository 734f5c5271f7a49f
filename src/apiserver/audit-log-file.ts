import type { Stats } from 'node:fs';
import { mkdir, open, rename, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Log } from '../base/log.ts';
import { freeBackupPath, tidyBackups } from './audit-log-backups.ts';
import type { BackupLimits } from './audit-log-backups.ts';
import type { AuditOutput } from './audit-log.ts';

export interface AuditLogFileOptions extends BackupLimits {
  readonly path: string;
  /** Bytes after which the file becomes a backup; 0: never. */
  readonly maxBytes: number;
  readonly log: Log;
}

/** How often is looked whether somebody moved the file away, and how soon a failed rotation is tried again. */
const lookAgainMs = 1000;
const rotateAgainMs = 60_000;

/**
 * A file that is appended to and rotated as kube-apiserver's (lumberjack): at `maxBytes` it is renamed after the
 * moment, and a new one begun. A file that logrotate moved away, deleted or cut is noticed within a second. Throws
 * where the file cannot be made now, but for a full disk, which may have room later.
 */
export async function openAuditLogFile(options: AuditLogFileOptions): Promise<AuditOutput> {
  const file = new RotatingFile(options);
  await file.open().catch((error: unknown) => {
    if (!isFull(error)) throw error;
    options.log.error({ err: error, path: options.path }, 'there is no room for the audit log');
  });
  return file;
}

class RotatingFile implements AuditOutput {
  readonly #options: AuditLogFileOptions;
  #file: { readonly handle: FileHandle; readonly stats: Stats } | undefined;
  #size = 0;
  #mayBeCut = true;
  #lookedAt = 0;
  #rotateAfter = 0;
  #tidying: Promise<void> | undefined;
  #closed = false;

  constructor(options: AuditLogFileOptions) {
    this.#options = options;
  }

  async open(): Promise<FileHandle> {
    if (this.#file) return this.#file.handle;
    const { path } = this.#options;
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    const handle = await open(path, 'a+', 0o600);
    const stats = await handle.stat();
    this.#file = { handle, stats };
    this.#size = stats.size;
    this.#mayBeCut = stats.isFile();
    this.#lookedAt = performance.now();
    if (stats.isFile()) this.#tidy();
    return handle;
  }

  async append(lines: Buffer): Promise<void> {
    if (this.#closed) throw new Error('the audit log file is closed');
    await this.#look();
    let handle = await this.open();
    if (this.#isFull(lines.length) && (await this.#rotate())) handle = await this.open();
    const before = this.#size;
    try {
      const whole = this.#mayBeCut && (await isCut(handle)) ? Buffer.concat([newline, lines]) : lines;
      for (let offset = 0; offset < whole.length;) {
        const { bytesWritten } = await handle.write(whole, offset);
        offset += bytesWritten;
        this.#size += bytesWritten;
      }
      this.#mayBeCut = false;
    } catch (error) {
      await this.#takeBack(handle, before);
      throw error;
    }
  }

  /** Half a batch is taken back, as its events come again; unless somebody else appended behind it. */
  async #takeBack(handle: FileHandle, before: number): Promise<void> {
    try {
      const { size } = await handle.stat();
      if (size === this.#size && size > before) await handle.truncate(before);
    } catch {
      // Then it stands on a line of its own.
    }
    await this.#closeFile().catch(() => {});
  }

  /** Somebody may have moved the file away, as logrotate does, or emptied it. */
  async #look(): Promise<void> {
    const now = performance.now();
    const file = this.#file;
    if (!file || now - this.#lookedAt < lookAgainMs) return;
    this.#lookedAt = now;
    const { path } = this.#options;
    const there = await stat(path).catch(() => undefined);
    if (there?.ino === file.stats.ino && there.dev === file.stats.dev) {
      this.#size = there.size;
      return;
    }
    await this.#closeFile();
  }

  #isFull(bytes: number): boolean {
    const { maxBytes } = this.#options;
    return (
      maxBytes > 0 &&
      this.#size > 0 &&
      this.#size + bytes > maxBytes &&
      this.#file?.stats.isFile() === true &&
      performance.now() >= this.#rotateAfter
    );
  }

  /** Where the folder cannot be written to, the file grows on: better too large than lost. */
  async #rotate(): Promise<boolean> {
    const { path, log } = this.#options;
    try {
      await rename(path, await freeBackupPath(path, Date.now()));
    } catch (error) {
      if (this.#rotateAfter === 0) log.error({ err: error, path }, 'the audit log cannot be rotated');
      this.#rotateAfter = performance.now() + rotateAgainMs;
      return false;
    }
    this.#rotateAfter = 0;
    await this.#closeFile();
    return true;
  }

  /** One after the other, behind the writing. */
  #tidy(): void {
    const { path, log } = this.#options;
    this.#tidying = (this.#tidying ?? Promise.resolve())
      .then(() => (this.#closed ? undefined : tidyBackups(path, this.#options)))
      .catch((error: unknown) => log.error({ err: error, path }, 'old audit logs cannot be tidied'));
  }

  async #closeFile(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.handle.close();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#closeFile();
    await this.#tidying;
  }
}

const newline = Buffer.from('\n');

const isFull = (error: unknown) =>
  error instanceof Error && 'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT');

/** The end of a process may have left half a line: the next one must not become part of it. */
async function isCut(handle: FileHandle): Promise<boolean> {
  const { size } = await handle.stat();
  if (size === 0) return false;
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(1), 0, 1, size - 1);
  return bytesRead === 1 && buffer[0] !== newline[0];
}
