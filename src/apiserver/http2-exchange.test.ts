import { once } from 'node:events';
import http2 from 'node:http2';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { Exchange } from './exchange.ts';
import { serve } from './testing/served.ts';

/** What a client sees of an answer. */
async function answerOf(handle: (exchange: Exchange) => void) {
  const session = http2.connect(`https://localhost:${await serve(handle)}`, { rejectUnauthorized: false });
  const stream = session.request({ ':path': '/' });
  let text = '';
  let ended = false;
  stream.on('data', (chunk: Buffer) => (text += chunk.toString()));
  stream.on('end', () => (ended = true));
  stream.on('error', () => {});
  await once(stream, 'close').catch(() => undefined);
  session.destroy();
  return { text, ended, reset: stream.rstCode };
}

test.each([0, 50])('half an answer never looks whole (the body breaks after %i ms)', async (ms) => {
  const seen = await answerOf((exchange) => {
    const body = new Readable({ read() {} });
    exchange.stream(200, [], { body });
    body.push('half');
    void sleep(ms).then(() => body.destroy(new Error('the target died')));
  });
  expect(seen).toMatchObject({ ended: false, reset: http2.constants.NGHTTP2_INTERNAL_ERROR });
});

test('a whole one does', async () => {
  const seen = await answerOf((exchange) => {
    exchange.stream(200, [], { body: Readable.from([Buffer.from('whole')]) });
  });
  expect(seen).toEqual({ text: 'whole', ended: true, reset: 0 });
});

test.each([
  ['CANCEL', http2.constants.NGHTTP2_CANCEL],
  ['INTERNAL_ERROR', http2.constants.NGHTTP2_INTERNAL_ERROR],
  ['NO_ERROR', http2.constants.NGHTTP2_NO_ERROR],
])('half a body never looks whole (the caller resets with %s)', async (_, code) => {
  const seen: string[] = [];
  const port = await serve(({ body, signal }) => {
    body?.on('data', (chunk: Buffer) => seen.push(chunk.toString()));
    body?.on('end', () => seen.push('end'));
    body?.on('error', () => seen.push('error'));
    signal.addEventListener('abort', () => seen.push('signal'));
  });
  const session = http2.connect(`https://localhost:${port}`, { rejectUnauthorized: false });
  const stream = session.request({ ':path': '/', ':method': 'POST' });
  stream.on('error', () => {});
  stream.write('half');
  await expect.poll(() => seen).toEqual(['half']);
  resetWithoutEnd(stream, code);
  await expect.poll(() => seen).toContain('signal');
  expect(seen).toContain('error');
  expect(seen).not.toContain('end');
  session.destroy();
});

/** `close` would send END_STREAM first. */
function resetWithoutEnd(stream: http2.ClientHttp2Stream, code: number): void {
  stream.end = () => stream;
  stream.close(code);
}
