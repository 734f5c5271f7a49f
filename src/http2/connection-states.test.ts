import { describe, expect, test } from 'vitest';
import { frame, uint32 } from '../net/testing/http2-frames.ts';
import { clientPreface, errorCode, errorName, frameFlag, frameType, setting } from './frame.ts';
import { joinedSockets, turns } from './testing/joined-sockets.ts';
import { ScriptedPeer, frames, getLines, headerBlock, postLines } from './testing/scripted-peer.ts';
import { scriptedClient, scriptedServer, serverOn } from './testing/sides.ts';

const sized = (type: number, stream: number, length: number) =>
  frame(type, 0, { stream, payload: Buffer.alloc(length, 1) });
const block = headerBlock(getLines());

/** The code of the one GOAWAY, which names the last stream; the connection ends with it. */
async function endOf(peer: ScriptedPeer): Promise<string | undefined> {
  await turns();
  const goaways = peer.goaways();
  if (goaways.length === 0) return undefined;
  expect(goaways).toHaveLength(1);
  expect(peer.ended).toBe(true);
  return goaways[0]?.code;
}

describe('the first bytes of a client', () => {
  const first = (saysPreface: boolean) => {
    const [near, far] = joinedSockets();
    const server = serverOn(far);
    return { server, peer: new ScriptedPeer(near, { isClient: true, saysPreface }) };
  };

  test.each<[string, Buffer, string]>([
    ['a request', frames.headers(1, getLines(), true), 'PROTOCOL_ERROR'],
    ['PING', frames.ping(), 'PROTOCOL_ERROR'],
    ['an acknowledgement', frames.settingsAck(), 'PROTOCOL_ERROR'],
    ['a frame that nobody knows', frame(99, 0), 'PROTOCOL_ERROR'],
    ['a second preface, which is a frame of 5 MB', clientPreface, 'FRAME_SIZE_ERROR'],
  ])('are followed by SETTINGS, not %s', async (_, sent, code) => {
    const { server, peer } = first(true);
    peer.send(sent, frames.settings(), frames.headers(1, getLines(), true));
    expect(await endOf(peer)).toBe(code);
    expect([server.requests.length, server.owner.settings]).toEqual([0, 0]);
  });

  test.each(['GET / HTTP/1.1\r\nhost: x\r\n\r\n', 'PRI * HTTP/2.0\r\n\r\nXX'])('are not %j', async (text) => {
    const { server, peer } = first(false);
    peer.send(Buffer.from(text), frames.settings(), frames.headers(1, getLines(), true));
    expect(await endOf(peer)).toBe('PROTOCOL_ERROR');
    expect(server.owner.settings).toBe(0);
  });

  test('may come byte by byte', async () => {
    const { server, peer } = first(false);
    for (const byte of Buffer.concat([clientPreface, frames.settings(), frames.headers(1, getLines(), true)]))
      peer.send(Buffer.from([byte]));
    await turns(400);
    expect(server.requests).toHaveLength(1);
  });
});

describe('what ends the connection of a server', () => {
  test.each<[string, Buffer[], string]>([
    ['DATA of no stream', [frames.data(0, 'x')], 'PROTOCOL_ERROR'],
    ['HEADERS of no stream', [frames.headers(0, getLines())], 'PROTOCOL_ERROR'],
    ['PRIORITY of no stream', [sized(frameType.priority, 0, 5)], 'PROTOCOL_ERROR'],
    ['RST_STREAM of no stream', [frames.reset(0, 8)], 'PROTOCOL_ERROR'],
    ['CONTINUATION of no stream', [frame(frameType.continuation, 4, { payload: block })], 'PROTOCOL_ERROR'],
    ['SETTINGS of a stream', [frame(frameType.settings, 0, { stream: 1 })], 'PROTOCOL_ERROR'],
    ['PING of a stream', [sized(frameType.ping, 1, 8)], 'PROTOCOL_ERROR'],
    ['GOAWAY of a stream', [sized(frameType.goaway, 1, 8)], 'PROTOCOL_ERROR'],
    ['DATA of an idle stream', [frames.data(1, 'x')], 'PROTOCOL_ERROR'],
    [
      'DATA of an idle stream above others',
      [frames.headers(1, postLines()), frames.data(3, 'x')],
      'PROTOCOL_ERROR',
    ],
    ['DATA of a stream of ours', [frames.headers(3, postLines()), frames.data(2, 'x')], 'PROTOCOL_ERROR'],
    ['RST_STREAM of an idle stream', [frames.reset(1, 8)], 'PROTOCOL_ERROR'],
    [
      'RST_STREAM of a stream of ours',
      [frames.headers(3, postLines()), frames.reset(2, 8)],
      'PROTOCOL_ERROR',
    ],
    ['WINDOW_UPDATE of an idle stream', [frames.windowUpdate(1, 8)], 'PROTOCOL_ERROR'],
    [
      'CONTINUATION of an idle stream',
      [frame(frameType.continuation, 4, { stream: 1, payload: block })],
      'PROTOCOL_ERROR',
    ],
    ['HEADERS of a stream of ours', [frames.headers(2, getLines(), true)], 'PROTOCOL_ERROR'],
    [
      'PUSH_PROMISE',
      [frame(frameType.pushPromise, 4, { stream: 1, payload: Buffer.concat([uint32(2), block]) })],
      'PROTOCOL_ERROR',
    ],
    ['a window of the connection that grows by nothing', [frames.windowUpdate(0, 0)], 'PROTOCOL_ERROR'],
    [
      'a window of the connection that is too large',
      [frames.windowUpdate(0, 2 ** 31 - 65_536), frames.windowUpdate(0, 1)],
      'FLOW_CONTROL_ERROR',
    ],
    [
      'windows that SETTINGS make too large',
      [
        frames.headers(1, postLines()),
        frames.windowUpdate(1, 1),
        frames.settings([[setting.initialWindowSize, 2 ** 31 - 1]]),
      ],
      'FLOW_CONTROL_ERROR',
    ],
    [
      'a window in SETTINGS that cannot be',
      [frames.settings([[setting.initialWindowSize, 2 ** 31]])],
      'FLOW_CONTROL_ERROR',
    ],
    [
      'a frame size in SETTINGS that cannot be',
      [frames.settings([[setting.maxFrameSize, 16_383]])],
      'PROTOCOL_ERROR',
    ],
    [
      'padding that is all',
      [frames.headers(1, postLines()), frame(0, 8, { stream: 1, payload: Buffer.from([4, 1, 1, 1]) })],
      'PROTOCOL_ERROR',
    ],
    ['padding of nothing', [frames.headers(1, postLines()), frame(0, 8, { stream: 1 })], 'PROTOCOL_ERROR'],
    [
      'padding of a head that is all',
      [frame(1, 0xc, { stream: 1, payload: Buffer.from([3, 0x82, 0x86]) })],
      'PROTOCOL_ERROR',
    ],
    [
      'a head without place for its priority',
      [frame(1, 0x24, { stream: 1, payload: Buffer.alloc(4) })],
      'FRAME_SIZE_ERROR',
    ],
    ['SETTINGS that are cut', [sized(frameType.settings, 0, 5)], 'FRAME_SIZE_ERROR'],
    [
      'an acknowledgement of something',
      [frame(frameType.settings, frameFlag.ack, { payload: Buffer.alloc(6) })],
      'FRAME_SIZE_ERROR',
    ],
    [
      'RST_STREAM of 3 bytes',
      [frames.headers(1, postLines()), sized(frameType.rstStream, 1, 3)],
      'FRAME_SIZE_ERROR',
    ],
    [
      'RST_STREAM of 5 bytes',
      [frames.headers(1, postLines()), sized(frameType.rstStream, 1, 5)],
      'FRAME_SIZE_ERROR',
    ],
    ['WINDOW_UPDATE of 3 bytes', [sized(frameType.windowUpdate, 0, 3)], 'FRAME_SIZE_ERROR'],
    [
      'WINDOW_UPDATE of 5 bytes',
      [frames.headers(1, postLines()), sized(frameType.windowUpdate, 1, 5)],
      'FRAME_SIZE_ERROR',
    ],
    ['PING of 7 bytes', [sized(frameType.ping, 0, 7)], 'FRAME_SIZE_ERROR'],
    ['PING of 9 bytes', [sized(frameType.ping, 0, 9)], 'FRAME_SIZE_ERROR'],
    ['GOAWAY of 7 bytes', [sized(frameType.goaway, 0, 7)], 'FRAME_SIZE_ERROR'],
    ['PRIORITY of 4 bytes', [sized(frameType.priority, 1, 4)], 'FRAME_SIZE_ERROR'],
    ['a frame that is too large', [sized(frameType.data, 1, 16_385)], 'FRAME_SIZE_ERROR'],
    ['what is no HPACK', [frame(1, 5, { stream: 1, payload: Buffer.alloc(9, 0xff) })], 'COMPRESSION_ERROR'],
    [
      'what is no HPACK in CONTINUATION',
      [frame(1, 1, { stream: 1 }), frame(9, 4, { stream: 1, payload: Buffer.alloc(9, 0xff) })],
      'COMPRESSION_ERROR',
    ],
  ])('%s', async (_, sent, code) => {
    const { peer, server } = await scriptedClient();
    // Were it not for the error, this would be a request.
    peer.send(...sent, frames.headers(101, getLines(), true));
    expect(await endOf(peer)).toBe(code);
    expect(server.requests.map(({ stream }) => stream.id)).not.toContain(101);
    for (const { recorder } of server.requests) expect(recorder.closed?.byPeer).toBe(true);
    expect(server.owner.closes).toEqual([expect.objectContaining({ code: expect.any(Number) })]);
    expect(server.connection.openStreams).toBe(0);
  });

  test.each<[string, Buffer]>([
    ['DATA', frames.data(1, 'x')],
    ['HEADERS', frames.headers(3, getLines())],
    ['HEADERS of the same stream', frames.headers(1, getLines())],
    ['PRIORITY', sized(frameType.priority, 1, 5)],
    ['RST_STREAM', frames.reset(1, 8)],
    ['SETTINGS', frames.settings()],
    ['PING', frames.ping()],
    ['GOAWAY', frames.goaway(0, 0)],
    ['WINDOW_UPDATE', frames.windowUpdate(0, 1)],
    ['CONTINUATION of another stream', frame(frameType.continuation, 4, { stream: 3, payload: block })],
    ['what nobody knows', frame(99, 0)],
  ])('%s within a header block', async (_, between) => {
    const { peer, server } = await scriptedClient();
    const rest = frame(frameType.continuation, 4, { stream: 1, payload: block.subarray(4) });
    peer.send(frame(frameType.headers, 1, { stream: 1, payload: block.subarray(0, 4) }), between, rest);
    expect(await endOf(peer)).toBe('PROTOCOL_ERROR');
    expect(server.requests).toHaveLength(0);
  });
});

describe('what ends the connection of a client', () => {
  test.each<[string, Buffer[], string]>([
    ['an answer to what was not asked', [frames.headers(5, [':status', '200'])], 'PROTOCOL_ERROR'],
    ['a stream that the server begins', [frames.headers(2, [':status', '200'])], 'PROTOCOL_ERROR'],
    [
      'PUSH_PROMISE',
      [frame(frameType.pushPromise, 4, { stream: 1, payload: Buffer.concat([uint32(2), block]) })],
      'PROTOCOL_ERROR',
    ],
    ['DATA of what was not asked', [frames.data(5, 'x')], 'PROTOCOL_ERROR'],
    ['RST_STREAM of what was not asked', [frames.reset(5, 8)], 'PROTOCOL_ERROR'],
    ['WINDOW_UPDATE of what was not asked', [frames.windowUpdate(5, 8)], 'PROTOCOL_ERROR'],
    ['what is no HPACK', [frame(1, 4, { stream: 1, payload: Buffer.alloc(9, 0xff) })], 'COMPRESSION_ERROR'],
    [
      'more than the connection has room for',
      Array.from({ length: 5 }, () => frames.data(3, Buffer.alloc(16_384))),
      'FLOW_CONTROL_ERROR',
    ],
  ])('%s', async (_, sent, code) => {
    const { peer, client } = await scriptedServer({
      ...{ streamWindowBytes: 200_000, connectionWindowBytes: 70_000, maxUnreadBytes: 1 },
    });
    const { recorder } = client.request(getLines());
    const other = client.request(getLines());
    other.recorder.reads = false;
    await turns();
    peer.send(frames.headers(3, [':status', '200']), ...sent);
    expect(await endOf(peer)).toBe(code);
    expect([errorName(recorder.closed?.code ?? 0), recorder.closed?.byPeer]).toEqual([code, true]);
    expect(client.owner.closes).toHaveLength(1);
    expect(
      client.connection.request(getLines(), { endStream: true, isHead: false, listener: recorder }),
    ).toBeUndefined();
  });
});

describe('frames of streams in each of their states, at a server', () => {
  const atServer: Record<string, { readonly begin: Buffer[]; readonly answer?: 'head' | 'whole' | 'reset' }> =
    {
      open: { begin: [frames.headers(1, postLines())] },
      'half-closed by the client': { begin: [frames.headers(1, getLines(), true)], answer: 'head' },
      'half-closed by us': { begin: [frames.headers(1, postLines())], answer: 'whole' },
      'closed by both': { begin: [frames.headers(1, getLines(), true)], answer: 'whole' },
      'reset by us': { begin: [frames.headers(1, postLines())], answer: 'reset' },
      'reset by the client': { begin: [frames.headers(1, postLines()), frames.reset(1, 8)] },
      'never used, below another': { begin: [frames.headers(3, postLines())] },
    };

  test.each<[state: string, what: string, sent: Buffer, said: string]>([
    ['open', 'DATA', frames.data(1, 'x'), 'nothing'],
    ['open', 'a second head', frames.headers(1, postLines()), 'PROTOCOL_ERROR'],
    ['open', 'lines that do not end it', frames.headers(1, ['x', 'y']), 'PROTOCOL_ERROR'],
    ['open', 'trailers', frames.headers(1, ['x', 'y'], true), 'nothing'],
    ['open', 'trailers with a pseudo header', frames.headers(1, [':path', '/'], true), 'PROTOCOL_ERROR'],
    ['open', 'trailers of HTTP/1.1', frames.headers(1, ['connection', 'close'], true), 'PROTOCOL_ERROR'],
    ['open', 'a window that grows by nothing', frames.windowUpdate(1, 0), 'PROTOCOL_ERROR'],
    ['open', 'a window that is too large', frames.windowUpdate(1, 2 ** 31 - 1), 'FLOW_CONTROL_ERROR'],
    ['open', 'PRIORITY', sized(frameType.priority, 1, 5), 'nothing'],
    ['open', 'what nobody knows', frame(99, 0xff, { stream: 1, payload: Buffer.alloc(9) }), 'nothing'],
    ['half-closed by the client', 'DATA', frames.data(1, 'x'), 'STREAM_CLOSED'],
    ['half-closed by the client', 'an empty end', frames.data(1, '', true), 'STREAM_CLOSED'],
    ['half-closed by the client', 'trailers', frames.headers(1, ['x', 'y'], true), 'STREAM_CLOSED'],
    ['half-closed by the client', 'WINDOW_UPDATE', frames.windowUpdate(1, 5), 'nothing'],
    ['half-closed by the client', 'PRIORITY', sized(frameType.priority, 1, 5), 'nothing'],
    ['half-closed by us', 'DATA', frames.data(1, 'x'), 'nothing'],
    ['half-closed by us', 'WINDOW_UPDATE', frames.windowUpdate(1, 5), 'nothing'],
    ['half-closed by us', 'trailers', frames.headers(1, ['x', 'y'], true), 'nothing'],
    ...['closed by both', 'reset by us', 'reset by the client', 'never used, below another'].flatMap(
      (state) =>
        [
          ['DATA', frames.data(1, 'x')] as const,
          ['a head', frames.headers(1, getLines(), true)] as const,
          ['RST_STREAM', frames.reset(1, 8)] as const,
          ['WINDOW_UPDATE', frames.windowUpdate(1, 5)] as const,
          ['WINDOW_UPDATE of nothing', frames.windowUpdate(1, 0)] as const,
          ['PRIORITY', sized(frameType.priority, 1, 5)] as const,
        ].map(([what, sent]): [string, string, Buffer, string] => [state, what, sent, 'nothing']),
    ),
  ])('%s: %s', async (state, _, sent, said) => {
    const { begin = [], answer } = atServer[state] ?? {};
    const { peer, server } = await scriptedClient({}, ({ stream }) => {
      if (stream.id !== 1) return;
      if (answer === 'reset') stream.reset(errorCode.cancel);
      else if (answer) stream.sendHead([':status', '200'], answer === 'whole');
    });
    peer.send(...begin);
    await turns();
    const [resetsBefore, requestsBefore] = [peer.resets(1).length, server.requests.length];
    peer.send(sent);
    await turns();
    expect(peer.resets(1).slice(resetsBefore)).toEqual(said === 'nothing' ? [] : [said]);
    expect(server.requests).toHaveLength(requestsBefore);
    // The connection goes on.
    peer.send(frames.headers(5, getLines('/after'), true));
    await turns();
    expect(peer.goaways()).toEqual([]);
    expect(server.requests.at(-1)?.lines).toEqual(getLines('/after'));
    server.requests.at(-1)?.stream.reset(errorCode.cancel);
  });
});
