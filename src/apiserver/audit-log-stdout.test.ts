import { execFileSync } from 'node:child_process';
import { constants } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { auditLogStdout } from './audit-log-stdout.ts';

describe('standard output', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'audit-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  test.each([
    ['blocks', 0],
    ['does not block', constants.O_NONBLOCK],
  ])('that is a pipe which %s: its slow reader holds up nobody, and gets every byte', async (_, flag) => {
    const path = join(folder, 'pipe');
    execFileSync('mkfifo', [path]);
    // Read and write: a FIFO opened so waits for nobody.
    const reader = await open(path, constants.O_RDWR);
    const writer = await open(path, constants.O_WRONLY | flag);
    try {
      const lines = Buffer.from(`${'x'.repeat(99)}\n`.repeat(5000));
      let longest = 0;
      let before = performance.now();
      const timer = setInterval(() => {
        longest = Math.max(longest, performance.now() - before);
        before = performance.now();
      }, 5);
      const written = auditLogStdout(writer.fd).append(lines);
      await sleep(300);
      clearInterval(timer);
      expect(longest).toBeLessThan(200);
      let total = 0;
      while (total < lines.length) total += (await reader.read(Buffer.alloc(65_536))).bytesRead;
      await written;
      expect(total).toBe(lines.length);
    } finally {
      await writer.close();
      await reader.close();
    }
  });

  test('that fails says so', async () => {
    const full = await open('/dev/full', 'w');
    try {
      await expect(auditLogStdout(full.fd).append(Buffer.from('a\n'))).rejects.toMatchObject({
        code: 'ENOSPC',
      });
    } finally {
      await full.close();
    }
  });
});
