import { once } from 'node:events';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { fakePair } from './testing/fake-answer-sink.ts';

describe('an answer', () => {
  test('in one piece goes out in one turn, its end with it', async () => {
    const { response, sink, events } = fakePair();
    response.writeHead(201, { 'Content-Type': 'text/plain', 'content-length': 5 });
    expect(response.headersSent).toBe(true);
    expect(sink.calls).toEqual([]);
    response.end('hello');
    expect(sink.calls).toEqual(['head', 'write', 'end']);
    expect(sink).toMatchObject({ status: 201, body: 'hello' });
    expect(sink.lines.slice(0, 4)).toEqual(['content-type', 'text/plain', 'content-length', '5']);
    expect(response).toMatchObject({ finished: true, writableEnded: true });
    await once(response, 'finish');
    await turn();
    expect(events).toEqual(['response finish']);
    response.onEnd(true);
    await once(response, 'close');
    expect(sink.calls).toEqual(['head', 'write', 'end']);
  });

  test.each([
    ['end()', undefined],
    ["end('')", ''],
    ['end(null), as fastify says it', null],
  ])('without a body is a head alone: %s', async (_, chunk) => {
    const { response, sink } = fakePair();
    response.end(chunk);
    await once(response, 'finish');
    expect(sink.calls).toEqual(['head!']);
  });

  test('in pieces, in whichever encoding', async () => {
    const { response, sink } = fakePair();
    response.write('c2l4', 'base64');
    response.write(new Uint8Array([0x20]));
    response.cork();
    response.write('');
    response.write('seven');
    response.end(' eight');
    await once(response, 'finish');
    expect(sink.body).toBe('six seven eight');
    expect(sink.calls).toEqual(['head', 'write', 'write', 'write', 'write', 'end']);
  });

  test('the head can go first', () => {
    const { response, sink } = fakePair();
    response.setHeader('content-type', 'application/json');
    response.flushHeaders();
    response.flushHeaders();
    expect(sink.calls).toEqual(['head']);
    response.write('');
    expect(sink.calls).toEqual(['head']);
    response.end();
    expect(sink.calls).toEqual(['head', 'end']);
  });

  test('callbacks are called', async () => {
    const { response } = fakePair();
    const called: string[] = [];
    response.write('x', () => called.push('write'));
    response.end('y', () => called.push('end'));
    await once(response, 'finish');
    response.end(() => called.push('end again'));
    await turn();
    expect(called).toEqual(['write', 'end', 'end again']);
  });

  test('to end twice is no failure, and says nothing more', async () => {
    const { response, sink } = fakePair();
    response.end('x');
    response.end('y');
    await turn();
    response.end('z');
    expect(sink.calls).toEqual(['head', 'write', 'end']);
  });

  test('a write behind the end is an error to nobody who does not listen', async () => {
    const { response, sink } = fakePair();
    response.end('x');
    response.write('y');
    await turn();
    expect(sink.body).toBe('x');
    expect(sink.calls).not.toContain('abort');
  });

  test.each([
    ['HEAD', 200],
    ['GET', 204],
    ['GET', 304],
  ])('%s %i has the same head and no body', async (method, status) => {
    const { response, sink } = fakePair({ method });
    response.writeHead(status, { 'content-length': 100 });
    response.write('x'.repeat(50));
    response.end('x'.repeat(50));
    await once(response, 'finish');
    expect(sink.calls).toEqual(['head!']);
    expect(sink).toMatchObject({ status, body: '' });
    expect(sink.values('content-length')).toEqual(['100']);
  });
});

describe('back-pressure', () => {
  test('nothing more is written until there is room', async () => {
    const { response, sink, events } = fakePair();
    sink.hasRoom = false;
    response.write('one');
    response.write('two');
    response.end('three');
    await turn();
    expect(sink.calls).toEqual(['head', 'write']);
    expect(events).toEqual([]);
    response.onDrain();
    await turn();
    expect(sink.body).toBe('onetwo');
    sink.hasRoom = true;
    response.onDrain();
    await turn();
    expect(sink.body).toBe('onetwothree');
    expect(sink.calls).toEqual(['head', 'write', 'write', 'write', 'end']);
    expect(events).toEqual(['response finish']);
  });

  test('writers are told to wait, and when to go on', async () => {
    const { response, sink, events } = fakePair();
    sink.hasRoom = false;
    expect(response.write(Buffer.alloc(100_000))).toBe(false);
    await turn();
    expect(events).toEqual([]);
    response.onDrain();
    await turn();
    expect(events).toEqual(['response drain']);
  });

  test('the end goes with the last piece, but is no finish before that has room', async () => {
    const { response, sink, events } = fakePair();
    sink.hasRoom = false;
    response.end('all');
    expect(sink.calls).toEqual(['head', 'write', 'end']);
    await turn();
    expect(events).toEqual([]);
    response.onDrain();
    await turn();
    expect(events).toEqual(['response finish']);
  });

  test('an end without bytes is told when what was written has room', async () => {
    const { response, sink } = fakePair();
    sink.hasRoom = false;
    response.write('x');
    response.end();
    expect(sink.calls).toEqual(['head', 'write']);
    response.onDrain();
    await turn();
    expect(sink.calls).toEqual(['head', 'write', 'end']);
  });

  test('room that is there before the write has returned counts', async () => {
    const { response, sink } = fakePair();
    sink.write = (chunk) => {
      sink.body += chunk.toString();
      response.onDrain();
      return false;
    };
    response.write('a');
    response.end('b');
    await once(response, 'finish');
    expect(sink.body).toBe('ab');
  });

  test('a pipe carries all of it', async () => {
    const { response, sink } = fakePair();
    sink.hasRoom = false;
    const pieces = Array.from({ length: 50 }, (_, i) => Buffer.from(`${i} `.repeat(2_000)));
    const write = sink.write.bind(sink);
    sink.write = (chunk) => {
      setImmediate(() => response.onDrain());
      return write(chunk);
    };
    await pipeline(Readable.from(pieces), response);
    expect(sink.body).toBe(Buffer.concat(pieces).toString());
    expect(sink.calls.at(-1)).toBe('end');
  });
});

describe('the end of the exchange', () => {
  test.each([false, true])(
    'told while the sink is told the end comes behind finish (blocked: %s)',
    async (blocked) => {
      const { response, sink, events } = fakePair();
      sink.hasRoom = !blocked;
      sink.onOver = (complete) => response.onEnd(complete);
      response.end('x');
      await once(response, 'close');
      expect(events).toEqual(['request close', 'response finish', 'response close']);
    },
  );

  test('half way: closed once, without an error', async () => {
    const { response, sink, events } = fakePair();
    const failed = vi.fn();
    response.on('error', failed);
    sink.hasRoom = false;
    const written = vi.fn();
    response.write('one', written);
    response.write('two');
    response.onEnd(false);
    response.onEnd(false);
    response.onDrain();
    await turn();
    expect(events).toEqual(['request aborted', 'request close', 'response close']);
    expect(failed).not.toHaveBeenCalled();
    // Whoever waits for its bytes to be gone is told.
    expect(written).toHaveBeenCalledWith(expect.any(Error));
    // The stream is over: there is nothing to reset.
    expect(sink.calls).toEqual(['head', 'write']);
  });

  test('behind it a handler may go on as if nothing had happened', async () => {
    const { response, sink, events } = fakePair();
    response.onEnd(false);
    response.setHeader('x-a', '1');
    response.writeHead(200, { 'x-b': '2' });
    response.flushHeaders();
    response.write('x');
    const ended = vi.fn();
    response.end('y', ended);
    response.destroy();
    await turn();
    expect(ended).toHaveBeenCalledOnce();
    expect(response).toMatchObject({ headersSent: false, writableEnded: true, destroyed: true });
    expect(events).toEqual(['request aborted', 'request close', 'response close']);
    expect(sink.calls).toEqual([]);
  });

  test('in good order where the handler has not ended: closed', async () => {
    const { response, events } = fakePair();
    response.write('x');
    response.onEnd(true);
    await once(response, 'close');
    expect(events).toEqual(['request close', 'response close']);
  });
});

describe('a handler that gives up', () => {
  test.each([
    ['before the head', () => {}],
    ['half way', (write: (text: string) => void) => write('half')],
  ])('%s: the stream is reset', async (_, begin) => {
    const { response, sink, request, events } = fakePair();
    begin((text) => response.write(text));
    sink.onOver = (complete) => response.onEnd(complete);
    response.destroy(new Error('broken'));
    response.destroy();
    await turn();
    expect(sink.calls.filter((call) => call !== 'head' && call !== 'write')).toEqual(['abort']);
    expect(request.aborted).toBe(true);
    expect(events.filter((event) => event === 'response close')).toHaveLength(1);
  });

  test('whose whole answer waits for room: the stream is reset', () => {
    const { response, sink } = fakePair();
    sink.hasRoom = false;
    response.end('all');
    response.destroy();
    expect(sink.calls).toEqual(['head', 'write', 'end', 'abort']);
  });

  test.each(['finished', 'about to finish'])('when it is %s, nothing is reset', async (when) => {
    const { response, sink } = fakePair();
    response.end('all');
    if (when === 'finished') await once(response, 'finish');
    response.destroy();
    await turn();
    expect(sink.calls).toEqual(['head', 'write', 'end']);
  });
});

describe('the head', () => {
  test('says the time, unless the handler does or wants none', () => {
    const dates = (prepare: (pair: ReturnType<typeof fakePair>) => void) => {
      const pair = fakePair();
      prepare(pair);
      pair.response.end();
      return pair.sink.values('date');
    };
    expect(dates(() => {})).toEqual([expect.stringMatching(/^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$/)]);
    expect(dates(({ response }) => response.setHeader('Date', 'then'))).toEqual(['then']);
    expect(dates(({ response }) => (response.sendDate = false))).toEqual([]);
    expect(dates(({ response }) => response.removeHeader('Date'))).toEqual([]);
  });

  test('headers can be looked at', () => {
    const { response } = fakePair();
    response.setHeader('X-A', '1').appendHeader('x-a', '2');
    response.setHeaders(new Map([['x-b', '3']]));
    response.setHeader('x-c', '4');
    response.removeHeader('X-C');
    expect({ ...response.getHeaders() }).toEqual({ 'x-a': ['1', '2'], 'x-b': '3' });
    expect(response.getHeaderNames()).toEqual(['x-a', 'x-b']);
    expect([response.getHeader('X-B'), response.hasHeader('X-B'), response.hasHeader('x-c')]).toEqual([
      '3',
      true,
      false,
    ]);
  });

  test('Headers keep each of their cookies', () => {
    const { response, sink } = fakePair();
    const headers = new Headers({ 'x-a': '1' });
    headers.append('set-cookie', 'a=1');
    headers.append('set-cookie', 'b=2');
    response.setHeaders(headers).end();
    expect(sink.values('set-cookie')).toEqual(['a=1', 'b=2']);
    expect(sink.values('x-a')).toEqual(['1']);
  });

  test('nothing can be changed in one that was written', () => {
    const { response } = fakePair();
    response.writeHead(200, 'OK', { 'x-a': '1' });
    const sent: unknown = expect.objectContaining({ code: 'ERR_HTTP_HEADERS_SENT' });
    for (const change of [
      () => response.setHeader('x-a', '2'),
      () => response.setHeaders(new Map()),
      () => response.appendHeader('x-a', '2'),
      () => response.removeHeader('x-a'),
      () => response.writeHead(200),
    ])
      expect(change).toThrow(sent);
  });

  test('one that was refused can be written anew', () => {
    const { response, sink } = fakePair();
    expect(() => response.writeHead(200, { 'x-a': '1', 'x-b': 'a\nb' })).toThrow();
    expect(response.headersSent).toBe(false);
    response.writeHead(500).end();
    expect(sink.status).toBe(500);
    expect(sink.values('x-a')).toEqual([]);
  });

  test.each([0, 99, 100, 101, 199, 600, 200.5, Number.NaN])('%d is no final status', (status) => {
    const { response } = fakePair();
    expect(() => (response.statusCode = status)).toThrow(RangeError);
    expect(() => response.writeHead(status)).toThrow(RangeError);
    expect(response).toMatchObject({ statusCode: 200, headersSent: false });
  });
});

describe('answers before the final one', () => {
  test('are told', () => {
    const { response, sink } = fakePair();
    response.writeContinue();
    response.writeProcessing();
    response.writeEarlyHints({ link: ['</a>; rel=preload', '</b>; rel=preload'], 'X-A': '1' });
    response.writeEarlyHints({});
    expect(sink.informed).toEqual([
      [100, []],
      [102, []],
      [103, ['link', '</a>; rel=preload, </b>; rel=preload', 'x-a', '1']],
    ]);
  });

  test('not behind it, nor to nobody', () => {
    const late = fakePair();
    late.response.writeHead(200);
    expect(late.response.writeInformation(103)).toBe(false);
    const gone = fakePair();
    gone.response.onEnd(false);
    gone.response.writeContinue();
    expect([...late.sink.calls, ...gone.sink.calls]).toEqual([]);
  });

  test.each([101, 200, 99])('%i is none', (status) => {
    expect(() => fakePair().response.writeInformation(status)).toThrow(RangeError);
  });
});
