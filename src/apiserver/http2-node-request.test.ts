import { once } from 'node:events';
import { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { fakePair } from './testing/fake-answer-sink.ts';

/** A body that gives what `pull` pushes, and notes how often it was asked. */
function askedBody(pull: (body: Readable, asked: number) => void) {
  const counted = { asked: 0 };
  const body = new Readable({
    highWaterMark: 4,
    read() {
      counted.asked += 1;
      pull(this, counted.asked);
    },
  });
  body.on('error', () => {});
  return { body, counted };
}

async function textOf(stream: Readable): Promise<string> {
  let text = '';
  for await (const chunk of stream) text += String(chunk);
  return text;
}

describe('a request', () => {
  test('shows what came', () => {
    const { request, response } = fakePair({
      method: 'PATCH',
      target: '/apis?x=1',
      headers: ['accept', 'a', 'accept', 'b'],
    });
    expect(request).toMatchObject({
      method: 'PATCH',
      url: '/apis?x=1',
      httpVersion: '2.0',
      httpVersionMajor: 2,
      httpVersionMinor: 0,
      authority: 'gateway.example',
      rawHeaders: ['accept', 'a', 'accept', 'b'],
      trailers: {},
      aborted: false,
      complete: true,
    });
    expect({ ...request.headers }).toEqual({ accept: 'a, b', host: 'gateway.example' });
    expect(request.socket.encrypted).toBe(true);
    expect(request.connection).toBe(request.socket);
    expect(response.req).toBe(request);
  });

  test('without a body ends at once', async () => {
    expect(await textOf(fakePair().request)).toBe('');
  });

  test('gives the body', async () => {
    const { request } = fakePair({ body: Readable.from([Buffer.from('one '), Buffer.from('two')]) });
    expect(request.complete).toBe(false);
    expect(await textOf(request)).toBe('one two');
    expect(request).toMatchObject({ complete: true, aborted: false });
  });

  test('that nobody reads leaves the body to others', async () => {
    const { body, counted } = askedBody((self, asked) => self.push(asked > 1 ? null : Buffer.from('mine')));
    const { request, response } = fakePair({ body });
    request.on('close', () => {}).on('end', () => {});
    expect(request.headers.host).toBeDefined();
    await turn();
    expect(counted.asked).toBe(0);
    expect(body.eventNames()).toEqual(['error']);
    expect(await textOf(body)).toBe('mine');
    response.onEnd(true);
    await turn();
    expect(request.destroyed).toBe(true);
  });

  test('asks for no more of the body than is read', async () => {
    const { body, counted } = askedBody(
      (self) => void setImmediate(() => self.push(Buffer.alloc(16 * 1024))),
    );
    const { request } = fakePair({ body });
    request.once('readable', () => {});
    for (let i = 0; i < 20; i += 1) await turn();
    const before = counted.asked;
    for (let i = 0; i < 20; i += 1) await turn();
    expect(counted.asked).toBe(before);
    expect(before).toBeLessThan(10);
    request.resume();
    await expect.poll(() => counted.asked).toBeGreaterThan(before + 5);
    request.destroy();
    body.destroy();
  });

  test('is closed when the exchange is, not when its body was read', async () => {
    const { request, response, events } = fakePair({ body: Readable.from([Buffer.from('x')]) });
    await textOf(request);
    await turn();
    expect(events).toEqual(['request end']);
    response.end();
    response.onEnd(true);
    await once(request, 'close');
    expect(events).not.toContain('request aborted');
  });

  test('whose last bytes were not taken yet is not cut by the end of the exchange', async () => {
    const { request, response } = fakePair({
      body: Readable.from([Buffer.from('half, '), Buffer.from('half')]),
    });
    request.once('readable', () => {});
    await turn();
    response.end();
    response.onEnd(true);
    await turn();
    expect(await textOf(request)).toBe('half, half');
    await expect.poll(() => request.destroyed).toBe(true);
  });
});

describe('a body that breaks off', () => {
  test.each([
    ['with an error', new Error('reset')],
    ['without one', undefined],
  ])('%s is an error of whoever reads it', async (_, error) => {
    const { body } = askedBody((self, asked) => asked === 1 && self.push(Buffer.from('half')));
    const { request, events } = fakePair({ body });
    const read = textOf(request);
    await turn();
    body.destroy(error);
    await expect(read).rejects.toThrow(error?.message ?? 'aborted');
    expect(request).toMatchObject({ aborted: true, complete: false });
    expect(events.filter((event) => event === 'request aborted')).toHaveLength(1);
    expect(events).not.toContain('request end');
  });

  test('before it is read is one, too', async () => {
    const { body } = askedBody(() => {});
    const { request } = fakePair({ body });
    body.destroy(new Error('reset'));
    await turn();
    await expect(textOf(request)).rejects.toThrow('reset');
  });

  test('is no failure of a handler that does not listen', async () => {
    const { body } = askedBody((self, asked) => asked === 1 && self.push(Buffer.from('half')));
    const { request, events } = fakePair({ body });
    request.resume();
    await turn();
    body.destroy(new Error('reset'));
    await turn();
    expect(events).toEqual(['request aborted', 'request close']);
  });
});

describe('a caller that goes away', () => {
  test('is told to whoever reads', async () => {
    const { body } = askedBody(() => {});
    const { request, response, events } = fakePair({ body });
    const read = textOf(request);
    await turn();
    response.onEnd(false);
    await expect(read).rejects.toMatchObject({ code: 'ECONNRESET' });
    expect(request.aborted).toBe(true);
    response.onEnd(false);
    body.destroy(new Error('reset'));
    await turn();
    expect(events.filter((event) => event.startsWith('request'))).toEqual([
      'request aborted',
      'request close',
    ]);
  });

  test('is told where the body was read already', async () => {
    const { request, response, events } = fakePair({ body: Readable.from([Buffer.from('x')]) });
    await textOf(request);
    const done = finished(response);
    response.onEnd(false);
    await expect(done).rejects.toMatchObject({ code: 'ERR_STREAM_PREMATURE_CLOSE' });
    expect(request.aborted).toBe(true);
    expect(events).toEqual(['request end', 'request aborted', 'request close', 'response close']);
  });
});

test('the rest of a body that a handler gave up is thrown away: it must not hold the window', async () => {
  const { body, counted } = askedBody((self, asked) =>
    self.push(asked > 20 ? null : Buffer.alloc(16 * 1024)),
  );
  const { request } = fakePair({ body });
  for await (const chunk of request) {
    expect(chunk).toBeInstanceOf(Buffer);
    break;
  }
  expect(request.destroyed).toBe(true);
  await once(body, 'end');
  expect(counted.asked).toBeGreaterThan(20);
});
