import { describe, expect, test } from 'vitest';
import { errorCode, frameType, setting } from './frame.ts';
import type { Http2Stream } from './stream.ts';
import { turns } from './testing/joined-sockets.ts';
import { frames, getLines, postLines } from './testing/scripted-peer.ts';
import { scriptedClient, scriptedServer } from './testing/sides.ts';
import type { ServedRequest } from './testing/sides.ts';

const mebibyte = 1024 * 1024;

/** Answers each request with as many bytes as its path says. */
const answerBytes = ({ stream, lines }: ServedRequest): void => {
  stream.sendHead([':status', '200'], false);
  stream.end(Buffer.alloc(Number(lines[7]?.slice(1)), 'x'));
};

describe('what we send keeps to the windows', () => {
  test('of a stream: to the byte, and goes on as they grow', async () => {
    const { peer } = await scriptedClient({ settings: [[setting.initialWindowSize, 10]] }, answerBytes);
    peer.send(frames.headers(1, getLines('/25'), true));
    await turns();
    expect([peer.body(1).length, peer.isWhole(1)]).toEqual([10, false]);
    peer.send(frames.windowUpdate(1, 1));
    await turns();
    expect(peer.body(1)).toHaveLength(11);
    peer.send(frames.windowUpdate(1, 14));
    await turns();
    expect([peer.body(1).length, peer.isWhole(1)]).toEqual([25, true]);
    expect(peer.of(frameType.data, 1)).toHaveLength(3);
  });

  test('of nothing: heads, empty ends and trailers go out all the same', async () => {
    const { peer } = await scriptedClient({ settings: [[setting.initialWindowSize, 0]] }, ({ stream }) => {
      stream.sendHead([':status', '200'], false);
      if (stream.id === 1) stream.end();
      else if (stream.id === 3) stream.end(Buffer.alloc(0), ['t', 'u']);
      else stream.end(Buffer.from('x'), ['t', 'u']);
    });
    for (const id of [1, 3, 5]) peer.send(frames.headers(id, getLines(), true));
    await turns();
    expect([1, 3, 5].map((id) => peer.isWhole(id))).toEqual([true, true, false]);
    peer.send(frames.windowUpdate(5, 1));
    await turns();
    expect([peer.body(5).toString(), peer.isWhole(5)]).toEqual(['x', true]);
  });

  test('that SETTINGS raise and lower in the middle, below zero too (RFC 9113 6.9.2)', async () => {
    const { peer } = await scriptedClient({ settings: [[setting.initialWindowSize, 1_000]] }, answerBytes);
    const initial = (bytes: number) => frames.settings([[setting.initialWindowSize, bytes]]);
    peer.send(frames.headers(1, getLines('/5000'), true));
    await turns();
    expect(peer.body(1)).toHaveLength(1_000);
    peer.send(initial(300));
    await turns();
    // The window is -700 now.
    peer.send(frames.windowUpdate(1, 700));
    await turns();
    expect(peer.body(1)).toHaveLength(1_000);
    peer.send(frames.windowUpdate(1, 1));
    await turns();
    expect(peer.body(1)).toHaveLength(1_001);
    peer.send(initial(0), initial(2_000));
    await turns();
    expect(peer.body(1)).toHaveLength(2_701);
    // A stream that begins now has the new window.
    peer.send(initial(7), frames.headers(3, getLines('/5000'), true));
    await turns();
    expect([peer.body(1).length, peer.body(3).length]).toEqual([2_701, 7]);
    peer.send(initial(2 ** 31 - 1));
    await turns();
    expect([peer.isWhole(1), peer.isWhole(3)]).toEqual([true, true]);
    expect([peer.body(1).length, peer.body(3).length]).toEqual([5_000, 5_000]);
  });

  test('of the connection, across streams', async () => {
    const { peer } = await scriptedClient({ settings: [[setting.initialWindowSize, mebibyte]] }, answerBytes);
    peer.send(frames.headers(1, getLines('/60000'), true), frames.headers(3, getLines('/60000'), true));
    await turns();
    expect([peer.body(1).length, peer.body(3).length]).toEqual([60_000, 5_535]);
    peer.send(frames.windowUpdate(3, 1_000));
    await turns();
    expect(peer.body(3)).toHaveLength(5_535);
    peer.send(frames.windowUpdate(0, 100_000));
    await turns();
    expect(peer.isWhole(3)).toBe(true);
  });

  test('frames are no larger than the peer takes, and no larger than is good for others', async () => {
    const { peer } = await scriptedClient({ settings: [[setting.initialWindowSize, mebibyte]] }, answerBytes);
    const largest = async (id: number) => {
      peer.send(frames.windowUpdate(0, 200_000), frames.headers(id, getLines('/100000'), true));
      await turns();
      expect(peer.body(id)).toHaveLength(100_000);
      return Math.max(...peer.of(frameType.data, id).map(({ payload }) => payload.length));
    };
    expect(await largest(1)).toBe(16_384);
    peer.send(frames.settings([[setting.maxFrameSize, 20_000]]));
    expect(await largest(3)).toBe(20_000);
    peer.send(frames.settings([[setting.maxFrameSize, 2 ** 24 - 1]]));
    expect(await largest(5)).toBe(32_768);
    peer.send(frames.settings([[setting.maxFrameSize, 16_384]]));
    expect(await largest(7)).toBe(16_384);
  });

  test('a head is no larger than the peer takes, either', async () => {
    const { peer } = await scriptedClient({}, ({ stream }) =>
      stream.sendHead([':status', '200', 'x', 'y'.repeat(40_000)], true),
    );
    peer.send(frames.headers(1, getLines(), true));
    await turns();
    const sizes = [frameType.headers, frameType.continuation].map((type) =>
      peer.of(type, 1).map(({ payload }) => payload.length),
    );
    expect(sizes).toEqual([[16_384], [16_384, expect.any(Number)]]);
    expect(peer.heads(1)[0]?.[3]).toHaveLength(40_000);
  });
});

describe('nothing is lost or stands still behind a window', () => {
  const begun = async () => {
    const streams: Http2Stream[] = [];
    const { peer, server } = await scriptedClient(
      { settings: [[setting.initialWindowSize, 5]] },
      ({ stream }) => {
        stream.sendHead([':status', '200'], false);
        streams.push(stream);
      },
    );
    peer.send(frames.headers(1, getLines(), true));
    await turns();
    const [stream] = streams;
    if (!stream) throw new Error('no stream');
    return { peer, stream, recorder: server.requests[0]?.recorder, streams, server };
  };

  test('pieces without bytes, and an end with one, behind what waits', async () => {
    const { peer, stream } = await begun();
    stream.write(Buffer.from('12345678'));
    stream.write(Buffer.alloc(0));
    stream.write(Buffer.from('9'));
    stream.end(Buffer.alloc(0));
    await turns();
    expect(peer.body(1).toString()).toBe('12345');
    peer.send(frames.windowUpdate(1, 100), frames.windowUpdate(0, 100));
    await turns();
    expect([peer.body(1).toString(), peer.isWhole(1)]).toEqual(['123456789', true]);
  });

  test('a producer is told once when all that waited is out', async () => {
    const { peer, stream, recorder } = await begun();
    expect(stream.write(Buffer.from('1234'))).toBe(true);
    expect(stream.write(Buffer.from('5678'))).toBe(false);
    expect(stream.write(Buffer.from('90'))).toBe(false);
    expect([stream.isBlocked, stream.sentBytes]).toEqual([true, 5]);
    peer.send(frames.windowUpdate(1, 4));
    await turns();
    expect([recorder?.drains, stream.sentBytes]).toEqual([0, 9]);
    peer.send(frames.windowUpdate(1, 4));
    await turns();
    expect([recorder?.drains, stream.isBlocked, stream.sentBytes]).toEqual([1, false, 10]);
    expect(stream.write(Buffer.from('abc'))).toBe(true);
    peer.send(frames.windowUpdate(1, 1));
    await turns();
    expect(recorder?.drains).toBe(1);
    expect(peer.body(1).toString()).toBe('1234567890abc');
  });

  test('the end is sent with the last piece, and known when it is on its way', async () => {
    const { peer, stream, server } = await begun();
    stream.end(Buffer.from('1234567'));
    expect([stream.localEnded, stream.localSent, stream.closed]).toEqual([true, false, false]);
    // What comes behind the end is nobody's.
    expect(stream.write(Buffer.from('x'))).toBe(true);
    stream.end(Buffer.from('y'), ['t', 'u']);
    stream.sendHead(['t', 'u'], true);
    peer.send(frames.windowUpdate(1, 100));
    await turns();
    expect([stream.localSent, stream.closed, server.connection.openStreams]).toEqual([true, true, 0]);
    expect(peer.of(frameType.data, 1).map(({ flags, payload }) => [flags, payload.toString()])).toEqual([
      [0, '12345'],
      [1, '67'],
    ]);
    expect(peer.heads(1)).toHaveLength(1);
  });

  test('a reset drops what waits, and takes nothing of the windows any more', async () => {
    const { peer, stream, recorder } = await begun();
    stream.end(Buffer.alloc(100));
    peer.send(
      frames.reset(1, errorCode.cancel),
      frames.windowUpdate(1, 1_000),
      frames.windowUpdate(0, 1_000),
    );
    await turns();
    expect([peer.body(1).length, stream.isBlocked, recorder?.drains]).toEqual([5, false, 0]);
  });
});

describe('a window of the connection that is too short for all', () => {
  test('a small answer does not wait for a huge one', async () => {
    const { peer } = await scriptedClient(
      { settings: [[setting.initialWindowSize, 2 ** 31 - 1]] },
      answerBytes,
    );
    peer.send(frames.headers(1, getLines(`/${4 * mebibyte}`), true));
    peer.send(
      frames.headers(3, getLines(`/${4 * mebibyte}`), true),
      frames.headers(5, getLines('/1000'), true),
    );
    await turns();
    expect([1, 3, 5].map((id) => peer.body(id).length)).toEqual([65_535, 0, 0]);
    peer.send(frames.windowUpdate(0, 2 * 16_384 + 1_000));
    await turns();
    expect([1, 3, 5].map((id) => peer.body(id).length)).toEqual([65_535 + 16_384, 16_384, 1_000]);
    expect(peer.isWhole(5)).toBe(true);
  });

  test('each has its turn, also where credit comes in drops', async () => {
    const { peer } = await scriptedClient(
      { settings: [[setting.initialWindowSize, 2 ** 31 - 1]] },
      answerBytes,
    );
    const ids = Array.from({ length: 10 }, (_, i) => 1 + 2 * i);
    for (const id of ids) peer.send(frames.headers(id, getLines(`/${mebibyte}`), true));
    await turns();
    for (let i = 0; i < 300; i += 1) {
      peer.send(frames.windowUpdate(0, 5_000));
      await turns(1);
    }
    await turns();
    const lengths = ids.slice(1).map((id) => peer.body(id).length);
    expect(Math.max(...lengths) - Math.min(...lengths)).toBeLessThanOrEqual(5_000);
    expect(Math.min(...lengths)).toBeGreaterThan(140_000);
  });

  test('what a stream may not send by its own window is left to others', async () => {
    const { peer } = await scriptedClient({ settings: [[setting.initialWindowSize, 50_000]] }, answerBytes);
    for (const id of [1, 3, 5]) peer.send(frames.headers(id, getLines(`/${mebibyte}`), true));
    await turns();
    expect([1, 3, 5].map((id) => peer.body(id).length)).toEqual([50_000, 15_535, 0]);
    peer.send(frames.windowUpdate(0, mebibyte));
    await turns();
    expect([1, 3, 5].map((id) => peer.body(id).length)).toEqual([50_000, 50_000, 50_000]);
  });
});

describe('what a peer sends keeps to our windows', () => {
  const posted = async (options: Parameters<typeof scriptedClient>[0] = {}) => {
    const made = await scriptedClient(options);
    made.peer.send(frames.headers(1, postLines()));
    await turns();
    const recorder = made.server.requests[0]?.recorder;
    if (!recorder) throw new Error('no request');
    return { ...made, recorder };
  };

  test('they are told, and may be used to the last byte', async () => {
    const { peer, recorder } = await posted({ streamWindowBytes: 1_000, connectionWindowBytes: 100_000 });
    expect(peer.received[0]?.payload.toString('hex')).toContain('0004000003e8');
    expect(peer.credit(0)).toBe(100_000 - 65_535);
    recorder.reads = false;
    peer.send(frames.data(1, Buffer.alloc(1_000)));
    await turns();
    expect([recorder.held, peer.resets(1)]).toEqual([1_000, []]);
    peer.send(frames.data(1, 'x'));
    await turns();
    expect([recorder.held, peer.resets(1)]).toEqual([1_000, ['FLOW_CONTROL_ERROR']]);
    expect(recorder.closed).toEqual({ code: errorCode.flowControlError, byPeer: false });
  });

  test('padding counts, and is given back by itself', async () => {
    const { peer, recorder } = await posted({ streamWindowBytes: 1_000 });
    recorder.reads = false;
    for (let i = 0; i < 50; i += 1) {
      peer.send(frames.paddedData(1, 'x', 98));
      await turns(6);
    }
    expect([recorder.held, peer.resets(1), peer.credit(1)]).toEqual([50, [], 48 * 99]);
    const small = await posted({ streamWindowBytes: 200 });
    small.peer.send(frames.paddedData(1, 'x', 198));
    await turns();
    expect([small.recorder.body.length, small.peer.resets(1)]).toEqual([1, []]);
    const over = await posted({ streamWindowBytes: 200 });
    over.peer.send(frames.paddedData(1, 'x', 199));
    await turns();
    expect([over.recorder.body.length, over.peer.resets(1)]).toEqual([0, ['FLOW_CONTROL_ERROR']]);
  });

  test('credit of a stream comes as it is read, in halves of its window', async () => {
    const { peer, recorder } = await posted({ streamWindowBytes: 1_000 });
    recorder.reads = false;
    peer.send(frames.data(1, Buffer.alloc(900)));
    await turns();
    recorder.stream?.consumed(499);
    await turns();
    expect(peer.credit(1)).toBe(0);
    recorder.stream?.consumed(1);
    await turns();
    expect(peer.credit(1)).toBe(500);
    peer.send(frames.data(1, Buffer.alloc(600), true));
    await turns();
    recorder.stream?.consumed(1_000);
    await turns();
    // Behind the end nobody needs any.
    expect([peer.credit(1), recorder.ended]).toEqual([500, true]);
  });

  test('a reader that stopped holds its own window, and nobody else', async () => {
    const { peer, server, recorder } = await posted({
      streamWindowBytes: 50_000,
      connectionWindowBytes: 100_000,
    });
    recorder.reads = false;
    for (let i = 0; i < 5; i += 1) peer.send(frames.data(1, Buffer.alloc(10_000)));
    peer.send(frames.headers(3, postLines()));
    await turns();
    for (let i = 0; i < 100; i += 1) {
      peer.send(frames.data(3, Buffer.alloc(10_000)));
      await turns(6);
    }
    const other = server.requests[1]?.recorder;
    expect([recorder.held, other?.body.length]).toEqual([50_000, 1_000_000]);
    expect([peer.credit(1), peer.goaways(), peer.resets(1)]).toEqual([0, [], []]);
  });

  test('when too much is unread the connection gets no credit until somebody reads', async () => {
    const options = { streamWindowBytes: 60_000, connectionWindowBytes: 100_000, maxUnreadBytes: 90_000 };
    const { peer, server, recorder } = await posted(options);
    peer.send(frames.headers(3, postLines()));
    await turns();
    const other = server.requests[1]?.recorder;
    if (!other) throw new Error('no request');
    recorder.reads = other.reads = false;
    const before = peer.credit(0);
    for (const id of [1, 3, 1, 3]) peer.send(frames.data(id, Buffer.alloc(15_000)));
    await turns();
    expect(peer.credit(0) - before).toBe(60_000);
    for (const id of [1, 3, 1, 3]) peer.send(frames.data(id, Buffer.alloc(14_000)));
    await turns();
    expect(peer.credit(0) - before).toBe(60_000);
    other.readAll();
    await turns();
    expect(peer.credit(0) - before).toBe(116_000);
  });

  test('what comes for a stream that is over is given back to the connection', async () => {
    const { peer, recorder } = await posted({ connectionWindowBytes: 70_000 });
    recorder.stream?.reset(errorCode.cancel);
    const before = peer.credit(0);
    for (let i = 0; i < 100; i += 1) {
      peer.send(frames.data(1, Buffer.alloc(10_000)));
      await turns(6);
    }
    expect(peer.goaways()).toEqual([]);
    expect(peer.credit(0) - before).toBeGreaterThan(900_000);
  });
});

describe('what was not read of a stream that was cut counts as read', () => {
  test.each<[string, (id: number) => Buffer[]]>([
    [
      'more than its window',
      (id) => [
        frames.headers(id, postLines()),
        ...Array.from({ length: 4 }, () => frames.data(id, Buffer.alloc(16_000))),
      ],
    ],
    [
      'DATA behind its end',
      (id) => [frames.headers(id, getLines(), true), frames.data(id, Buffer.alloc(16_000))],
    ],
    [
      'more than it promised',
      (id) => [frames.headers(id, postLines(['content-length', '5'])), frames.data(id, Buffer.alloc(16_000))],
    ],
    [
      'a reset',
      (id) => [frames.headers(id, postLines()), frames.data(id, Buffer.alloc(16_000)), frames.reset(id, 8)],
    ],
  ])('%s', async (_, sent) => {
    const options = { streamWindowBytes: 40_000, connectionWindowBytes: 70_000, maxUnreadBytes: 100_000 };
    const { peer } = await scriptedClient(options, ({ recorder }) => (recorder.reads = false));
    for (let id = 1; id < 60; id += 2) {
      for (const one of sent(id)) {
        peer.send(one);
        await turns(6);
      }
    }
    // Otherwise the connection would have no credit left by now.
    expect(peer.goaways()).toEqual([]);
    expect(peer.credit(0)).toBeGreaterThan(400_000);
  });
});

test('a client’s window holds for what is asked before its SETTINGS are there', async () => {
  const { peer, client } = await scriptedServer({ settings: [[setting.initialWindowSize, 3]] });
  client.request(postLines(), { endStream: false }).stream.end(Buffer.from('12345'));
  await turns();
  expect(peer.body(1).toString()).toBe('123');
});
