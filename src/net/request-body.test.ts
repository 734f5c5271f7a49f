import { PassThrough, Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { describe, expect, test } from 'vitest';
import { RequestBody } from './request-body.ts';

describe('a body on its way to the target', () => {
  test('each piece that is sent on is told, and none while the target takes nothing', async () => {
    let progress = 0;
    let take: (() => void) | undefined;
    const into = new Writable({ highWaterMark: 1, write: (_chunk, _encoding, done) => void (take = done) });
    const from = new PassThrough();
    const failures: unknown[] = [];
    const body = new RequestBody(from, into, {
      onProgress: () => (progress += 1),
      onFailure: (cause) => failures.push(cause),
    });
    into.on('drain', () => body.drained());
    for (let i = 0; i < 3; i += 1) from.write('piece');
    from.end();
    for (let pieces = 1; pieces <= 3; pieces += 1) {
      await expect.poll(() => progress).toBe(pieces);
      take?.();
    }
    await finished(into);
    expect([progress, failures]).toEqual([3, []]);
  });
});
