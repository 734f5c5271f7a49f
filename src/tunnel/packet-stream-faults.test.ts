import { describe, expect, test } from 'vitest';
import { frameType } from '../http2/frame.ts';
import { turns, until } from '../http2/testing/joined-sockets.ts';
import { frames } from '../http2/testing/scripted-peer.ts';
import { joinedSides, scriptedClient, scriptedServer } from '../http2/testing/sides.ts';
import type { SideOptions } from '../http2/testing/sides.ts';
import { grpcCode } from './grpc-status.ts';
import { encodeDataHead, encodePacket } from './packet-codec.ts';
import { maxMessageBytes } from './packet-reader.ts';
import { callPackets } from './packet-stream.ts';
import type { PacketStream } from './packet-stream.ts';
import { packetPair, serve } from './testing/packet-pair.ts';
import { PacketRecorder } from './testing/packet-recorder.ts';
import { withPrefix } from './testing/packet-schema.ts';
import { RandomPackets } from './testing/random-packets.ts';

const head = [':method', 'POST', ':scheme', 'http', ':authority', 'a', ':path', '/x'];
const grpcHead = [':status', '200', 'content-type', 'application/grpc'];
const close = { type: 'CLOSE_RSP', error: 'why', connectId: 5 } as const;
const part = encodePacket(close).subarray(0, 9);

const broken = [
  [
    'what is no packet',
    withPrefix(Buffer.from('0880', 'hex')),
    13,
    'grpc: error unmarshalling request: a message that is cut',
  ],
  [
    'a compressed one',
    withPrefix(Buffer.from('0802', 'hex'), 1),
    12,
    'grpc: compressed messages are not accepted',
  ],
  [
    'one above 4 MiB',
    Buffer.concat([Buffer.from('0000400001', 'hex'), Buffer.alloc(40)]),
    8,
    'grpc: received message larger than max (4194305 vs. 4194304)',
  ],
] as const;

/** Our server's side of a call, and a client that writes what a test says. */
async function rawClient(options: { readonly holdsCredit?: boolean } = {}) {
  const atServer = new PacketRecorder();
  const served: PacketStream[] = [];
  const sides = await joinedSides({}, ({ stream }) => {
    served.push(serve(stream, atServer, options));
  });
  const { stream, recorder } = sides.client.request(head, { endStream: false });
  await turns();
  const [server] = served;
  if (!server) throw new Error('the call has not begun');
  return { stream, atClient: recorder, server, atServer, sides };
}

/** Our client's side of a call, and a server that follows a script. */
async function rawServer(options: SideOptions & { readonly holdsCredit?: boolean } = {}) {
  const { holdsCredit = false, ...rest } = options;
  const { peer, client } = await scriptedServer(rest);
  const atClient = new PacketRecorder();
  const call = { path: '/x', authority: 'a', scheme: 'http', metadata: [] } as const;
  const stream = callPackets(client.connection, { ...call, holdsCredit, listener: atClient });
  if (!stream) throw new Error('the call has not begun');
  await turns();
  return { peer, client, atClient, stream };
}

describe('a server whose client does not keep to the protocol', () => {
  test.each(broken)('says why at %s', async (_, message, code, text) => {
    const { stream, atClient, atServer, server, sides } = await rawClient();
    stream.write(Buffer.concat([encodePacket(close), message, encodePacket(close)]));
    await turns();
    expect([atServer.packets, atServer.end, server.isClosed]).toEqual([[close], [code, text], true]);
    expect(atClient.lines.slice(-4)).toEqual(['grpc-status', String(code), 'grpc-message', text]);
    expect(sides.server.connection.openStreams).toBe(0);
  });

  test('says so behind what it has sent', async () => {
    const { stream, atClient, server } = await rawClient();
    server.send(close);
    stream.write(withPrefix(Buffer.from('0880', 'hex')));
    await turns();
    expect(atClient.body).toEqual(encodePacket(close));
    expect(atClient.trailers?.slice(0, 2)).toEqual(['grpc-status', '13']);
  });

  test.each([
    ['within a message', part],
    ['within the bytes of a connection', Buffer.concat([encodeDataHead(1, 50), Buffer.alloc(49)])],
    ['within the prefix of a message', Buffer.alloc(3)],
  ])('tells that it ended %s', async (_, bytes) => {
    const { stream, atClient, atServer } = await rawClient();
    stream.end(bytes);
    await turns();
    const text = 'the stream ended within a message';
    expect(atServer.end).toEqual([grpcCode.internal, text]);
    expect(atClient.lines.slice(-4)).toEqual(['grpc-status', '13', 'grpc-message', text]);
  });

  test('may finish as it is told, and has said why all the same', async () => {
    const { stream, atClient, atServer, server } = await rawClient();
    atServer.onClosed = () => server.finish();
    stream.end(part);
    await turns();
    expect([atClient.lines.slice(-4)[1], atServer.end?.[0]]).toEqual(['13', 13]);
  });
});

describe('a client whose server does not keep to the protocol', () => {
  test.each(broken)('cuts the stream at %s', async (_, message, code, text) => {
    const { peer, atClient, client } = await rawServer();
    peer.send(frames.headers(1, grpcHead), frames.data(1, Buffer.concat([encodePacket(close), message])));
    await turns();
    expect([atClient.packets, atClient.end]).toEqual([[close], [code, text]]);
    expect([peer.resets(1), client.connection.openStreams]).toEqual([['CANCEL'], 0]);
  });

  test('tells that it ended within a message', async () => {
    const { peer, atClient } = await rawServer();
    peer.send(
      frames.headers(1, grpcHead),
      frames.data(1, part),
      frames.headers(1, ['grpc-status', '0'], true),
    );
    await turns();
    expect(atClient.end).toEqual([grpcCode.internal, 'the stream ended within a message']);
  });

  test.each([
    ['trailers without a status', ['x-other', '1'], [13, 'the stream ended without a status']],
    ['a status that is no number', ['grpc-status', 'x'], [2, '']],
  ] as const)('tells of %s', async (_, trailers, end) => {
    const { peer, atClient, client } = await rawServer();
    peer.send(frames.headers(1, grpcHead), frames.headers(1, trailers, true));
    await turns();
    expect([atClient.end, client.connection.openStreams]).toEqual([end, 0]);
  });

  test('tells of an end without trailers', async () => {
    const { peer, atClient } = await rawServer();
    peer.send(frames.headers(1, grpcHead), frames.data(1, '', true));
    await turns();
    expect(atClient.end).toEqual([13, 'the stream ended without a status']);
  });

  const unexpected = (status: number) => `unexpected HTTP status code received from server: ${status}`;
  test.each([
    [[':status', '401'], 16, unexpected(401)],
    [[':status', '403'], 7, unexpected(403)],
    [[':status', '404'], 14, unexpected(404)],
    [[':status', '503', 'content-type', 'application/grpc'], 14, unexpected(503)],
    [[':status', '200'], 2, 'the answer is not gRPC'],
    [[':status', '200', 'content-type', 'application/json'], 2, 'the answer is not gRPC'],
  ])('tells of an answer that is not gRPC: %j', async (lines, code, text) => {
    for (const endStream of [false, true]) {
      const { peer, atClient, client } = await rawServer();
      peer.send(frames.headers(1, lines, endStream));
      await turns();
      expect([atClient.end, atClient.metadata]).toEqual([[code, text], []]);
      expect([peer.resets(1), client.connection.openStreams]).toEqual([endStream ? [] : ['CANCEL'], 0]);
    }
  });

  test.each([
    [
      [...grpcHead, 'grpc-status', '7', 'grpc-message', 'no'],
      [7, 'no'],
    ],
    [
      [':status', '503', 'grpc-status', '7'],
      [7, ''],
    ],
    [grpcHead, [2, 'an answer without a status']],
  ] as const)('takes the status of an answer that is its end: %j', async (lines, end) => {
    const { peer, atClient } = await rawServer();
    peer.send(frames.headers(1, lines, true));
    await turns();
    expect([atClient.end, atClient.metadata]).toEqual([end, []]);
  });

  test('does not mind information before the answer, nor a kind of gRPC', async () => {
    const { peer, atClient } = await rawServer();
    peer.send(frames.headers(1, [':status', '103']));
    peer.send(frames.headers(1, [':status', '200', 'content-type', 'application/grpc+proto', 'a', 'b']));
    await turns();
    expect(atClient.metadata).toEqual([['content-type', 'application/grpc+proto', 'a', 'b']]);
    expect(atClient.statuses).toEqual([]);
  });
});

describe('a client whose server has ended', () => {
  const end = [frames.headers(1, grpcHead), frames.headers(1, ['grpc-status', '0'], true)];

  test('ends its own side, so that the stream is over', async () => {
    const { peer, client, atClient, stream } = await rawServer();
    stream.send(close);
    peer.send(...end);
    await turns();
    expect([peer.isWhole(1), peer.resets(1), client.connection.openStreams]).toEqual([true, [], 0]);
    expect(atClient.end).toEqual([0, '']);
  });

  test('drops what the server has no room for', async () => {
    const { peer, client, atClient, stream } = await rawServer();
    expect(stream.sendData(1, Buffer.alloc(200_000))).toBe(false);
    stream.finish();
    peer.send(...end);
    await turns();
    expect([peer.resets(1), client.connection.openStreams, atClient.end]).toEqual([['CANCEL'], 0, [0, '']]);
  });
});

describe('credit', () => {
  const unusual = (bytes: number) => {
    const payload = Buffer.concat([
      Buffer.from('1a8080', 'hex'),
      Buffer.from([bytes >> 14]),
      Buffer.alloc(bytes),
    ]);
    const behind = Buffer.from('0807', 'hex');
    const length = payload.length + behind.length;
    const prefix = [0x08, 4, 0x22, (length & 127) | 128, ((length >> 7) & 127) | 128, length >> 14];
    return withPrefix(Buffer.concat([Buffer.from(prefix), payload, behind]));
  };

  test('is never given for more than has come, however packets are cut', async () => {
    const atServer = new PacketRecorder();
    const served: PacketStream[] = [];
    const { peer } = await scriptedClient(
      { streamWindowBytes: 2_000, connectionWindowBytes: 10_000_000 },
      ({ stream }) => {
        served.push(serve(stream, atServer, { holdsCredit: true }));
      },
    );
    peer.send(frames.headers(1, head));
    await turns();
    const [server] = served;
    const random = new RandomPackets(5);
    const waiting: number[] = [];
    atServer.onData = (_, piece) => {
      if (random.random() < 0.5) server?.consumed(piece.length);
      else waiting.push(piece.length);
    };
    let sent = 0;
    for (let i = 0; i < 400; i += 1) {
      const data = Buffer.alloc(random.below(60));
      const packet = Buffer.concat([encodeDataHead(7, data.length), data]);
      for (let at = 0; at < packet.length;) {
        const piece = packet.subarray(at, at + 1 + random.below(40));
        at += piece.length;
        sent += piece.length;
        peer.send(frames.data(1, piece));
      }
      await turns(4);
      expect(peer.credit(1)).toBeLessThanOrEqual(sent);
      for (const bytes of waiting.splice(0)) server?.consumed(bytes);
      await turns(4);
      expect(peer.credit(1)).toBeLessThanOrEqual(sent);
      expect(peer.credit(1)).toBeGreaterThan(sent - 1_200);
    }
    expect(atServer.statuses).toEqual([]);
  });

  test('is given once for DATA that had to be gathered', async () => {
    const { stream, atServer, server, sides } = await rawClient({ holdsCredit: true });
    const bytes = 1 << 20;
    stream.write(unusual(bytes));
    await until(() => atServer.dataBytes === bytes);
    server.consumed(bytes);
    // What the window allows now is what it allowed before.
    let sent = 0;
    while (
      stream.write(encodePacket({ type: 'DATA', connectId: 7, error: '', data: Buffer.alloc(10_000) }))
    ) {
      sent += 10_000;
      await turns(8);
    }
    expect(sent).toBeLessThanOrEqual(65_535);
    expect(sides.server.connection.openStreams).toBe(1);
  });
});

describe('packets that nobody reads', () => {
  const many = 20_000;

  test('wait for the client, but not without end', async () => {
    const atServer = new PacketRecorder();
    const served: PacketStream[] = [];
    const { peer, server } = await scriptedClient({ settings: [[4, 0]] }, ({ stream }) => {
      served.push(serve(stream, atServer));
    });
    peer.send(frames.headers(1, head));
    await turns();
    atServer.onClosed = () => served[0]?.finish();
    for (let i = 0; i < many; i += 1) served[0]?.send({ type: 'CLOSE_REQ', connectId: i });
    await turns();
    expect(atServer.end).toEqual([grpcCode.resourceExhausted, 'the peer does not read']);
    expect([peer.resets(1), server.connection.openStreams]).toEqual([['ENHANCE_YOUR_CALM'], 0]);
  });

  test('are as many as one likes where the client reads between them', async () => {
    const { server, atClient, atServer } = await packetPair();
    for (let sent = 0; sent < 2 * many;) {
      for (let i = 0; i < 10_000; i += 1) server.send({ type: 'CLOSE_REQ', connectId: i });
      sent += 10_000;
      await until(() => atClient.packets.length === sent);
      await turns();
    }
    expect([atServer.statuses, atClient.statuses]).toEqual([[], []]);
  });
});

test('what a client sends ahead of the answer is not more than its window', async () => {
  const { peer, stream, atClient } = await rawServer();
  stream.sendData(1, Buffer.alloc(maxMessageBytes));
  await until(() => peer.body(1).length === 65_535);
  await turns();
  expect(peer.of(frameType.data, 1).every(({ flags }) => flags === 0)).toBe(true);
  expect([peer.body(1).length, atClient.drains]).toEqual([65_535, 0]);
});
