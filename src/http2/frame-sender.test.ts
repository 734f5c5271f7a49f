import { describe, expect, test } from 'vitest';
import { setting } from './frame.ts';
import { FrameSender } from './frame-sender.ts';
import { joinedSockets, turns, until } from './testing/joined-sockets.ts';
import { frames, getLines, headerBlock } from './testing/scripted-peer.ts';
import { scriptedClient } from './testing/sides.ts';

const blockBytes = 64 * 1024;
const wide = { settings: [[setting.initialWindowSize, 2 ** 31 - 1]] } as const;

/** Streams that write a piece whenever they are told that they may, to a client that reads when the test says so. */
async function producers(count: number, pieceBytes: number) {
  const pieces = Array<number>(count).fill(0);
  const { peer, server } = await scriptedClient(wide, ({ stream }) =>
    stream.sendHead([':status', '200'], false),
  );
  peer.send(frames.windowUpdate(0, 2 ** 31 - 1 - 65_535));
  for (let i = 0; i < count; i += 1) peer.send(frames.headers(1 + 2 * i, getLines(), true));
  await turns(60);
  peer.socket.pause();
  await turns();
  const write = (i: number): boolean => {
    pieces[i] = (pieces[i] ?? 0) + 1;
    return server.requests[i]?.stream.write(Buffer.alloc(pieceBytes)) ?? true;
  };
  for (const [i, { recorder }] of server.requests.entries()) recorder.onDrained = () => void write(i);
  return { peer, server, pieces, write };
}

describe('a peer that does not read', () => {
  test('is not sent for: every producer is told to wait, and told when to go on', async () => {
    const { peer, server, write } = await producers(10, 1_000);
    const [first] = server.requests;
    while (first?.stream.write(Buffer.alloc(10_000)) === true);
    for (let i = 1; i < 10; i += 1) expect(write(i)).toBe(false);
    // Who does not wait is told no more often.
    for (let i = 1; i < 10; i += 1) expect(server.requests[i]?.stream.write(Buffer.alloc(10))).toBe(false);
    await turns();
    expect(server.requests.map(({ recorder }) => recorder.drains)).toEqual(Array<number>(10).fill(0));
    for (const { recorder } of server.requests) recorder.onDrained = () => {};
    peer.socket.resume();
    await turns(40);
    expect(server.requests.map(({ recorder }) => recorder.drains)).toEqual(Array<number>(10).fill(1));
    expect(peer.body(19)).toHaveLength(1_010);
  });

  test('when it reads again, producers have their turns: none twice before all others', async () => {
    const { peer, pieces, write, server } = await producers(10, 5 * blockBytes);
    for (let i = 0; i < 10; i += 1) write(i);
    peer.socket.resume();
    await until(() => pieces.reduce((sum, count) => sum + count, 0) > 100);
    expect(Math.max(...pieces) - Math.min(...pieces)).toBeLessThanOrEqual(1);
    server.connection.destroy();
  });

  test('a stream that is cut as it waits is not told to go on', async () => {
    const { peer, server, write } = await producers(3, 5 * blockBytes);
    for (let i = 0; i < 3; i += 1) expect(write(i)).toBe(false);
    for (const { recorder } of server.requests) recorder.onDrained = () => {};
    server.requests[1]?.stream.reset(8);
    peer.socket.resume();
    await turns(60);
    expect(server.requests.map(({ recorder }) => recorder.drains)).toEqual([1, 0, 1]);
  });

  test('a stream that waited for its window waits for the others, then', async () => {
    const { peer, server } = await producers(2, 1_000);
    const [first] = server.requests;
    for (const { recorder } of server.requests) recorder.onDrained = () => {};
    peer.send(frames.settings([[setting.initialWindowSize, 10]]), frames.headers(5, getLines(), true));
    await turns();
    const third = server.requests[2];
    expect(third?.stream.write(Buffer.alloc(30))).toBe(false);
    peer.send(frames.windowUpdate(1, 2 ** 30));
    await turns();
    while (first?.stream.write(Buffer.alloc(10_000)) === true);
    peer.send(frames.windowUpdate(5, 100));
    await turns();
    expect([third?.stream.sentBytes, third?.recorder.drains]).toEqual([30, 0]);
    peer.socket.resume();
    await turns(40);
    expect(third?.recorder.drains).toBe(1);
  });

  test('a stream that ends as it waits is not told, and is whole', async () => {
    const { peer, server, write } = await producers(2, 5 * blockBytes);
    for (let i = 0; i < 2; i += 1) write(i);
    server.requests[0]?.stream.end(Buffer.from('last'));
    peer.socket.resume();
    await until(() => peer.isWhole(1));
    expect(server.requests[0]?.recorder.drains).toBe(0);
    expect(peer.body(1)).toHaveLength(5 * blockBytes + 4);
    server.connection.destroy();
  });
});

describe('header blocks', () => {
  test.each([16_384, 16_385, 32_768, 49_152])('of %i bytes end with their last frame', async (bytes) => {
    const lines = (length: number) => [':status', '200', 'x-large', 'v'.repeat(length)];
    const value = bytes - (headerBlock(lines(bytes)).length - bytes);
    expect(headerBlock(lines(value))).toHaveLength(bytes);
    const { peer } = await scriptedClient({}, ({ stream }) => stream.sendHead(lines(value), true));
    peer.send(frames.headers(1, getLines(), true));
    await turns();
    const sent = peer.received.filter(({ streamId }) => streamId === 1);
    expect(sent.map(({ payload }) => payload.length).reduce((sum, length) => sum + length)).toBe(bytes);
    expect(sent.map(({ flags }) => flags & 4)).toEqual([...sent.slice(1).map(() => 0), 4]);
    expect(sent.every(({ payload }) => payload.length > 0 && payload.length <= 16_384)).toBe(true);
    expect(peer.heads(1)).toEqual([lines(value)]);
  });
});

test('a stream that was forgotten is not asked for more', () => {
  const [socket] = joinedSockets();
  const sender = new FrameSender(socket, () => {});
  const asked: string[] = [];
  const waiting = (name: string) => ({
    closed: false,
    sendMore: () => asked.push(name) > 0,
    tellDrain: () => {},
  });
  const [one, other] = [waiting('one'), waiting('other')];
  sender.waitForWindow(one);
  sender.waitForWindow(other);
  sender.forget(one);
  expect(sender.growWindow(10)).toBe(true);
  expect(asked).toEqual(['other']);
  socket.destroy();
});

test('what comes up in one turn goes out in one write', async () => {
  const { peer, server } = await scriptedClient({}, ({ stream }) => {
    stream.sendHead([':status', '200'], false);
    stream.write(Buffer.from('a'));
    stream.end(Buffer.from('b'), ['t', 'u']);
  });
  let chunks = 0;
  peer.socket.on('data', () => (chunks += 1));
  peer.send(...Array.from({ length: 50 }, (_, i) => frames.headers(1 + 2 * i, getLines(), true)));
  await turns();
  expect([server.requests.length, peer.isWhole(99), chunks]).toEqual([50, true, 1]);
});

test('a connection begins with the preface, SETTINGS and its window, in one write', async () => {
  const { peer } = await scriptedClient({ connectionWindowBytes: 65_536, maxConcurrentStreams: 5 });
  expect(
    peer.received.slice(0, 3).map(({ type, flags, payload }) => [type, flags, payload.toString('hex')]),
  ).toEqual([
    [4, 0, '000200000000' + '00040000ffff' + '000600010000' + '000300000005'],
    [8, 0, '00000001'],
    [4, 1, ''],
  ]);
});
