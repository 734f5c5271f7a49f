import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { finished } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { Failure } from '../../base/failure.ts';
import { eventually } from '../../net/testing/servers.ts';
import { failureOf } from '../../net/testing/streams.ts';
import { encodePacket } from '../packet-codec.ts';
import { cluster, never, tunnelTo } from '../testing/dial-under-test.ts';
import type { DialUnderTestOptions } from '../testing/dial-under-test.ts';
import { echo } from '../testing/frontend-call.ts';
import type { FrontendCall } from '../testing/frontend-call.ts';
import { startFrontendServer } from '../testing/frontend-server.ts';
import type { FrontendServer, FrontendServerOptions } from '../testing/frontend-server.ts';

interface Opened {
  readonly socket: Duplex;
  readonly call: FrontendCall;
  readonly server: FrontendServer;
}

/** A connection that the test is both ends of. */
async function open(
  options: FrontendServerOptions & { readonly limits?: DialUnderTestOptions['limits'] } = {},
): Promise<Opened> {
  const { limits, ...rest } = options;
  const server = await startFrontendServer({ onDial: (call) => call.accept(), ...rest });
  const dial = tunnelTo({ a: server }, { limits: { closeTimeoutMs: 300, ...limits } });
  const socket = await dial(cluster, never);
  const call = server.calls[0];
  if (!call) throw new Error('no call');
  return { socket, call, server };
}

async function read(socket: Duplex, bytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    chunks.push(chunk as Buffer);
    length += (chunk as Buffer).length;
    if (length >= bytes) break;
  }
  return Buffer.concat(chunks);
}

/** Reads to the end, and ends its own side as those above it do. */
async function readToEnd(socket: Duplex): Promise<number> {
  let length = 0;
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) length += (chunk as Buffer).length;
  socket.end();
  await finished(socket);
  return length;
}

const failureOn = async (socket: Duplex): Promise<Failure> => {
  const [error] = (await once(socket, 'error')) as [unknown];
  if (!(error instanceof Failure)) throw error;
  return error;
};

describe('bytes', () => {
  test('go both ways (upstream: TestData)', async () => {
    const { socket, call } = await open();
    socket.write('hello');
    await eventually(() => call.receivedBytes === 5);
    expect(Buffer.concat(call.received).toString()).toBe('hello');
    call.send('world');
    expect((await read(socket, 5)).toString()).toBe('world');
    socket.destroy();
  });

  test('right behind the answer are not lost (upstream: TestDialRace)', async () => {
    const { socket } = await open({
      onDial: (call, { dialId }) => {
        // One write: the answer, bytes, and the end.
        const packets = [
          { type: 'DIAL_RSP', error: '', connectId: call.connectId, dialId },
          { type: 'DATA', connectId: call.connectId, error: '', data: Buffer.from('early ') },
          { type: 'DATA', connectId: call.connectId, error: '', data: Buffer.from('bird') },
          { type: 'CLOSE_RSP', connectId: call.connectId, error: '' },
        ] as const;
        call.stream.sendHead();
        call.http2.write(Buffer.concat(packets.map(encodePacket)));
        call.stream.finish();
      },
    });
    await sleep(20);
    const chunks: Buffer[] = [];
    for await (const chunk of socket) chunks.push(chunk as Buffer);
    expect(Buffer.concat(chunks).toString()).toBe('early bird');
  });

  test('of another connection are not for this one', async () => {
    const { socket, call } = await open();
    call.stream.sendData(call.connectId + 1, Buffer.from('evil'));
    call.stream.send({ type: 'CLOSE_RSP', connectId: call.connectId + 1, error: 'evil' });
    call.send('good');
    expect((await read(socket, 4)).toString()).toBe('good');
    expect(socket.destroyed).toBe(false);
    socket.destroy();
  });

  test('20 MiB in pieces of any size, both ways at once', async () => {
    const { socket, call } = await open({ onDial: echo });
    const sent = createHash('sha256');
    const got = createHash('sha256');
    const total = 20 * 1024 * 1024;
    let received = 0;
    socket.on('data', (chunk: Buffer) => {
      got.update(chunk);
      received += chunk.length;
    });
    const source = randomBytes(1024 * 1024);
    for (let at = 0; at < total;) {
      const start = Math.floor(Math.random() * source.length);
      const size = Math.random() < 0.5 ? 200 : 200_000;
      const piece = source.subarray(
        start,
        start + Math.min(total - at, 1 + Math.floor(Math.random() * size)),
      );
      at += piece.length;
      sent.update(piece);
      if (socket.writableCorked === 0 && Math.random() < 0.1) socket.cork();
      const hasRoom = socket.write(piece);
      if (!hasRoom || Math.random() < 0.2) socket.uncork();
      if (!hasRoom) await once(socket, 'drain');
    }
    socket.uncork();
    await eventually(() => received === total, 15_000);
    expect(got.digest('hex')).toBe(sent.digest('hex'));
    expect(call.receivedBytes).toBe(total);
    socket.end();
    await finished(socket);
  });

  test('go in packets of 32 KiB at most', async () => {
    const { socket, call } = await open();
    socket.write(Buffer.alloc(100_000));
    await eventually(() => call.receivedBytes === 100_000);
    expect(call.firstPieces).toBe(4);
    socket.destroy();
  });

  test('of small writes go in one packet', async () => {
    const { socket, call } = await open();
    socket.cork();
    for (let i = 0; i < 10; i += 1) socket.write('0123456789');
    socket.uncork();
    await eventually(() => call.receivedBytes === 100);
    expect(call.firstPieces).toBe(1);
    socket.destroy();
  });
});

describe('back-pressure', () => {
  test('a reader that stopped costs the window of its stream', async () => {
    const { socket, call } = await open();
    const chunk = Buffer.alloc(16_384, 1);
    let sent = 0;
    let blocked = false;
    const fill = () => {
      while (sent < 8 * 1024 * 1024) {
        sent += chunk.length;
        if (!call.send(chunk)) {
          blocked = true;
          return;
        }
      }
    };
    call.onDrained = fill;
    fill();
    await sleep(300);
    expect(blocked).toBe(true);
    // What the server was allowed to send, and what it has in hand.
    expect(sent).toBeLessThan(700 * 1024);
    expect(socket.readableLength).toBeLessThan(700 * 1024);
    let read = 0;
    socket.on('data', (piece: Buffer) => (read += piece.length));
    await eventually(() => read === 8 * 1024 * 1024, 10_000);
    socket.destroy();
  });

  test('a writer waits while the server takes nothing, and goes on', async () => {
    const { socket, call } = await open({ onCall: (made) => (made.consumes = false) });
    let taken = 0;
    const piece = Buffer.alloc(64 * 1024);
    const write = () => {
      while (taken < 6 * 1024 * 1024) {
        taken += piece.length;
        if (!socket.write(piece)) return;
      }
    };
    socket.on('drain', write);
    write();
    await sleep(200);
    // The server's window, and what stands between.
    expect(call.receivedBytes).toBeLessThanOrEqual(512 * 1024);
    expect(taken).toBeLessThan(1024 * 1024);
    call.consumes = true;
    call.stream.consumed(call.receivedBytes);
    await eventually(() => call.receivedBytes === 6 * 1024 * 1024, 10_000);
    socket.destroy();
  });
});

describe('the end', () => {
  test('by the writer stands behind what was written, and waits for the answer (upstream: TestClose)', async () => {
    const { socket, call, server } = await open();
    socket.write('last');
    socket.end(' words');
    await eventually(() => call.types.includes('CLOSE_REQ'));
    expect(Buffer.concat(call.received).toString()).toBe('last words');
    expect(socket.writableFinished).toBe(false);
    call.send('and mine');
    call.confirmClose();
    const chunks: Buffer[] = [];
    for await (const chunk of socket) chunks.push(chunk as Buffer);
    expect(Buffer.concat(chunks).toString()).toBe('and mine');
    await eventually(() => server.openStreams === 0);
    expect(call.types).toEqual(['DIAL_REQ', 'CLOSE_REQ']);
  });

  test('that nobody confirms is one all the same, in time (upstream: TestCloseTimeout)', async () => {
    const { socket, call, server } = await open();
    socket.resume();
    const began = performance.now();
    socket.end();
    await finished(socket);
    expect(performance.now() - began).toBeGreaterThan(250);
    await eventually(() => server.openStreams === 0);
    expect(call.ended?.code).toBe(1);
  });

  test('by the peer leaves all that came to be read', async () => {
    const { socket, call, server } = await open();
    call.send(Buffer.alloc(200_000, 1));
    call.confirmClose();
    await eventually(() => call.ended?.isOk === true);
    expect(await readToEnd(socket)).toBe(200_000);
    await eventually(() => server.openStreams === 0);
    // TLS above it may still have to give its last bytes to somebody: its owner destroys it.
    expect(socket.destroyed).toBe(false);
    socket.destroy();
    await once(socket, 'close');
  });

  test('by the peer takes last words, which are for nobody', async () => {
    const { socket, call } = await open();
    call.confirmClose();
    await once(socket.resume(), 'end');
    socket.on('error', () => expect.fail('no error'));
    socket.write('bye');
    socket.end();
    await finished(socket);
    expect(call.receivedBytes).toBe(0);
  });

  test('may be told twice (upstream: duplicate CLOSE_RSP)', async () => {
    const { socket, call } = await open();
    socket.on('error', () => expect.fail('no error'));
    call.close();
    call.close('mismatched connection IDs');
    call.confirmClose();
    await readToEnd(socket);
  });

  test('with an error is one', async () => {
    const { socket, call, server } = await open();
    call.close('the reader is\ttoo slow');
    const failure = await failureOn(socket);
    expect(failure).toMatchObject({ kind: 'reset', sent: true });
    expect(failure.message).toBe('the agent closed the connection: the reader is?too slow');
    await eventually(() => server.openStreams === 0);
  });

  test('of the connection to the server is an error', async () => {
    const { socket, server } = await open();
    server.cut();
    const failure = await failureOn(socket);
    expect(failure.kind).toBe('reset');
    expect(failure.message).toMatch(/^tunnel server a:8090: /);
  });

  test('of a stream in good order is one', async () => {
    const { socket, call } = await open();
    call.send('bye');
    call.stream.finish();
    const chunks: Buffer[] = [];
    for await (const chunk of socket) chunks.push(chunk as Buffer);
    expect(Buffer.concat(chunks).toString()).toBe('bye');
  });

  test('that the server does not follow is cut in time', async () => {
    const { socket, call, server } = await open();
    call.finishes = false;
    call.close();
    await readToEnd(socket);
    await sleep(50);
    expect(server.openStreams).toBe(1);
    await eventually(() => server.openStreams === 0, 1_000);
  });

  test('with an error right behind the answer is one of the dial', async () => {
    const server = await startFrontendServer({
      onDial: (call, { dialId }) => {
        call.stream.sendHead();
        const { connectId } = call;
        const answer = encodePacket({ type: 'DIAL_RSP', error: '', connectId, dialId });
        const end = encodePacket({ type: 'CLOSE_RSP', connectId, error: 'no more' });
        call.http2.write(Buffer.concat([answer, end]));
      },
    });
    const failure = await failureOf(tunnelTo({ a: server })(cluster, never));
    expect(failure.kind).toBe('reset');
    expect(failure.message).toContain('the agent closed the connection: no more');
    await eventually(() => server.openStreams === 0);
  });

  test('by destroy asks for the end, and frees the stream at once', async () => {
    const { socket, call, server } = await open();
    socket.destroy();
    await eventually(() => server.openStreams === 0);
    expect(call.types).toEqual(['DIAL_REQ', 'CLOSE_REQ']);
  });

  test('by destroy while a write waits tells the writer', async () => {
    const { socket, server } = await open({ onCall: (call) => (call.consumes = false) });
    const results: unknown[] = [];
    socket.on('error', () => undefined);
    socket.write(Buffer.alloc(4 * 1024 * 1024), (error) => results.push(error));
    socket.write('more', (error) => results.push(error));
    await sleep(50);
    expect(results).toEqual([]);
    socket.destroy();
    await eventually(() => results.length === 2 && server.openStreams === 0);
    expect(results.every((result) => result instanceof Error)).toBe(true);
  });

  test('by the peer lets go of a writer that waits', async () => {
    const { socket, call, server } = await open({
      onCall: (made) => (made.consumes = false),
      limits: { closeTimeoutMs: 10_000 },
    });
    let written = false;
    socket.write(Buffer.alloc(4 * 1024 * 1024), () => (written = true));
    await sleep(50);
    expect(written).toBe(false);
    call.finishes = false;
    call.close();
    await readToEnd(socket);
    expect(written).toBe(true);
    await eventually(() => server.openStreams === 0);
  });
});
