import { createServer } from 'node:net';
import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import { Failure } from '../base/failure.ts';
import { createBalancedTransport } from './balanced-transport.ts';
import { listen, startHttp2 } from './testing/servers.ts';
import { get, textOf, transportTo } from './testing/transports.ts';
import type { IncomingResponse, OutgoingRequest, Transport } from './transport.ts';

type Answer = (request: OutgoingRequest) => Promise<IncomingResponse>;

const answered = {} as IncomingResponse;
const undialled = () => new Failure('unreachable', 'dial tcp: connect: connection refused');

/** Members that answer by hand, on a clock that is set by hand. */
function setUp(...answers: Answer[]) {
  const asked: string[] = [];
  const ended: string[] = [];
  const clock = { now: 0 };
  const members = answers.map((answer, i) => {
    const name = `server-${i}`;
    const take = (request: OutgoingRequest) => {
      asked.push(request.authority);
      return answer(request);
    };
    const transport: Transport = {
      request: take,
      upgrade: async (request) => ({ type: 'refused', response: await take(request) }),
      connections: () => ({ http2: 1, http1: i, upgraded: 2 }),
      close: () => Promise.resolve(void ended.push(`close ${name}`)),
      destroy: () => void ended.push(`destroy ${name}`),
    };
    return { authority: name, transport };
  });
  return {
    asked,
    ended,
    clock,
    transport: createBalancedTransport(members, { now: () => clock.now }),
    /** Who was asked since the last look, in order. */
    taken: () => asked.splice(0).map((name) => name.replace('server-', '')),
  };
}

const fine: Answer = () => Promise.resolve(answered);
const down: Answer = () => Promise.reject(undialled());

test('requests and upgrades go round', async () => {
  const { transport, taken } = setUp(fine, fine, fine);
  for (let i = 0; i < 3; i += 1) await transport.request(get('/'));
  for (let i = 0; i < 3; i += 1) await transport.upgrade(get('/'));
  const order = taken();
  expect(order.slice(0, 3).sort()).toEqual(['0', '1', '2']);
  expect(order.slice(3).sort()).toEqual(['0', '1', '2']);
});

test('one that is slow to answer gets no more than its share', async () => {
  const slow = Promise.withResolvers<IncomingResponse>();
  const { transport, taken } = setUp(() => slow.promise, fine);
  const waiting: Promise<unknown>[] = [];
  for (let i = 0; i < 10; i += 1) {
    const sent = transport.request(get('/'));
    waiting.push(sent);
    await Promise.race([sent, Promise.resolve()]);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(taken().filter((name) => name === '0')).toHaveLength(1);
  slow.resolve(answered);
  await Promise.all(waiting);
});

test('one that cannot be dialled is left alone for a while, and its request goes to the next', async () => {
  let second: Answer = down;
  const { transport, taken, clock } = setUp(fine, (request) => second(request));
  for (let i = 0; i < 4; i += 1) expect(await transport.request(get('/'))).toBe(answered);
  expect(taken().filter((name) => name === '1')).toHaveLength(1);
  clock.now += 999;
  for (let i = 0; i < 4; i += 1) await transport.request(get('/'));
  expect(taken()).toEqual(['0', '0', '0', '0']);
  clock.now += 1;
  for (let i = 0; i < 4; i += 1) await transport.request(get('/'));
  expect(taken().filter((name) => name === '1')).toHaveLength(1);
  // The second pause is twice as long.
  clock.now += 1_999;
  for (let i = 0; i < 4; i += 1) await transport.request(get('/'));
  expect(taken()).toEqual(['0', '0', '0', '0']);
  clock.now += 1;
  second = fine;
  for (let i = 0; i < 4; i += 1) await transport.request(get('/'));
  expect(taken().filter((name) => name === '1')).toHaveLength(2);
});

test('when none can be dialled all were tried, and the last failure is told', async () => {
  const { transport, taken } = setUp(down, down, down);
  await expect(transport.request(get('/'))).rejects.toThrow('connection refused');
  expect(taken().sort()).toEqual(['0', '1', '2']);
  // There is nobody better: they are tried all the same.
  await expect(transport.upgrade(get('/'))).rejects.toThrow('connection refused');
  expect(taken()).toHaveLength(3);
});

test.each([
  ['a request that may have been sent', new Failure('reset', 'unexpected EOF', { sent: true })],
  ['a handshake that may have carried it', new Failure('untrusted', 'x509', { sent: true })],
  ['a deadline', new Failure('timeout', 'time is up', { sent: true })],
  ['a caller who goes away', new Failure('cancelled', 'context canceled')],
  ['a limit of ours', new Failure('refused', 'too many')],
])('%s is not sent to another', async (_, failure) => {
  const broken: Answer = () => Promise.reject(failure);
  const { transport, taken } = setUp(broken, broken);
  await expect(transport.request(get('/'))).rejects.toBe(failure);
  expect(taken()).toHaveLength(1);
});

test('whoever has gone away is not carried on', async () => {
  const controller = new AbortController();
  const { transport, taken } = setUp(down, down);
  controller.abort();
  await expect(transport.request(get('/', { signal: controller.signal }))).rejects.toThrow('refused');
  expect(taken()).toHaveLength(1);
});

test('connections are those of all, and all end', async () => {
  const { transport, ended } = setUp(fine, fine);
  expect(transport.connections()).toEqual({ http2: 2, http1: 1, upgraded: 4 });
  await transport.close();
  transport.destroy();
  expect(ended).toEqual(['close server-0', 'close server-1', 'destroy server-0', 'destroy server-1']);
});

test('a body reaches the second server whole when the first is not there', async () => {
  const { server, address } = await startHttp2();
  server.on('stream', (stream, headers) => {
    stream.respond({ ':status': 200 });
    stream.write(`${headers[':authority'] ?? ''} `);
    stream.pipe(stream);
  });
  const gone = createServer();
  const { address: nobody } = await listen(gone);
  await new Promise((resolve) => gone.close(resolve));
  const transport = createBalancedTransport([
    { authority: 'one', transport: await transportTo(address) },
    { authority: 'two', transport: await transportTo(nobody) },
  ]);
  for (let i = 0; i < 4; i += 1) {
    const body = Readable.from([Buffer.from('whole '), Buffer.from('body')]);
    const response = await transport.request(get('/', { method: 'POST', body }));
    expect(await textOf(response)).toBe('one whole body');
  }
});
