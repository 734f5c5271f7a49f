import { execFileSync } from 'node:child_process';
import {
  chmod,
  mkdtemp,
  mkdir,
  readFile,
  readdir,
  rename,
  rm,
  stat,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { silentLog } from '../base/log.ts';
import { openAuditLogFile } from './audit-log-file.ts';
import type { AuditLogFileOptions } from './audit-log-file.ts';
import { createAuditLog } from './audit-log.ts';
import type { AuditOutput } from './audit-log.ts';

const isRoot = process.getuid?.() === 0;

describe('the audit log file', () => {
  let folder: string;
  const outputs: AuditOutput[] = [];
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'audit-'));
  });
  afterEach(async () => {
    for (const output of outputs.splice(0)) await output.close();
    await rm(folder, { recursive: true, force: true });
  });

  async function openFile(options: Partial<AuditLogFileOptions> = {}) {
    const errors: string[] = [];
    const path = options.path ?? join(folder, 'audit.log');
    const output = await openAuditLogFile({
      ...{ path, maxBytes: 0, maxAgeDays: 0, maxBackups: 0, compress: false },
      log: { ...silentLog, error: (_, message) => errors.push(message) },
      ...options,
    });
    outputs.push(output);
    return { path, errors, output, append: (text: string) => output.append(Buffer.from(text)) };
  }

  const backups = async () => (await readdir(folder)).filter((name) => name !== 'audit.log').sort();

  test('is appended to, and for its owner only', async () => {
    for (const text of ['a\n', 'b\n']) {
      const { append, output } = await openFile();
      await append(text);
      await output.close();
    }
    const path = join(folder, 'audit.log');
    expect(await readFile(path, 'utf8')).toBe('a\nb\n');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  test('is made with its folder, at the start', async () => {
    const path = join(folder, 'new', 'deep', 'audit.log');
    await openFile({ path });
    expect((await stat(path)).size).toBe(0);
    expect((await stat(join(folder, 'new'))).mode & 0o777).toBe(0o700);
  });

  test('that cannot be made ends the start', async () => {
    await writeFile(join(folder, 'file'), '');
    await expect(openFile({ path: join(folder, 'file', 'audit.log') })).rejects.toThrow(/ENOTDIR|EEXIST/);
    await expect(openFile({ path: folder })).rejects.toThrow(/EISDIR/);
  });

  test('half a line that somebody left stays one line', async () => {
    await writeFile(join(folder, 'audit.log'), '{"n":1}\n{"n":');
    const { append, path } = await openFile();
    await append('{"n":2}\n');
    await append('{"n":3}\n');
    expect(await readFile(path, 'utf8')).toBe('{"n":1}\n{"n":\n{"n":2}\n{"n":3}\n');
  });

  describe('that reached its size', () => {
    test('becomes a backup with the name that kube-apiserver gives it', async () => {
      const { append, path } = await openFile({ maxBytes: 10 });
      for (const text of ['11111\n', '22222\n', '33333\n']) await append(text);
      expect(await readFile(path, 'utf8')).toBe('33333\n');
      const names = await backups();
      expect(names).toHaveLength(2);
      for (const name of names) expect(name).toMatch(/^audit-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}\.log$/);
      const texts = await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')));
      expect(texts).toEqual(['11111\n', '22222\n']);
      const [, time = ''] = /audit-(.*)\.log/.exec(names[0] ?? '') ?? [];
      const at = Date.parse(`${time.slice(0, 11)}${time.slice(11).replace('-', ':').replace('-', ':')}Z`);
      expect(Math.abs(Date.now() - at)).toBeLessThan(60_000);
    });

    test('loses nothing, however fast that happens', async () => {
      const { append, path } = await openFile({ maxBytes: 100 });
      for (let n = 0; n < 200; n += 1) await append(`${String(n).padStart(50, '0')}\n`);
      const names = [...(await backups()).map((name) => join(folder, name)), path];
      const lines = (await Promise.all(names.map((name) => readFile(name, 'utf8')))).join('').split('\n');
      expect(lines.filter((line) => line !== '').map(Number)).toEqual(
        Array.from({ length: 200 }, (_, n) => n),
      );
    });

    test('counts what was there before', async () => {
      await writeFile(join(folder, 'audit.log'), '123456789\n');
      const { append } = await openFile({ maxBytes: 10 });
      await append('a\n');
      expect(await backups()).toHaveLength(1);
    });

    test('a line that is larger than the size stands in a file of its own', async () => {
      const { append, path } = await openFile({ maxBytes: 10 });
      await append(`${'x'.repeat(50)}\n`);
      await append('a\n');
      expect(await readFile(path, 'utf8')).toBe('a\n');
      expect(await backups()).toHaveLength(1);
    });

    test('keeps as many backups as are wanted, none that are too old, and touches no other file', async () => {
      const day = (days: number) =>
        new Date(Date.now() - days * 86_400_000).toISOString().slice(0, -1).replaceAll(':', '-');
      const others = [
        'audit-notes.log',
        'audit.log.1',
        'other-2020-01-01T00-00-00.000.log',
        'audit-2020.log',
      ];
      const old = [1, 2, 3, 40].map((days) => `audit-${day(days)}.log`);
      for (const name of [...others, ...old]) await writeFile(join(folder, name), '');
      await openFile({ maxAgeDays: 30, maxBackups: 2 });
      await expect.poll(backups).toEqual([...others, old[0], old[1]].sort());
    });

    test('age alone removes old ones', async () => {
      await writeFile(join(folder, 'audit-2020-01-01T00-00-00.000.log.gz'), '');
      await openFile({ maxAgeDays: 1 });
      await expect.poll(backups).toEqual([]);
    });

    test('is compressed where that is wanted', async () => {
      const { append } = await openFile({ maxBytes: 10, compress: true });
      await append('11111\n');
      await append('22222\n');
      await expect.poll(async () => (await backups()).every((name) => name.endsWith('.log.gz'))).toBe(true);
      const [name = ''] = await backups();
      expect(gunzipSync(await readFile(join(folder, name))).toString()).toBe('11111\n');
      expect((await stat(join(folder, name))).mode & 0o777).toBe(0o600);
    });
  });

  describe('in the hands of somebody else', () => {
    test('that was moved away is begun anew within a second or two', async () => {
      const { append, path } = await openFile();
      await append('a\n');
      await rename(path, join(folder, 'moved'));
      const there = async () => {
        await append('b\n');
        return readFile(path, 'utf8').catch(() => '');
      };
      await expect.poll(there, { timeout: 5000 }).toMatch(/^(?:b\n)+$/);
      expect(await readFile(join(folder, 'moved'), 'utf8')).toMatch(/^a\n(?:b\n)*$/);
    });

    test('that was emptied is rotated by its new size', async () => {
      const { append, path } = await openFile({ maxBytes: 20 });
      await append('0123456789abcde\n');
      await truncate(path);
      await new Promise((resolve) => setTimeout(resolve, 1100));
      await append('0123456789\n');
      expect(await backups()).toEqual([]);
      expect(await readFile(path, 'utf8')).toBe('0123456789\n');
    });
  });

  describe('on a bad disk', () => {
    test('a device without room fails, again and again', async () => {
      const { append } = await openFile({ path: '/dev/full' });
      await expect(append('a\n')).rejects.toMatchObject({ code: 'ENOSPC' });
      await expect(append('b\n')).rejects.toMatchObject({ code: 'ENOSPC' });
    });

    test.runIf(isRoot)(
      'that is full and then has room again, no event is lost and no line is cut',
      async () => {
        execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8k', 'tmpfs', folder]);
        try {
          const said: string[] = [];
          const { path, output } = await openFile();
          const log = createAuditLog({
            output,
            retryMs: 20,
            log: { ...silentLog, error: (_, text) => said.push(text), warn: (_, text) => said.push(text) },
          });
          for (let n = 0; n < 20; n += 1) log.write({ auditID: String(n), pad: 'x'.repeat(2000) } as never);
          await expect.poll(() => said.length, { timeout: 5000 }).toBe(1);
          await new Promise((resolve) => setTimeout(resolve, 200));
          const text = await readFile(path, 'utf8');
          expect(text === '' || text.endsWith('\n')).toBe(true);
          execFileSync('mount', ['-o', 'remount,size=1m', folder]);
          await expect.poll(() => said.length, { timeout: 5000 }).toBe(2);
          await log.close();
          const ids = (await readFile(path, 'utf8'))
            .split('\n')
            .filter((line) => line !== '')
            .map((line) => (JSON.parse(line) as { auditID: string }).auditID);
          expect(ids).toEqual(Array.from({ length: 20 }, (_, n) => String(n)));
          expect(log.lost).toBe(0);
        } finally {
          execFileSync('umount', ['-l', folder]);
        }
      },
    );

    test.runIf(isRoot)('that becomes read-only while it is written, and writable again', async () => {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder]);
      try {
        const { path, output, append } = await openFile({ maxBytes: 10 });
        await append('11111\n');
        await output.close();
        execFileSync('mount', ['-o', 'remount,ro', folder]);
        await expect(openFile()).rejects.toMatchObject({ code: 'EROFS' });
        execFileSync('mount', ['-o', 'remount,rw', folder]);
        const again = await openFile();
        await again.append('22222\n');
        expect(await readFile(path, 'utf8')).toBe('11111\n22222\n');
      } finally {
        execFileSync('umount', ['-l', folder]);
      }
    });

    test('whose folder takes no new name grows on, and says so once', async () => {
      const own = join(folder, 'own');
      await mkdir(own);
      const path = join(own, 'audit.log');
      const { append, errors } = await openFile({ path, maxBytes: 10 });
      await append('11111\n');
      // A mount point cannot be renamed, and root may write into any folder.
      if (isRoot) execFileSync('mount', ['--bind', path, path]);
      else await chmod(own, 0o500);
      try {
        for (let n = 0; n < 3; n += 1) await append('22222\n');
        expect(await readFile(path, 'utf8')).toBe('11111\n22222\n22222\n22222\n');
        expect(errors).toEqual(['the audit log cannot be rotated']);
      } finally {
        if (isRoot) execFileSync('umount', ['-l', path]);
        else await chmod(own, 0o700);
      }
      // It is tried again, but not with every event.
      await append('33333\n');
      expect(await readdir(own)).toEqual(['audit.log']);
    });
  });
});
