import { Duplex } from 'node:stream';
import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { Failure } from '../../base/failure.ts';
import { silentLog } from '../../base/log.ts';
import { Budget } from '../budget.ts';
import { GrpcStatus, grpcCode } from '../grpc-status.ts';
import { defaultLaneLimits } from '../lane.ts';
import { FakePacketStream } from '../testing/fake-packet-stream.ts';
import { createAgentMetrics } from './agent-metrics.ts';
import type { Destination } from './destination.ts';
import { Destinations } from './destinations.ts';

/** A connection that takes bytes when the test says so. */
class StuckSocket extends Duplex {
  readonly written: Buffer[] = [];
  takeNext: () => void = () => {};

  override _read(): void {}

  override _write(chunk: Buffer, _: BufferEncoding, done: () => void): void {
    this.written.push(chunk);
    this.takeNext = done;
  }
}

interface FakeDial {
  readonly signal: AbortSignal;
  readonly resolve: (socket: Duplex) => void;
  readonly reject: (failure: Failure) => void;
}

/** What a server asks for, and dials of which the test says how they end: also after they were cancelled. */
function asked() {
  const dials: FakeDial[] = [];
  const sockets = new Set<Destination>();
  const destinations = new Destinations({
    dial: (_, signal) => new Promise((resolve, reject) => void dials.push({ signal, resolve, reject })),
    budget: new Budget(1024 * 1024),
    limits: { maxPendingDials: 10, maxConnections: 10, closeTimeoutMs: 10_000, lane: defaultLaneLimits },
    sockets,
    metrics: createAgentMetrics(new Registry()),
    log: silentLog,
  });
  const stream = new FakePacketStream();
  destinations.attach(stream.stream);
  const ask = (dialId = 7n) => {
    destinations.packet({ type: 'DIAL_REQ', protocol: 'tcp', address: 'a:1', dialId });
    const dial = dials.at(-1);
    if (!dial) throw new Error('it does not dial');
    return dial;
  };
  /** A connection that is open. */
  const open = async () => {
    const socket = new StuckSocket();
    ask().resolve(socket);
    await turn();
    expect(stream.sent.splice(0)).toEqual([{ type: 'DIAL_RSP', dialId: 7n, connectId: 1, error: '' }]);
    return socket;
  };
  return { destinations, stream, sockets, ask, open };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test('a dial that is cancelled stops; one that was made all the same is closed', async () => {
  const { destinations, stream, ask } = asked();
  const dial = ask();
  destinations.packet({ type: 'DIAL_CLS', dialId: 7n });
  expect(dial.signal.aborted).toBe(true);
  expect(destinations.isIdle).toBe(true);
  const socket = new StuckSocket();
  dial.resolve(socket);
  await turn();
  expect([socket.destroyed, stream.sent]).toEqual([true, []]);
});

test('its ID may be used again meanwhile, and the end of the first is not that of the second', async () => {
  const { destinations, stream, ask } = asked();
  const first = ask();
  destinations.packet({ type: 'DIAL_CLS', dialId: 7n });
  const second = ask();
  first.reject(new Failure('cancelled', 'context canceled'));
  await turn();
  expect(stream.sent).toEqual([]);
  second.resolve(new StuckSocket());
  await turn();
  expect(stream.sent).toEqual([{ type: 'DIAL_RSP', dialId: 7n, connectId: 1, error: '' }]);
});

test('dials end with the stream', async () => {
  const { destinations, stream, sockets, ask } = asked();
  const dial = ask();
  destinations.closed(new GrpcStatus(grpcCode.unavailable, 'gone'));
  expect(dial.signal.aborted).toBe(true);
  const socket = new StuckSocket();
  dial.resolve(socket);
  await turn();
  expect([socket.destroyed, stream.sent, sockets.size]).toEqual([true, [], 0]);
});

test('a close is answered once, when all is written', async () => {
  const { destinations, stream, open } = asked();
  const socket = await open();
  destinations.data(1, Buffer.from('all'), true);
  destinations.packet({ type: 'CLOSE_REQ', connectId: 1 });
  destinations.packet({ type: 'CLOSE_REQ', connectId: 1 });
  await turn();
  expect([stream.sent, destinations.isIdle]).toEqual([[], false]);
  socket.takeNext();
  await turn();
  expect(stream.sent).toEqual([{ type: 'CLOSE_RSP', connectId: 1, error: '' }]);
  expect(destinations.isIdle).toBe(true);
});

test('a destination that breaks while the last bytes are written is told with the answer', async () => {
  const { destinations, stream, sockets, open } = asked();
  const socket = await open();
  destinations.data(1, Buffer.from('all'), true);
  destinations.packet({ type: 'CLOSE_REQ', connectId: 1 });
  socket.destroy(Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' }));
  await turn();
  expect(stream.sent).toEqual([{ type: 'CLOSE_RSP', connectId: 1, error: 'read: connection reset by peer' }]);
  expect(sockets.size).toBe(0);
});

test('small pieces that wait in a socket do not keep the large one that they came in', async () => {
  const { destinations, open } = asked();
  const socket = await open();
  const chunk = Buffer.alloc(64 * 1024);
  destinations.data(1, chunk.subarray(0, 10), true);
  destinations.data(1, chunk.subarray(10, 20), true);
  destinations.data(1, chunk.subarray(20, 40_000), true);
  socket.takeNext();
  await turn();
  socket.takeNext();
  await turn();
  expect(socket.written.map(({ buffer }) => buffer.byteLength)).toEqual([64 * 1024, 10, 64 * 1024]);
});
