import { describe, expect, test } from 'vitest';
import { frame, uint32 } from '../net/testing/http2-frames.ts';
import { errorCode, frameFlag, frameType, setting } from './frame.ts';
import { turns } from './testing/joined-sockets.ts';
import { frames, getLines, headerBlock, postLines } from './testing/scripted-peer.ts';
import type { ScriptedPeer } from './testing/scripted-peer.ts';
import { scriptedClient } from './testing/sides.ts';
import type { ServedRequest } from './testing/sides.ts';

const { endStream, endHeaders, padded, priority } = frameFlag;
const answerOk = ({ stream }: ServedRequest) => stream.sendHead([':status', '200'], true);
const whole = (stream: number, payload: Buffer, flags: number) =>
  frame(frameType.headers, flags | endHeaders | endStream, { stream, payload });

describe('heads', () => {
  const lines = getLines('/x', ['some-name', 'some value']);
  const block = headerBlock(lines);
  const fiveBytes = Buffer.concat([uint32(0x80000003), Buffer.from([7])]);

  test.each<[string, Buffer[]]>([
    ['in one frame', [whole(1, block, 0)]],
    ['with priority', [whole(1, Buffer.concat([fiveBytes, block]), priority)]],
    ['with padding', [whole(1, Buffer.concat([Buffer.from([9]), block, Buffer.alloc(9)]), padded)]],
    [
      'with priority, padding and CONTINUATION',
      [
        frame(frameType.headers, endStream | padded | priority, {
          stream: 1,
          payload: Buffer.concat([Buffer.from([2]), fiveBytes, block.subarray(0, 5), Buffer.alloc(2)]),
        }),
        frame(frameType.continuation, endHeaders, { stream: 1, payload: block.subarray(5) }),
      ],
    ],
    [
      'in pieces of one byte',
      Array.from(block, (byte, i) => {
        const last = i === block.length - 1 ? endHeaders : 0;
        return frame(
          i === 0 ? frameType.headers : frameType.continuation,
          i === 0 ? endStream | last : last,
          {
            stream: 1,
            payload: Buffer.from([byte]),
          },
        );
      }),
    ],
    [
      'all of it in CONTINUATION',
      [
        frame(frameType.headers, endStream, { stream: 1 }),
        frame(frameType.continuation, endHeaders, { stream: 1, payload: block }),
      ],
    ],
  ])('%s', async (_, sent) => {
    const { peer, server } = await scriptedClient({}, answerOk);
    peer.send(...sent);
    await turns();
    expect(server.requests).toEqual([expect.objectContaining({ lines, endStream: true })]);
    expect(peer.heads(1)).toEqual([[':status', '200']]);
  });

  test.each<[string, string[]]>([
    ['without a path', getLines().slice(0, 6)],
    ['with a field in upper case', getLines('/', []).concat('x-', 'y')],
    ['with a connection header', getLines('/', ['connection', 'close'])],
    ['that promises a body and has none', getLines('/', ['content-length', '1'])],
  ])('%s are refused, and the next is served', async (what, lines) => {
    const { peer, server } = await scriptedClient({}, answerOk);
    const block =
      what === 'with a field in upper case'
        ? Buffer.concat([headerBlock(getLines()), Buffer.from([0, 1, 0x58, 1, 0x79])])
        : headerBlock(lines);
    peer.send(whole(1, block, 0), frames.headers(3, getLines('/next'), true));
    await turns();
    expect(peer.resets(1)).toEqual(['PROTOCOL_ERROR']);
    expect(server.requests.map(({ stream }) => stream.id)).toEqual([3]);
    expect(peer.goaways()).toEqual([]);
  });

  test('that are too large are told, can be answered, and what comes behind them does no harm', async () => {
    const { peer, server } = await scriptedClient({ maxHeaderBytes: 300 }, answerOk);
    const large = postLines(['x', 'y'.repeat(200)]);
    peer.send(frames.headers(1, large), frames.headers(3, getLines('/next'), true));
    await turns();
    expect(server.tooLarge.map(({ id }) => id)).toEqual([1]);
    server.tooLarge[0]?.sendHead([':status', '431'], true);
    peer.send(frames.data(1, 'body'), frames.headers(1, ['x', 'y'], true));
    await turns();
    expect(peer.heads(1)).toEqual([[':status', '431']]);
    expect(peer.heads(3)).toEqual([[':status', '200']]);
    expect([peer.goaways(), peer.resets(1), server.connection.openStreams]).toEqual([[], [], 0]);
  });

  test('trailers that are too large end the stream, and the table stays in step', async () => {
    const { peer, server } = await scriptedClient({ maxHeaderBytes: 300 });
    peer.send(frames.headers(1, postLines()), frames.headers(1, ['x', 'y'.repeat(300)], true));
    // The entry that the trailers made is the newest.
    const block = Buffer.concat([headerBlock(getLines()).subarray(0, 2), Buffer.from([0x84])]);
    peer.send(whole(3, block, 0));
    await turns();
    expect(peer.resets(1)).toEqual(['ENHANCE_YOUR_CALM']);
    expect(server.requests[0]?.recorder.closed).toEqual({ code: errorCode.enhanceYourCalm, byPeer: false });
    expect(server.requests).toHaveLength(2);
  });
});

describe('bodies and what their heads promise', () => {
  const post = (length: string) => frames.headers(1, postLines(['content-length', length]));

  test.each<[string, string, Buffer[]]>([
    ['5', 'at once', [frames.data(1, '12345', true)]],
    [
      '5',
      'in pieces',
      [frames.data(1, '123'), frames.data(1, ''), frames.data(1, '45'), frames.data(1, '', true)],
    ],
    ['5', 'with trailers', [frames.data(1, '12345'), frames.headers(1, ['x', 'y'], true)]],
    ['5', 'padded, of which nothing counts', [frames.paddedData(1, '12345', 100), frames.data(1, '', true)]],
    ['0', 'nothing', [frames.data(1, '', true)]],
    ['0', 'nothing, with trailers', [frames.headers(1, ['x', 'y'], true)]],
  ])('%s bytes: %s', async (length, _, sent) => {
    const { peer, server } = await scriptedClient();
    peer.send(post(length), ...sent);
    await turns();
    const [{ recorder } = {}] = server.requests;
    expect([recorder?.ended, recorder?.body.toString()]).toEqual([true, length === '5' ? '12345' : '']);
    expect(peer.resets(1)).toEqual([]);
  });

  test.each<[string, string, Buffer[]]>([
    ['5', 'one less', [frames.data(1, '1234', true)]],
    ['5', 'one less in pieces', [frames.data(1, '12'), frames.data(1, '34'), frames.data(1, '', true)]],
    ['5', 'one more', [frames.data(1, '123456')]],
    ['5', 'one more at its end', [frames.data(1, '12345'), frames.data(1, '6', true)]],
    ['5', 'one less, with trailers', [frames.data(1, '1234'), frames.headers(1, ['x', 'y'], true)]],
    ['5', 'nothing', [frames.data(1, '', true)]],
    ['5', 'nothing but trailers', [frames.headers(1, ['x', 'y'], true)]],
    ['5', 'one less and padding', [frames.paddedData(1, '1234', 1), frames.data(1, '', true)]],
    ['0', 'one', [frames.data(1, '1')]],
  ])('%s bytes are not %s: the body does not end', async (length, _, sent) => {
    const { peer, server } = await scriptedClient();
    peer.send(post(length), ...sent);
    await turns();
    expect(peer.resets(1)).toEqual(['PROTOCOL_ERROR']);
    const [{ recorder } = {}] = server.requests;
    expect([recorder?.ended, recorder?.closed]).toEqual([
      false,
      { code: errorCode.protocolError, byPeer: false },
    ]);
  });

  test('an empty DATA frame may end a body of which nothing was promised', async () => {
    const { peer, server } = await scriptedClient();
    peer.send(frames.headers(1, postLines()), frames.data(1, 'x'), frames.data(1, '', true));
    await turns();
    expect(server.requests[0]?.recorder).toMatchObject({ ended: true, trailers: [] });
    expect(server.requests[0]?.recorder.chunks).toHaveLength(1);
  });
});

test('a few bytes of a body do not keep the large piece that they came in, and many are not copied', async () => {
  const { peer, server } = await scriptedClient();
  const [few, many] = [Buffer.from('few'), Buffer.alloc(15_000)];
  peer.send(
    ...[frames.headers(1, postLines()), frames.headers(3, postLines())],
    ...[frames.data(1, few), ...Array.from({ length: 3 }, () => frames.data(3, many))],
  );
  await turns();
  const [[first], [second, third]] = server.requests.map(({ recorder }) => recorder.chunks) as [
    Buffer[],
    Buffer[],
  ];
  expect(first?.buffer).not.toBe(second?.buffer);
  expect(first?.buffer.byteLength).toBeLessThanOrEqual(Buffer.poolSize);
  expect(second?.buffer).toBe(third?.buffer);
});

describe('how many there may be', () => {
  const begin = (peer: ScriptedPeer, ids: readonly number[]) =>
    peer.send(...ids.map((id) => frames.headers(id, getLines(`/${id}`), true)));

  test('the rest is refused, not handled, and may come again when there is room', async () => {
    const { peer, server } = await scriptedClient({ maxConcurrentStreams: 3 });
    begin(peer, [1, 3, 5, 7, 9]);
    await turns();
    expect(peer.received[0]?.payload.subarray(18).toString('hex')).toBe('000300000003');
    expect([7, 9].map((id) => peer.resets(id))).toEqual([['REFUSED_STREAM'], ['REFUSED_STREAM']]);
    expect(server.connection.openStreams).toBe(3);
    server.requests[1]?.stream.sendHead([':status', '200'], true);
    peer.send(frames.reset(1, errorCode.cancel));
    begin(peer, [11, 13, 15]);
    await turns();
    expect(server.requests.map(({ stream }) => stream.id)).toEqual([1, 3, 5, 11, 13]);
    expect(peer.resets(15)).toEqual(['REFUSED_STREAM']);
    expect(server.requests[0]?.recorder.closed).toEqual({ code: errorCode.cancel, byPeer: true });
  });

  test('the table of a head that was refused is in step', async () => {
    const { peer, server } = await scriptedClient({ maxConcurrentStreams: 1 });
    begin(peer, [1]);
    peer.send(frames.headers(3, getLines('/', ['x-new', 'line']), true), frames.reset(1, 8));
    const block = Buffer.concat([headerBlock(getLines()).subarray(0, 2), Buffer.from([0x84, 0xbe])]);
    peer.send(whole(5, block, 0));
    await turns();
    expect(server.requests[1]?.lines.slice(-2)).toEqual(['x-new', 'line']);
  });

  test('the last number that there is may be used, and none behind it', async () => {
    const { peer, server } = await scriptedClient({}, answerOk);
    begin(peer, [2 ** 31 - 1, 2 ** 31 - 3, 1]);
    await turns();
    expect(server.requests.map(({ stream }) => stream.id)).toEqual([2 ** 31 - 1]);
    expect(peer.heads(2 ** 31 - 1)).toEqual([[':status', '200']]);
  });
});

describe('what else a peer may ask', () => {
  test('PING is answered with what it said, also when it asks much', async () => {
    const { peer } = await scriptedClient();
    for (let i = 0; i < 500; i += 1) peer.send(frames.ping(String(i).padStart(8, '-')));
    peer.send(frames.ping('answered', frameFlag.ack));
    await turns(1_100);
    const pings = peer.of(frameType.ping);
    expect(pings.every(({ flags }) => flags === frameFlag.ack)).toBe(true);
    expect(pings.map(({ payload }) => Number(payload.toString().replace(/^-*/, '')))).toEqual(
      Array.from({ length: 500 }, (_, i) => i),
    );
  });

  test('each SETTINGS is acknowledged, and told', async () => {
    const { peer, server } = await scriptedClient();
    peer.send(frames.settings(), frames.settings([[setting.maxConcurrentStreams, 5]]), frames.settingsAck());
    await turns();
    expect(peer.of(frameType.settings).filter(({ flags }) => flags === frameFlag.ack)).toHaveLength(3);
    expect([server.owner.settings, server.connection.peer.maxConcurrentStreams]).toEqual([3, 5]);
  });

  test('a smaller table for our heads is obeyed from the next on', async () => {
    const { peer } = await scriptedClient({}, ({ stream }) =>
      stream.sendHead([':status', '200', 'x-some', 'line'], true),
    );
    for (const [id, bytes] of [
      [1, 4096],
      [3, 0],
      [5, 4096],
      [7, 100],
    ] as const)
      peer.send(frames.settings([[setting.headerTableSize, bytes]]), frames.headers(id, getLines(), true));
    await turns();
    for (const id of [1, 3, 5, 7]) expect(peer.heads(id)).toEqual([[':status', '200', 'x-some', 'line']]);
    // RFC 7541 6.3: the size comes first.
    expect(peer.of(frameType.headers, 3)[0]?.payload[0]).toBe(0x20);
  });

  test.each([
    ['PING', frames.ping()],
    ['SETTINGS', frames.settings()],
    ['empty DATA', frames.data(1, '')],
    ['padding alone', frames.paddedData(1, '', 0)],
    ['RST_STREAM of what is over', frames.reset(3, 8)],
    ['PRIORITY', frame(frameType.priority, 0, { stream: 9, payload: Buffer.alloc(5) })],
  ])('%s without end is too much', async (_, sent) => {
    const { peer, server } = await scriptedClient();
    peer.send(frames.headers(1, postLines()), frames.headers(3, getLines(), true), frames.reset(3, 8));
    await turns();
    peer.send(...Array.from({ length: 11_000 }, () => sent));
    await turns(100);
    expect(peer.goaways()).toEqual([{ lastStreamId: 3, code: 'ENHANCE_YOUR_CALM' }]);
    expect(server.requests[0]?.recorder.closed).toEqual({ code: errorCode.enhanceYourCalm, byPeer: true });
  });

  test('answers that it does not read are not kept for ever', async () => {
    const { peer, server } = await scriptedClient();
    peer.socket.pause();
    // Each HEADERS makes good for PINGs: patience alone would not end this.
    for (let id = 1; id < 40_000 && !server.connection.closed; id += 2) {
      peer.send(
        frames.headers(id, getLines('/', ['connection', 'x']), true),
        ...Array.from({ length: 7 }, () => frames.ping()),
      );
      await turns(2);
    }
    expect(server.connection.closed).toBe(true);
  });
});
