import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { ReadableStream } from 'node:stream/web';
import { setImmediate as turn } from 'node:timers/promises';
import Fastify from 'fastify';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { describe, expect, test } from 'vitest';
import { fakePair } from './testing/fake-answer-sink.ts';
import type { FakePairOptions } from './testing/fake-answer-sink.ts';

type Handler = (request: FastifyRequest, reply: FastifyReply) => unknown;

interface Asked extends FakePairOptions {
  /** There is room for one piece at a time, or for no more than the first. */
  readonly isSlow?: boolean;
  readonly isBlocked?: boolean;
  readonly prepare?: (app: FastifyInstance) => void;
}

/** Has fastify answer one request with a pair of ours. */
async function ask(handler: Handler, { isSlow = false, isBlocked = false, prepare, ...options }: Asked = {}) {
  let handle: ((request: IncomingMessage, response: ServerResponse) => void) | undefined;
  const app = Fastify({
    serverFactory: (given) => {
      handle = given;
      return createServer();
    },
  });
  prepare?.(app);
  let responded = 0;
  app.addHook('onResponse', (_request, _reply, done) => {
    responded += 1;
    done();
  });
  app.all('/', (request, reply) => handler(request, reply) as Promise<unknown>);
  await app.ready();
  const pair = fakePair(options);
  const { request, response, sink, events } = pair;
  const over = once(response, 'close').then(() => turn());
  sink.onOver = (complete) => setImmediate(() => response.onEnd(complete));
  sink.hasRoom = !isSlow && !isBlocked;
  if (isSlow) {
    const write = sink.write.bind(sink);
    sink.write = (chunk) => {
      setImmediate(() => response.onDrain());
      return write(chunk);
    };
  }
  handle?.(request as unknown as IncomingMessage, response as unknown as ServerResponse);
  const goAway = () => response.onEnd(false);
  const closes = () => events.filter((event) => event === 'response close').length;
  return { ...pair, app, over, goAway, closes, responded: () => responded };
}

describe('fastify sends', () => {
  const large = Buffer.alloc(1_000_000, 'abcdefghij');
  test.each<[string, () => unknown, string, string | undefined]>([
    ['an object', () => ({ a: 'ä' }), '{"a":"ä"}', 'application/json; charset=utf-8'],
    ['a string', () => 'text', 'text', 'text/plain; charset=utf-8'],
    ['a Buffer', () => Buffer.from('bytes'), 'bytes', 'application/octet-stream'],
    ['a large Buffer', () => large, large.toString(), 'application/octet-stream'],
    ['a large string', () => large.toString(), large.toString(), 'text/plain; charset=utf-8'],
    ['a stream', () => Readable.from([Buffer.from('one '), Buffer.from('two')]), 'one two', undefined],
    [
      'a long stream',
      () => Readable.from(Array<Buffer>(20).fill(large)),
      large.toString().repeat(20),
      undefined,
    ],
    ['a web stream', () => ReadableStream.from(['one ', 'two']), 'one two', undefined],
    ['nothing', () => '', '', 'text/plain; charset=utf-8'],
  ])('%s, whole, and is done once', async (_, payload, body, type) => {
    for (const isSlow of [false, true])
      for (const how of ['sent', 'returned'] as const) {
        const asked = await ask(
          (_request, reply) => (how === 'sent' ? void reply.send(payload()) : Promise.resolve(payload())),
          { isSlow },
        );
        await asked.over;
        expect(asked.sink.status).toBe(200);
        expect(asked.sink.body === body).toBe(true);
        expect(asked.sink.values('content-type')).toEqual(type === undefined ? [] : [type]);
        if (type !== undefined)
          expect(asked.sink.values('content-length')).toEqual([String(Buffer.byteLength(body))]);
        expect(asked.sink.calls.at(-1)).toBe(body === '' ? 'head!' : 'end');
        expect([asked.closes(), asked.responded()]).toEqual([1, 1]);
        expect(asked.request.aborted).toBe(false);
      }
  });

  test('headers and cookies', async () => {
    const { sink, over } = await ask((_request, reply) =>
      reply
        .code(201)
        .headers({ 'X-A': '1', connection: 'close', 'x-n': 5 })
        .header('set-cookie', 'a=1')
        .header('set-cookie', 'b=2')
        .send({}),
    );
    await over;
    expect(sink.status).toBe(201);
    expect(['x-a', 'connection', 'x-n', 'set-cookie', 'date'].map((name) => sink.values(name))).toEqual([
      ['1'],
      [],
      ['5'],
      ['a=1', 'b=2'],
      [expect.any(String)],
    ]);
  });

  test.each([
    ['HEAD', 200, ['4']],
    ['GET', 204, []],
    ['GET', 304, ['4']],
  ])('no body for %s %i', async (method, status, length) => {
    const { sink, over, responded } = await ask((_request, reply) => reply.code(status).send('text'), {
      method,
    });
    await over;
    expect(sink.calls).toEqual(['head!']);
    expect(sink.values('content-length')).toEqual(length);
    expect(responded()).toBe(1);
  });

  test('a stream for HEAD: its head alone', async () => {
    const { sink, over } = await ask((_request, reply) => reply.send(Readable.from(['one', 'two'])), {
      method: 'HEAD',
    });
    await over;
    expect(sink.calls).toEqual(['head!']);
  });

  test('early hints', async () => {
    const { sink, over } = await ask((_request, reply) => {
      reply.writeEarlyHints({ link: '</a>; rel=preload' });
      return reply.send('x');
    });
    await over;
    expect(sink.calls).toEqual(['inform', 'head', 'write', 'end']);
  });

  test('404 for a path that it does not know', async () => {
    const { sink, over } = await ask(() => 'x', { target: '/unknown' });
    await over;
    expect(sink.status).toBe(404);
    expect(JSON.parse(sink.body)).toMatchObject({ statusCode: 404 });
  });
});

describe('fastify reads', () => {
  const post = { method: 'POST', headers: ['content-type', 'application/json', 'content-length', '7'] };

  test('what the request says', async () => {
    const { over, sink } = await ask(
      ({ method, url, headers, host, protocol }, reply) =>
        reply.send({ method, url, accept: headers.accept, host, protocol }),
      { method: 'GET', target: '/?a=b', headers: ['accept', 'x', 'accept', 'y'] },
    );
    await over;
    expect(JSON.parse(sink.body)).toEqual({
      ...{ method: 'GET', url: '/?a=b', accept: 'x, y' },
      ...{ host: 'gateway.example', protocol: 'https' },
    });
  });

  test('the body', async () => {
    const body = Readable.from([Buffer.from('{"a"'), Buffer.from(':1}')]);
    const { over, sink } = await ask((request, reply) => reply.send(request.body), { ...post, body });
    await over;
    expect(sink).toMatchObject({ status: 200, body: '{"a":1}' });
  });

  test('half a body never as a whole', async () => {
    const body = new Readable({ read() {} });
    let handled = false;
    const { over, goAway, closes } = await ask(
      (_request, reply) => {
        handled = true;
        return reply.send('x');
      },
      { ...post, body },
    );
    body.push('{"a"');
    await turn();
    body.destroy(new Error('reset'));
    goAway();
    await over;
    expect(handled).toBe(false);
    expect(closes()).toBe(1);
  });
});

describe('an error', () => {
  const answering = (app: FastifyInstance) => {
    app.setErrorHandler((error, _request, reply) =>
      reply.code(503).send({ said: error instanceof Error ? error.message : '' }),
    );
  };

  test.each<[string, Handler]>([
    ['thrown', () => Promise.reject(new Error('broken'))],
    ['thrown at once', () => throwing('broken')],
    ['of a stream before its first byte', () => new Readable({ read: () => throwing('broken') })],
    ['sent', (_request, reply) => reply.send(new Error('broken'))],
  ])('%s is answered', async (_, handler) => {
    const { sink, over, responded } = await ask(handler, { prepare: answering });
    await over;
    expect(sink).toMatchObject({ status: 503, body: '{"said":"broken"}' });
    expect(sink.calls).toEqual(['head', 'write', 'end']);
    expect(responded()).toBe(1);
  });

  test('of a header that cannot be sent is answered', async () => {
    const { sink, over } = await ask((_request, reply) => {
      void reply.header('x-a', 'a\nb');
      return Promise.resolve('x');
    });
    await over;
    expect(sink.status).toBe(500);
    expect(sink.values('x-a')).toEqual([]);
    expect(sink.calls.at(-1)).toBe('end');
  });

  test('of a stream half way resets it', async () => {
    const payload = new Readable({ read() {} });
    const { sink, over, closes, request } = await ask((_request, reply) => reply.send(payload), {
      prepare: answering,
    });
    payload.push('half');
    await expect.poll(() => sink.body).toBe('half');
    payload.destroy(new Error('broken'));
    await over;
    expect(sink.calls).toEqual(['head', 'write', 'abort']);
    expect(closes()).toBe(1);
    expect(request.aborted).toBe(true);
  });
});

describe('a handler that takes the answer over, as a watch', () => {
  const begin = (reply: FastifyReply) => {
    reply.hijack();
    const response = reply.raw;
    response.statusCode = 200;
    for (const [name, value] of Object.entries({ ...reply.getHeaders(), 'content-type': 'application/json' }))
      response.setHeader(name, String(value));
    response.flushHeaders();
    return response;
  };

  test('shows its head before there is anything to say', async () => {
    let raw: ServerResponse | undefined;
    const { sink, over } = await ask((_request, reply) => {
      raw = begin(reply.header('audit-id', 'a1'));
    });
    expect(sink.calls).toEqual(['head']);
    expect([...sink.values('audit-id'), ...sink.values('content-type')]).toEqual(['a1', 'application/json']);
    expect(raw?.write('{}\n')).toBe(true);
    raw?.end();
    await over;
    expect(sink.calls).toEqual(['head', 'write', 'end']);
  });

  test('waits for a caller that does not read, and can cut it', async () => {
    let raw: ServerResponse | undefined;
    const { sink, over, request } = await ask((_request, reply) => {
      raw = begin(reply);
    });
    sink.hasRoom = false;
    expect(raw?.write(Buffer.alloc(100_000))).toBe(false);
    raw?.destroy();
    await over;
    expect(sink.calls).toEqual(['head', 'write', 'abort']);
    expect(request.aborted).toBe(true);
  });

  test('is told when the caller goes away', async () => {
    let closed = 0;
    const { over, goAway, responded } = await ask((_request, reply) => {
      begin(reply).on('close', () => (closed += 1));
    });
    goAway();
    await over;
    expect([closed, responded()]).toEqual([1, 0]);
  });
});

describe('a caller that goes away', () => {
  test('in the middle of a stream: the source is let go, all is closed once', async () => {
    const payload = new Readable({ read() {} });
    const { sink, over, goAway, closes, events } = await ask((_request, reply) => reply.send(payload));
    payload.push('half');
    await expect.poll(() => sink.body).toBe('half');
    goAway();
    goAway();
    await over;
    expect(payload.destroyed).toBe(true);
    expect(closes()).toBe(1);
    expect(events.filter((event) => event === 'request aborted')).toHaveLength(1);
    expect(sink.calls).toEqual(['head', 'write']);
  });

  test('in the middle of a large body that waits for room', async () => {
    const { sink, over, goAway, closes } = await ask(
      (_request, reply) => reply.send(Buffer.alloc(1_000_000)),
      {
        isBlocked: true,
      },
    );
    await turn();
    goAway();
    await over;
    expect(closes()).toBe(1);
    expect(sink.calls).toEqual(['head', 'write']);
  });

  test.each([
    ['returns', 'x'],
    ['sends', undefined],
  ])('before the handler %s: nobody is answered, nothing breaks', async (_, returned) => {
    const gate = Promise.withResolvers<undefined>();
    let failures = 0;
    const { sink, over, goAway, closes } = await ask(
      async (_request, reply) => {
        await gate.promise;
        if (returned === undefined) return reply.send('x');
        return returned;
      },
      {
        prepare: (app) => {
          app.setErrorHandler((_error, _request, reply) => {
            failures += 1;
            return reply.send('failed');
          });
        },
      },
    );
    goAway();
    await over;
    gate.resolve(undefined);
    for (let i = 0; i < 5; i += 1) await turn();
    expect(sink.calls).toEqual([]);
    expect([failures, closes()]).toEqual([0, 1]);
  });
});

function throwing(message: string): never {
  throw new Error(message);
}
