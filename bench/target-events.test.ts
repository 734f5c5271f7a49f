import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';

import { sentAt, startEvents } from './target-events.ts';

test('a watch gets an event that says when it was sent', async () => {
  const watch = new PassThrough();
  startEvents()(watch);
  const before = process.hrtime.bigint();
  const part = await new Promise<Buffer>((resolve) => watch.once('data', resolve));
  const sent = sentAt(part) ?? 0n;
  expect(sent).toBeGreaterThan(before);
  expect(sent).toBeLessThanOrEqual(process.hrtime.bigint());
  expect(JSON.parse(part.toString())).toMatchObject({ type: 'MODIFIED' });
  expect(sentAt(Buffer.concat([part, part.subarray(0, 5)]))).toBe(sent);
  const earlier = Buffer.from('{"type":"MODIFIED","object":{"sent":"5"}}\n');
  expect(sentAt(Buffer.concat([earlier, part]))).toBe(sent);
  watch.destroy();
});

test('a part without the beginning of an event says nothing', () => {
  expect(sentAt(Buffer.from('xxxx"}}\n'))).toBeUndefined();
  expect(sentAt(Buffer.from('{"object":{"sent":"'))).toBeUndefined();
});
