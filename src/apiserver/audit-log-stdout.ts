import { write } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { AuditOutput } from './audit-log.ts';

const writeTo = promisify(write);

/**
 * Standard output. Not by `process.stdout`: that one writes pipes and files in the event loop, so whoever reads slowly
 * would hold up every request (Node, process I/O).
 */
export function auditLogStdout(fd = 1): AuditOutput {
  let rest = 0;
  return {
    append: async (lines) => {
      // What a failure left unwritten of these lines: a pipe takes nothing back.
      for (let offset = rest; offset < lines.length;) {
        rest = offset;
        try {
          offset += (await writeTo(fd, lines, offset, lines.length - offset)).bytesWritten;
        } catch (error) {
          if (!isBusy(error)) throw error;
          await sleep(10);
        }
      }
      rest = 0;
    },
    close: () => Promise.resolve(),
  };
}

const isBusy = (error: unknown) => error instanceof Error && 'code' in error && error.code === 'EAGAIN';
