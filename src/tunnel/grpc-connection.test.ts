import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { Failure } from '../base/failure.ts';
import { frameType, setting } from '../http2/frame.ts';
import { joinedSockets, turns, until } from '../http2/testing/joined-sockets.ts';
import { ScriptedPeer, frames } from '../http2/testing/scripted-peer.ts';
import { failureOf } from '../net/testing/streams.ts';
import { openGrpcConnection } from './grpc-connection.ts';
import type { GrpcConnection, GrpcConnectionOptions } from './grpc-connection.ts';
import { PacketRecorder } from './testing/packet-recorder.ts';

const never = new AbortController().signal;

/** A server that follows a script, and has sent nothing yet. */
function start(options: Partial<GrpcConnectionOptions> = {}, signal = never) {
  const [near, far] = joinedSockets();
  const peer = new ScriptedPeer(far, { isClient: false });
  const drains: GrpcConnection[] = [];
  const opening = openGrpcConnection(
    near,
    {
      ...{ authority: 'tunnel.test', scheme: 'https', streamWindowBytes: 65_535, keepaliveMs: 0 },
      ...{ keepaliveTimeoutMs: 5_000, settingsTimeoutMs: 5_000 },
      onDrain: (connection) => drains.push(connection),
      ...options,
    },
    signal,
  );
  return { near, peer, drains, opening };
}

async function open(options: Partial<GrpcConnectionOptions> = {}, settings: [number, number][] = []) {
  const started = start(options);
  started.peer.send(frames.settings(settings), frames.settingsAck());
  const connection = await started.opening;
  const call = () => {
    const recorder = new PacketRecorder();
    const stream = connection.call({
      path: '/x',
      metadata: ['a', 'b'],
      holdsCredit: false,
      listener: recorder,
    });
    return { recorder, stream };
  };
  return { ...started, connection, call };
}

const pongOf = ({ payload }: { payload: Buffer }) => frames.ping(payload.toString('latin1'), 1);

describe('a connection to a server', () => {
  test('is there when the server’s SETTINGS are, and carries calls', async () => {
    const { peer, connection, call, drains } = await open();
    expect([connection.usable, connection.hasRoom, connection.openStreams]).toEqual([true, true, 0]);
    expect([connection.failure, connection.wasTooImpatient]).toEqual([undefined, false]);
    call();
    await turns();
    expect(peer.heads(1)).toEqual([
      [
        ...[':method', 'POST', ':scheme', 'https', ':authority', 'tunnel.test', ':path', '/x'],
        ...['content-type', 'application/grpc', 'te', 'trailers', 'a', 'b'],
      ],
    ]);
    expect([connection.openStreams, drains]).toEqual([1, []]);
    connection.destroy();
  });

  test('has room for as many streams as the server says', async () => {
    const { peer, connection, call } = await open({}, [[setting.maxConcurrentStreams, 2]]);
    call();
    expect(connection.hasRoom).toBe(true);
    call();
    expect(connection.hasRoom).toBe(false);
    peer.send(frames.settings([[setting.maxConcurrentStreams, 3]]));
    await turns();
    expect([connection.hasRoom, connection.usable]).toEqual([true, true]);
    connection.destroy();
    expect([connection.hasRoom, connection.usable]).toEqual([false, false]);
  });

  test('gives streams the window that it was told', async () => {
    const { peer, connection } = await open({ streamWindowBytes: 123_456 });
    await turns();
    const [first] = peer.of(frameType.settings);
    expect(first?.payload.toString('hex')).toContain(`0004${(123_456).toString(16).padStart(8, '0')}`);
    connection.destroy();
  });
});

describe('a connection that does not come about', () => {
  test('without SETTINGS in time', async () => {
    const { opening, near, drains } = start({ settingsTimeoutMs: 20 });
    const failure = await failureOf(opening);
    expect([failure.kind, failure.message]).toEqual(['timeout', 'http2: timeout awaiting SETTINGS']);
    await turns();
    expect([near.destroyed, drains]).toEqual([true, []]);
  });

  test('that the server closes', async () => {
    const { opening, peer, drains } = start();
    peer.socket.end();
    const failure = await failureOf(opening);
    expect([failure.kind, failure.message]).toEqual([
      'unreachable',
      'http2: connection closed before SETTINGS',
    ]);
    expect(drains).toEqual([]);
  });

  test('with what is not HTTP/2', async () => {
    const { opening, peer, near } = start({ settingsTimeoutMs: 2_000 });
    peer.socket.write('HTTP/1.1 400 Bad Request\r\n\r\n');
    const failure = await failureOf(opening);
    expect(failure.kind).not.toBe('timeout');
    await turns();
    expect(near.destroyed).toBe(true);
  });

  test('that breaks', async () => {
    const { opening, near } = start();
    near.destroy(new Error('broken'));
    const failure = await failureOf(opening);
    expect([failure.kind, failure.message]).toEqual(['unreachable', 'tls: handshake failure: broken']);
  });

  test('because nobody wants it any more, before or meanwhile', async () => {
    const before = start({}, AbortSignal.abort());
    expect((await failureOf(before.opening)).kind).toBe('cancelled');
    await turns();
    expect(before.near.destroyed).toBe(true);
    const controller = new AbortController();
    const meanwhile = start({}, controller.signal);
    const reason = new Failure('timeout', 'too late');
    controller.abort(reason);
    expect(await failureOf(meanwhile.opening)).toBe(reason);
    await turns();
    expect(meanwhile.near.destroyed).toBe(true);
  });

  test('but once it has, the signal is nobody’s', async () => {
    const controller = new AbortController();
    const { opening, peer, near } = start({ settingsTimeoutMs: 30 }, controller.signal);
    peer.send(frames.settings());
    const connection = await opening;
    controller.abort();
    await sleep(60);
    expect([near.destroyed, connection.usable]).toEqual([false, true]);
    connection.destroy();
  });
});

describe('keepalive', () => {
  test('asks again and again, and goes on as long as there are answers', async () => {
    const { peer, connection, call, near, drains } = await open({
      keepaliveMs: 10,
      keepaliveTimeoutMs: 1_000,
    });
    call();
    for (let pings = 1; pings <= 4; pings += 1) {
      await until(() => peer.of(frameType.ping).length === pings);
      const [last] = peer.of(frameType.ping).slice(-1);
      if (last) peer.send(pongOf(last));
    }
    expect([near.destroyed, drains, connection.failure]).toEqual([false, [], undefined]);
    connection.destroy();
  });

  test('asks once until there is an answer, and gives up without one', async () => {
    const { peer, connection, call, near, drains } = await open({ keepaliveMs: 10, keepaliveTimeoutMs: 80 });
    const { recorder } = call();
    const startedAt = performance.now();
    await until(() => near.destroyed);
    await turns();
    expect(performance.now() - startedAt).toBeGreaterThan(70);
    expect(peer.of(frameType.ping)).toHaveLength(1);
    expect(drains).toEqual([connection]);
    const { failure } = connection;
    expect([failure?.kind, failure?.message, failure?.sent]).toEqual([
      ...['reset', 'http2: client connection lost', true],
    ]);
    expect([recorder.statuses.length, recorder.status?.isOk, connection.usable]).toEqual([1, false, false]);
  });

  test('an answer to one does not count for the next', async () => {
    const { peer, connection, near } = await open({ keepaliveTimeoutMs: 60 });
    connection.ping();
    connection.ping();
    await turns();
    const [ping] = peer.of(frameType.ping);
    expect(peer.of(frameType.ping)).toHaveLength(1);
    if (ping) peer.send(pongOf(ping));
    await sleep(90);
    expect(near.destroyed).toBe(false);
    connection.ping();
    await until(() => near.destroyed);
    expect(connection.failure?.message).toBe('http2: client connection lost');
  });

  test('is silent where it is 0, where there are no streams, and when the connection is over', async () => {
    const idle = await open({ keepaliveMs: 10 });
    const { peer, connection, call, near } = await open({ keepaliveMs: 0 });
    call();
    await sleep(40);
    expect(idle.peer.of(frameType.ping)).toEqual([]);
    idle.connection.destroy();
    expect(peer.of(frameType.ping)).toEqual([]);
    near.destroy();
    await turns();
    connection.ping();
    await turns();
    expect([connection.failure, peer.of(frameType.ping)]).toEqual([undefined, []]);
  });
});

describe('a server that takes no more', () => {
  test('is told once, and what runs goes on', async () => {
    const { peer, connection, call, near, drains } = await open();
    const [first, second] = [call(), call()];
    peer.send(frames.goaway(1, 0), frames.goaway(1, 0));
    await turns();
    expect([connection.usable, connection.hasRoom, drains]).toEqual([false, false, [connection]]);
    expect(call().stream).toBeUndefined();
    // It has not looked at the second.
    expect([first.recorder.statuses, second.recorder.status?.code]).toEqual([[], 14]);
    first.stream?.send({ type: 'DRAIN' });
    peer.send(
      frames.headers(1, [':status', '200', 'content-type', 'application/grpc']),
      frames.headers(1, ['grpc-status', '0'], true),
    );
    await turns();
    expect([first.recorder.end, near.destroyed]).toEqual([[0, ''], true]);
    expect([connection.failure, connection.wasTooImpatient, drains.length]).toEqual([undefined, false, 1]);
  });

  test('because it was asked too often whether it is there', async () => {
    const seen: unknown[] = [];
    const { peer, connection, call, near } = await open({
      onDrain: (drained) => seen.push([drained.wasTooImpatient, drained.failure?.kind]),
    });
    const { recorder } = call();
    peer.send(frames.goaway(1, 11));
    expect(connection.wasTooImpatient).toBe(false);
    await turns();
    expect(seen).toEqual([[true, 'reset']]);
    expect([connection.wasTooImpatient, connection.failure?.message]).toEqual([
      ...[true, 'http2: connection error: ENHANCE_YOUR_CALM'],
    ]);
    expect([near.destroyed, recorder.statuses.length]).toEqual([true, 1]);
  });

  test('for another reason', async () => {
    const { peer, connection, drains } = await open();
    peer.send(frames.goaway(0, 2));
    await turns();
    expect([connection.wasTooImpatient, connection.failure?.kind, drains.length]).toEqual([
      false,
      'reset',
      1,
    ]);
  });
});

describe('the end by us', () => {
  test('in good order comes with the last stream', async () => {
    const { peer, connection, call, near, drains } = await open();
    const { recorder, stream } = call();
    connection.close();
    connection.close();
    await turns();
    expect([connection.usable, near.destroyed, drains, recorder.statuses]).toEqual([
      false,
      false,
      [connection],
      [],
    ]);
    expect([call().stream, peer.goaways()]).toEqual([undefined, [{ lastStreamId: 0, code: 'NO_ERROR' }]]);
    stream?.cancel();
    await turns();
    expect([near.destroyed, connection.failure, drains.length]).toEqual([true, undefined, 1]);
  });

  test('at once takes all streams along, and says why', async () => {
    const { connection, call, near, drains } = await open();
    const { recorder } = call();
    const failure = new Failure('cancelled', 'over');
    connection.destroy(failure);
    connection.destroy(new Failure('reset', 'again'));
    await turns();
    expect([connection.failure, near.destroyed, recorder.statuses.length]).toEqual([failure, true, 1]);
    expect(drains).toEqual([connection]);
  });

  test('by the loss of the connection is told once', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] });
    try {
      const { peer, connection, call, drains } = await open({ keepaliveMs: 1_000 });
      const { recorder } = call();
      connection.ping();
      expect(vi.getTimerCount()).toBe(2);
      peer.socket.destroy();
      await turns();
      expect([drains, recorder.statuses.length, connection.usable]).toEqual([[connection], 1, false]);
      connection.ping();
      expect(vi.getTimerCount()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });
});
