import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { errorCode, frameType, setting } from './frame.ts';
import { joinedSockets, turns, until } from './testing/joined-sockets.ts';
import { Recorder } from './testing/recorder.ts';
import { frames, getLines, postLines } from './testing/scripted-peer.ts';
import { clientOn, joinedSides, scriptedClient, scriptedServer, serverOn } from './testing/sides.ts';
import type { ServedRequest } from './testing/sides.ts';

const ok = [':status', '200'];
const answerOk = ({ stream }: ServedRequest) => stream.sendHead(ok, true);
const whole = { code: undefined, byPeer: false };

describe('a server that finishes', () => {
  test('names the last stream it took, ends what it took, and begins nothing more', async () => {
    const { peer, server } = await scriptedClient();
    peer.send(frames.headers(1, postLines()), frames.headers(5, getLines(), true));
    await turns();
    server.connection.finish();
    server.connection.finish();
    expect(server.connection.ending).toBe(true);
    await turns();
    expect(peer.goaways()).toEqual([{ lastStreamId: 5, code: 'NO_ERROR' }]);
    peer.send(
      frames.headers(7, postLines()),
      frames.data(7, 'x'),
      frames.windowUpdate(7, 5),
      frames.reset(9, 8),
      frames.headers(11, getLines(), true),
      frames.data(1, 'body', true),
      frames.ping(),
    );
    await turns();
    expect(server.requests.map(({ stream }) => stream.id)).toEqual([1, 5]);
    expect([peer.ended, peer.of(frameType.ping).length]).toEqual([false, 1]);
    for (const { stream } of server.requests) {
      stream.sendHead(ok, false);
      stream.end(Buffer.from('x'));
    }
    await turns();
    expect(server.requests.map(({ recorder }) => recorder.closed)).toEqual([whole, whole]);
    expect([peer.isWhole(1), peer.isWhole(5), peer.ended]).toEqual([true, true, true]);
    expect(server.owner.closes).toEqual([undefined]);
    expect(peer.goaways()).toHaveLength(1);
  });

  test('what waits for a window is sent before the end', async () => {
    const { peer, server } = await scriptedClient(
      { settings: [[setting.initialWindowSize, 1]] },
      ({ stream }) => {
        stream.sendHead(ok, false);
        stream.end(Buffer.alloc(100_000));
      },
    );
    peer.send(frames.headers(1, getLines(), true));
    await turns();
    server.connection.finish();
    await turns();
    expect(peer.ended).toBe(false);
    peer.send(frames.windowUpdate(1, 100_000), frames.windowUpdate(0, 100_000));
    await turns(40);
    expect([peer.body(1).length, peer.isWhole(1), peer.ended]).toEqual([100_000, true, true]);
  });

  test('without streams ends at once', async () => {
    const { peer, server } = await scriptedClient();
    server.connection.finish();
    await turns();
    expect([peer.goaways(), peer.ended]).toEqual([[{ lastStreamId: 0, code: 'NO_ERROR' }], true]);
    expect(server.connection.closed).toBe(true);
  });

  test('when its client does, too', async () => {
    const { peer, server } = await scriptedClient();
    peer.send(frames.headers(1, getLines(), true), frames.goaway(0, 0), frames.headers(3, getLines(), true));
    await turns();
    expect(server.requests).toHaveLength(1);
    expect(peer.goaways()).toEqual([{ lastStreamId: 1, code: 'NO_ERROR' }]);
    server.requests.forEach(answerOk);
    await turns();
    expect([peer.isWhole(1), peer.ended, server.owner.closes]).toEqual([true, true, [undefined]]);
  });
});

describe('a client whose server sends GOAWAY', () => {
  test('streams above are refused by it, the others finish, and none begins', async () => {
    const { peer, client } = await scriptedServer();
    const asked = [1, 3, 5].map(() => client.request(getLines()));
    await turns();
    peer.send(frames.headers(1, ok), frames.goaway(3, 0));
    await turns();
    const [first, second, third] = asked.map(({ recorder }) => recorder);
    expect(third?.closed).toEqual({ code: errorCode.refusedStream, byPeer: true });
    expect([first?.closed, second?.closed]).toEqual([undefined, undefined]);
    expect([client.connection.ending, client.owner.goaways]).toEqual([true, [3]]);
    expect(() => client.request(getLines())).toThrow('no more streams');
    // A second one may lower the number (RFC 9113 6.8).
    peer.send(frames.goaway(1, 0));
    await turns();
    expect(second?.closed).toEqual({ code: errorCode.refusedStream, byPeer: true });
    peer.send(frames.data(1, 'x', true));
    await turns();
    expect(first).toMatchObject({ closed: whole, ended: true });
    expect([peer.resets(3), peer.ended, client.owner.closes]).toEqual([[], true, [undefined]]);
  });

  test('an idle one ends', async () => {
    const { peer, client } = await scriptedServer();
    peer.send(frames.goaway(0, 0));
    await turns();
    expect([peer.ended, client.connection.closed]).toEqual([true, true]);
  });

  test('with an error: what is above was refused, the rest is lost', async () => {
    const { peer, client } = await scriptedServer();
    const asked = [1, 3].map(() => client.request(getLines()));
    await turns();
    peer.send(frames.goaway(1, errorCode.enhanceYourCalm));
    await turns();
    expect(asked.map(({ recorder }) => recorder.closed)).toEqual([
      { code: errorCode.cancel, byPeer: true },
      { code: errorCode.refusedStream, byPeer: true },
    ]);
    expect(client.owner.closes).toEqual([expect.objectContaining({ code: errorCode.enhanceYourCalm })]);
  });

  test('one that finishes by itself takes the answers that it waits for', async () => {
    const { peer, client } = await scriptedServer();
    const { recorder } = client.request(getLines());
    client.connection.finish();
    await turns();
    expect(peer.goaways()).toEqual([{ lastStreamId: 0, code: 'NO_ERROR' }]);
    expect(() => client.request(getLines())).toThrow('no more streams');
    peer.send(frames.headers(1, ok), frames.data(1, 'x', true));
    await turns();
    expect([recorder.closed, recorder.body.toString(), peer.ended]).toEqual([whole, 'x', true]);
  });

  test('both of us at once', async () => {
    const { client, server } = await joinedSides();
    const { recorder } = client.request(getLines());
    await turns();
    client.connection.finish();
    server.connection.finish();
    await turns();
    server.requests.forEach(answerOk);
    await turns();
    expect(recorder.closed).toEqual(whole);
    expect([client.owner.closes, server.owner.closes]).toEqual([[undefined], [undefined]]);
  });
});

describe('a connection that is lost', () => {
  const inEachState = async () => {
    const sides = await joinedSides({ client: { streamWindowBytes: 10 } }, ({ stream, lines }) => {
      if (lines[7] === '/head') stream.sendHead(ok, false);
      if (lines[7] === '/body') {
        stream.sendHead(ok, false);
        stream.write(Buffer.alloc(100));
      }
      if (lines[7] === '/early') stream.sendHead(ok, true);
      if (lines[7] === '/whole') answerOk({ stream } as ServedRequest);
    });
    const paths = ['/silent', '/head', '/body', '/early', '/whole'];
    const asked = paths.map((path) => {
      const begun = sides.client.request(getLines(path), { endStream: path !== '/early' });
      if (path === '/body') begun.recorder.reads = false;
      return begun;
    });
    await turns();
    const closed = { client: new Map<string, number>(), server: new Map<string, number>() };
    const count = (told: Map<string, number>, path: string, recorder: Recorder) =>
      (recorder.onClosed = () => told.set(path, (told.get(path) ?? 0) + 1));
    for (const [i, { recorder }] of asked.entries()) count(closed.client, paths[i] ?? '', recorder);
    for (const { recorder, lines } of sides.server.requests) count(closed.server, lines[7] ?? '', recorder);
    return { ...sides, asked, closed };
  };
  const once = (...paths: string[]) => new Map(paths.map((path) => [path, 1]));
  const lost = ['/silent', '/head', '/body', '/early'];

  test.each<[string, (sides: Awaited<ReturnType<typeof inEachState>>) => void]>([
    ['destroyed by the client', ({ client }) => client.connection.destroy()],
    ['destroyed by the server', ({ server }) => server.connection.destroy()],
    ['failed by the client', ({ client }) => client.connection.fail(errorCode.internalError, 'test')],
    ['failed by the server', ({ server }) => server.connection.fail(errorCode.internalError, 'test')],
  ])('%s: every stream is told once, and those that were over are not', async (_, end) => {
    const sides = await inEachState();
    end(sides);
    await turns(40);
    expect(sides.closed.client).toEqual(once(...lost));
    // The request of `/early` is not whole, its answer is.
    expect(sides.closed.server).toEqual(once(...lost));
    for (const { connection, owner } of [sides.client, sides.server]) {
      expect([connection.openStreams, connection.closed, owner.closes.length]).toEqual([0, true, 1]);
    }
    // Nothing that is done afterwards does harm.
    for (const { stream } of [...sides.asked, ...sides.server.requests]) {
      stream.sendHead(ok, false);
      stream.write(Buffer.from('x'));
      stream.consumed(5);
      stream.end();
      stream.reset(1);
    }
    for (const { connection } of [sides.client, sides.server]) {
      connection.ping();
      connection.finish();
      connection.fail(1, 'late');
      connection.destroy();
    }
    await turns();
  });

  test('by an error of its socket, which its owner is told', async () => {
    const [near, far] = joinedSockets();
    const server = serverOn(far);
    const client = clientOn(near);
    await turns();
    const { recorder } = client.request(getLines());
    await turns();
    near.destroy(new Error('ECONNRESET'));
    await turns();
    expect(recorder.closed).toEqual({ code: errorCode.cancel, byPeer: true });
    expect(client.owner.closes).toEqual([expect.objectContaining({ message: 'ECONNRESET' })]);
    expect(server.requests[0]?.recorder.closed).toEqual({ code: errorCode.cancel, byPeer: true });
    expect(server.owner.closes).toEqual([undefined]);
  });

  test('in the middle of a frame, or before anything was said', async () => {
    for (const bytes of [0, 10, 30]) {
      const [near, far] = joinedSockets();
      // HTTP/2 knows no half-closed connections, whatever its socket does.
      far.allowHalfOpen = true;
      const server = serverOn(far);
      near.resume();
      near.write(
        Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frames.settings()]).subarray(
          0,
          bytes,
        ),
      );
      near.end();
      await turns();
      expect([server.connection.closed, server.owner.closes]).toEqual([true, [undefined]]);
    }
  });
});

describe('a connection that fails', () => {
  test('is told once, also where its streams call for it again', async () => {
    const { peer, server } = await scriptedClient();
    for (let id = 1; id < 100; id += 2) peer.send(frames.headers(id, getLines(), true));
    await turns(60);
    let closed = 0;
    for (const { recorder } of server.requests) {
      recorder.onClosed = () => {
        closed += 1;
        server.connection.fail(errorCode.enhanceYourCalm, 'too many');
      };
    }
    server.connection.fail(errorCode.protocolError, 'first');
    await turns();
    expect([closed, server.requests.length]).toEqual([50, 50]);
    expect(peer.goaways()).toEqual([{ lastStreamId: 99, code: 'PROTOCOL_ERROR' }]);
    expect(server.owner.closes).toEqual([expect.objectContaining({ message: 'first' })]);
  });

  test('looks at nothing that still comes', async () => {
    const { peer, server } = await scriptedClient();
    peer.socket.allowHalfOpen = true;
    server.connection.fail(errorCode.protocolError, 'test');
    peer.send(frames.headers(1, getLines(), true), frames.ping(), frames.data(0, 'x'));
    await turns();
    expect([server.requests.length, peer.of(frameType.ping).length, peer.goaways().length]).toEqual([
      0, 0, 1,
    ]);
  });

  test('looks at nothing that came with what made a listener end it', async () => {
    const { peer, server } = await scriptedClient({}, () =>
      server.connection.fail(errorCode.enhanceYourCalm, 'test'),
    );
    peer.send(frames.headers(1, getLines(), true), frames.headers(3, getLines(), true), frames.ping());
    await turns();
    expect([server.requests.length, peer.of(frameType.ping).length]).toEqual([1, 0]);
    expect(peer.goaways()).toEqual([{ lastStreamId: 1, code: 'ENHANCE_YOUR_CALM' }]);
  });

  test('sends what it had to say, and does not wait for ever for a peer that does not end', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const { peer, server } = await scriptedClient({}, ({ stream }) => {
      stream.sendHead(ok, false);
      stream.write(Buffer.alloc(50_000));
    });
    peer.socket.allowHalfOpen = true;
    peer.send(frames.headers(1, getLines(), true), frames.data(0, 'x'));
    await turns();
    expect([peer.body(1).length, peer.goaways().length, peer.ended]).toEqual([50_000, 1, true]);
    expect(server.connection.closed).toBe(false);
    vi.advanceTimersByTime(1_000);
    await turns();
    expect([server.connection.closed, server.owner.closes.length]).toEqual([true, 1]);
  });
});

test('what HPACK cannot say leaves no stream behind', async () => {
  const { client, server } = await joinedSides({}, answerOk);
  const recorder = new Recorder({ isAnswer: true });
  const options = { endStream: true, isHead: false, listener: recorder };
  expect(() => client.connection.request(getLines('/', ['x', '\u{1f600}']), options)).toThrow(TypeError);
  expect(client.connection.openStreams).toBe(0);
  const next = client.request(getLines());
  await turns();
  expect(next.recorder.closed).toEqual(whole);
  expect(server.requests).toHaveLength(1);
  client.connection.destroy();
  await turns();
  expect(recorder.closed).toBeUndefined();
});

test('a head that HPACK cannot say may be followed by one that it can', async () => {
  const { client } = await joinedSides({}, ({ stream }) => {
    expect(() => stream.sendHead([...ok, 'x', '\u{1f600}'], true)).toThrow(TypeError);
    stream.sendHead([':status', '500'], true);
  });
  const { recorder } = client.request(getLines());
  await until(() => recorder.closed !== undefined);
  expect([recorder.status, recorder.closed]).toEqual([500, whole]);
});
