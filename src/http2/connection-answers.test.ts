import { describe, expect, test } from 'vitest';
import { errorCode, errorName, frameType, setting } from './frame.ts';
import { turns } from './testing/joined-sockets.ts';
import { frames, getLines, postLines } from './testing/scripted-peer.ts';
import { scriptedServer } from './testing/sides.ts';

const ok = [':status', '200'];

/** One request, and what became of it when the server had sent this. */
async function answered(sent: readonly Buffer[], options: { isHead?: boolean } = {}) {
  const { peer, client } = await scriptedServer();
  const { recorder, stream } = client.request(
    getLines().with(1, options.isHead === true ? 'HEAD' : 'GET'),
    options,
  );
  await turns();
  peer.send(...sent);
  await turns();
  expect(peer.goaways()).toEqual([]);
  return { peer, client, recorder, stream };
}

describe('whole answers', () => {
  test.each<[string, Buffer[], { status: number; lines?: string[]; body?: string; trailers?: string[] }]>([
    ['a head alone', [frames.headers(1, [...ok, 'x', 'y'], true)], { status: 200, lines: ['x', 'y'] }],
    [
      'a head and an empty end',
      [frames.headers(1, ok), frames.data(1, '', true)],
      { status: 200, trailers: [] },
    ],
    [
      'a body',
      [frames.headers(1, ok), frames.data(1, 'ab'), frames.data(1, 'cd', true)],
      { status: 200, body: 'abcd', trailers: [] },
    ],
    [
      'trailers',
      [frames.headers(1, ok), frames.data(1, 'ab'), frames.headers(1, ['t', 'u'], true)],
      { status: 200, body: 'ab', trailers: ['t', 'u'] },
    ],
    [
      'trailers behind nothing',
      [frames.headers(1, ok), frames.headers(1, ['t', 'u'], true)],
      { status: 200, trailers: ['t', 'u'] },
    ],
    [
      'a length that is kept',
      [frames.headers(1, [...ok, 'content-length', '2']), frames.data(1, 'ab', true)],
      { status: 200, lines: ['content-length', '2'], body: 'ab', trailers: [] },
    ],
    [
      'a length that is kept, with trailers',
      [
        frames.headers(1, [...ok, 'content-length', '2']),
        frames.data(1, 'ab'),
        frames.headers(1, ['t', 'u'], true),
      ],
      { status: 200, lines: ['content-length', '2'], body: 'ab', trailers: ['t', 'u'] },
    ],
    ['204', [frames.headers(1, [':status', '204'], true)], { status: 204 }],
    [
      '204 with an empty end',
      [frames.headers(1, [':status', '204']), frames.data(1, '', true)],
      { status: 204, trailers: [] },
    ],
    [
      '304 with the length of what it is not',
      [frames.headers(1, [':status', '304', 'content-length', '5'], true)],
      { status: 304, lines: ['content-length', '5'] },
    ],
    [
      'the same with an empty end',
      [frames.headers(1, [':status', '304', 'content-length', '5']), frames.data(1, '', true)],
      { status: 304, lines: ['content-length', '5'], trailers: [] },
    ],
  ])('%s', async (_, sent, { status, lines = [], body = '', trailers }) => {
    const { recorder, client } = await answered(sent);
    expect(recorder).toMatchObject({ status, lines, trailers, closed: { code: undefined, byPeer: false } });
    expect(recorder.body.toString()).toBe(body);
    expect(client.connection.openStreams).toBe(0);
  });

  test.each<[string, Buffer[]]>([
    ['at once', [frames.headers(1, [...ok, 'content-length', '5'], true)]],
    ['behind an empty frame', [frames.headers(1, [...ok, 'content-length', '5']), frames.data(1, '', true)]],
    [
      'with trailers',
      [frames.headers(1, [...ok, 'content-length', '5']), frames.headers(1, ['x', 'y'], true)],
    ],
  ])('the answer to HEAD says how long what it leaves out is, and ends %s', async (_, sent) => {
    const { recorder } = await answered(sent, { isHead: true });
    expect(recorder).toMatchObject({ status: 200, closed: { code: undefined } });
  });

  test('1xx, several times, then the answer, then trailers', async () => {
    const { recorder } = await answered([
      frames.headers(1, [':status', '100']),
      frames.headers(1, [':status', '103', 'link', 'a']),
      // What it promises is nobody's.
      frames.headers(1, [':status', '103', 'content-length', '77']),
      frames.headers(1, ok),
      frames.data(1, 'x'),
      frames.headers(1, ['t', 'u'], true),
    ]);
    expect(recorder.informed).toEqual([
      [100, []],
      [103, ['link', 'a']],
      [103, ['content-length', '77']],
    ]);
    expect(recorder).toMatchObject({ status: 200, trailers: ['t', 'u'], closed: { code: undefined } });
  });

  test('before the request is whole: both ends count', async () => {
    const { peer, client } = await scriptedServer();
    const { recorder, stream } = client.request(postLines(), { endStream: false });
    stream.write(Buffer.from('a'));
    await turns();
    peer.send(frames.headers(1, ok), frames.data(1, 'early', true));
    await turns();
    expect([recorder.ended, recorder.closed, stream.remoteEnded, stream.closed]).toEqual([
      true,
      undefined,
      true,
      false,
    ]);
    stream.write(Buffer.from('b'));
    stream.end();
    expect(recorder.closed).toEqual({ code: undefined, byPeer: false });
    await turns();
    expect([peer.body(1).toString(), peer.isWhole(1)]).toEqual(['ab', true]);
  });
});

describe('answers that cannot be', () => {
  const length5 = [...ok, 'content-length', '5'];

  test.each<[string, Buffer[]]>([
    ['DATA before the head', [frames.data(1, 'x')]],
    ['an empty end before the head', [frames.data(1, '', true)]],
    ['DATA behind 1xx', [frames.headers(1, [':status', '100']), frames.data(1, 'x')]],
    ['1xx that ends it', [frames.headers(1, [':status', '100'], true)]],
    ['101', [frames.headers(1, [':status', '101'])]],
    ['no status', [frames.headers(1, ['x', 'y'], true)]],
    ['a status that is none', [frames.headers(1, [':status', '20'], true)]],
    ['a field of HTTP/1.1', [frames.headers(1, [...ok, 'transfer-encoding', 'chunked'])]],
    ['a line end in a value', [frames.headers(1, [...ok, 'x', 'a\r\nb: c'])]],
    ['a second head', [frames.headers(1, ok), frames.headers(1, ok)]],
    ['a second head that ends it', [frames.headers(1, ok), frames.headers(1, ok, true)]],
    ['1xx behind the head', [frames.headers(1, ok), frames.headers(1, [':status', '103'])]],
    ['trailers that do not end it', [frames.headers(1, ok), frames.headers(1, ['x', 'y'])]],
    ['a length, and no body', [frames.headers(1, length5, true)]],
    ['a length, and an empty end', [frames.headers(1, length5), frames.data(1, '', true)]],
    ['a length, and less', [frames.headers(1, length5), frames.data(1, '1234', true)]],
    ['a length, and more', [frames.headers(1, length5), frames.data(1, '123456')]],
    [
      'a length, less, and trailers',
      [frames.headers(1, length5), frames.data(1, '1234'), frames.headers(1, ['x', 'y'], true)],
    ],
    ['two lengths', [frames.headers(1, [...length5, 'content-length', '5'])]],
    ['204 with a body', [frames.headers(1, [':status', '204']), frames.data(1, 'x', true)]],
    [
      '304 with a body',
      [frames.headers(1, [':status', '304', 'content-length', '1']), frames.data(1, 'x', true)],
    ],
  ])('%s: PROTOCOL_ERROR, and never an end', async (_, sent) => {
    const { peer, recorder, client } = await answered(sent);
    expect(peer.resets(1)).toEqual(['PROTOCOL_ERROR']);
    expect(recorder.closed).toEqual({ code: errorCode.protocolError, byPeer: false });
    expect(recorder.ended).toBe(false);
    expect(recorder.body.toString()).not.toContain('x');
    expect(client.connection.openStreams).toBe(0);
  });

  test('a body in answer to HEAD', async () => {
    const { peer, recorder } = await answered(
      [frames.headers(1, [...ok, 'content-length', '1']), frames.data(1, 'x', true)],
      { isHead: true },
    );
    expect(peer.resets(1)).toEqual(['PROTOCOL_ERROR']);
    expect([recorder.ended, recorder.chunks.length]).toEqual([false, 0]);
  });

  test('a head that is too large', async () => {
    const { peer, recorder } = await answered([
      frames.headers(1, [...ok, 'x', 'y'.repeat(16_000), 'z', 'y'.repeat(300)]),
    ]);
    expect(peer.resets(1)).toEqual([]);
    expect(recorder.status).toBe(200);
    const small = await scriptedServer({ maxHeaderBytes: 200 });
    const asked = small.client.request(getLines());
    await turns();
    small.peer.send(frames.headers(1, [...ok, 'x', 'y'.repeat(200)]));
    await turns();
    expect(small.peer.resets(1)).toEqual(['ENHANCE_YOUR_CALM']);
    expect(asked.recorder.closed).toEqual({ code: errorCode.enhanceYourCalm, byPeer: false });
  });
});

describe('resets', () => {
  const codes = Object.values(errorCode).map((code) => [errorName(code), code] as const);

  test.each(codes)(
    'of the server, with %s: told as they are, before the head and behind it',
    async (_, code) => {
      for (const before of [[], [frames.headers(1, ok)], [frames.headers(1, ok), frames.data(1, 'x')]]) {
        const { recorder, peer, stream } = await answered([...before, frames.reset(1, code)]);
        expect(recorder.closed).toEqual({ code, byPeer: true });
        stream.reset(errorCode.cancel);
        stream.end(Buffer.from('x'));
        await turns();
        expect([peer.resets(1), peer.body(1).length]).toEqual([[], 0]);
      }
    },
  );

  test('of ours: sent once, and what was on its way is for nobody', async () => {
    const { peer, client, recorder, stream } = await answered([frames.headers(1, ok), frames.data(1, 'x')]);
    stream.reset(errorCode.cancel);
    stream.reset(errorCode.internalError);
    expect(recorder.closed).toEqual({ code: errorCode.cancel, byPeer: false });
    peer.send(
      frames.data(1, 'y'),
      frames.headers(1, ['t', 'u'], true),
      frames.reset(1, 5),
      frames.windowUpdate(1, 9),
    );
    await turns();
    expect(peer.resets(1)).toEqual(['CANCEL']);
    expect([recorder.body.toString(), recorder.ended]).toEqual(['x', false]);
    expect(client.connection.openStreams).toBe(0);
  });

  test('the answer to what was reset keeps the table in step', async () => {
    const { peer, client, stream } = await answered([]);
    stream.reset(errorCode.cancel);
    const other = client.request(getLines());
    await turns();
    peer.send(frames.headers(1, [...ok, 'x-new', 'line']));
    // By its index: the newest line of the table.
    const head = frames.headers(3, ok, true);
    const indexed = Buffer.concat([head, Buffer.from([0xbe])]);
    indexed.writeUIntBE(head.length - 9 + 1, 0, 3);
    peer.send(indexed);
    await turns();
    expect(other.recorder.lines).toEqual(['x-new', 'line']);
  });

  test('within a listener, at each of its calls, nothing more is told', async () => {
    const all = [
      frames.headers(1, [':status', '103']),
      frames.headers(1, ok),
      frames.data(1, 'x'),
      frames.headers(1, ['t', 'u'], true),
    ];
    for (let at = 0; at < 3; at += 1) {
      const { peer, client } = await scriptedServer();
      const { recorder, stream } = client.request(postLines(), { endStream: false });
      let calls = 0;
      recorder.onHead = recorder.onData = () => {
        if (calls === at) stream.reset(errorCode.cancel);
        calls += 1;
      };
      await turns();
      peer.send(...all);
      await turns();
      expect([calls, recorder.closed, peer.resets(1)]).toEqual([
        at + 1,
        { code: 8, byPeer: false },
        ['CANCEL'],
      ]);
    }
  });
});

test('what was sent is what was asked', async () => {
  const { peer, client } = await scriptedServer({ settings: [[setting.maxConcurrentStreams, 1]] });
  expect(client.connection.peer.maxConcurrentStreams).toBe(1);
  client.request(getLines('/a', ['x', 'y']));
  client.request(postLines(), { endStream: false }).stream.end(Buffer.from('body'), ['t', 'u']);
  client.request(postLines(), { endStream: false }).stream.end(undefined, ['t', 'u']);
  client.request(postLines(), { endStream: false }).stream.end(Buffer.alloc(0));
  client.connection.ping();
  await turns();
  expect(peer.heads(1)).toEqual([getLines('/a', ['x', 'y'])]);
  expect([peer.heads(3), peer.body(3).toString()]).toEqual([[postLines(), ['t', 'u']], 'body']);
  expect([peer.heads(5), peer.of(frameType.data, 5).length]).toEqual([[postLines(), ['t', 'u']], 0]);
  expect([peer.heads(7), peer.of(frameType.data, 7).length]).toEqual([[postLines()], 1]);
  expect([1, 3, 5, 7].every((id) => peer.isWhole(id))).toBe(true);
  expect(peer.of(frameType.ping).map(({ flags, payload }) => [flags, payload.length])).toEqual([[0, 8]]);
  peer.send(frames.ping('\0'.repeat(8), 1));
  await turns();
  expect(client.owner.pongs).toBe(1);
});
