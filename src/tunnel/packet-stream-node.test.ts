import { once } from 'node:events';
import { connect, createServer } from 'node:http2';
import type { ClientHttp2Stream, IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { connect as connectTcp, createServer as createTcpServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { describe, expect, test } from 'vitest';
import { Http2Connection } from '../http2/connection.ts';
import { eventually, onTestEnd } from '../net/testing/servers.ts';
import { openGrpcConnection } from './grpc-connection.ts';
import type { GrpcConnection } from './grpc-connection.ts';
import { GrpcStatus, grpcCode } from './grpc-status.ts';
import type { PacketStream } from './packet-stream.ts';
import type { Packet } from './packet.ts';
import { serve } from './testing/packet-pair.ts';
import { PacketRecorder } from './testing/packet-recorder.ts';
import { decodeWithProtobufjs, encodeWithProtobufjs, plainOf, withPrefix } from './testing/packet-schema.ts';
import type { KnownPacket, PlainPacket } from './testing/packet-schema.ts';

// The other side is Node's HTTP/2 and protobufjs: nothing of it is ours.

const encode = (packet: KnownPacket) => withPrefix(encodeWithProtobufjs(plainOf(packet)));
const data = (connectId: number, bytes: Buffer) =>
  ({ type: 'DATA', connectId, error: '', data: bytes }) as const;

/** Reads messages as they come. */
function readPackets(
  stream: ClientHttp2Stream | ServerHttp2Stream,
  onPacket: (packet: PlainPacket) => void,
): void {
  let held = Buffer.alloc(0);
  stream.on('data', (chunk: Buffer) => {
    held = Buffer.concat([held, chunk]);
    while (held.length >= 5 && held.length >= 5 + held.readUInt32BE(1)) {
      const end = 5 + held.readUInt32BE(1);
      onPacket(decodeWithProtobufjs(held.subarray(5, end)));
      held = held.subarray(end);
    }
  });
}

/** A server of Node's, and a connection of ours to it. */
async function nodeServer(
  onStream: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void,
): Promise<GrpcConnection> {
  const server = createServer();
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {});
    onStream(stream, headers);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const connection = await openGrpcConnection(
    connectTcp((server.address() as AddressInfo).port, '127.0.0.1'),
    {
      ...{ authority: 'tunnel.test', scheme: 'http', streamWindowBytes: 200_000, keepaliveMs: 0 },
      ...{ keepaliveTimeoutMs: 1_000, settingsTimeoutMs: 5_000, onDrain: () => {} },
    },
    AbortSignal.timeout(5_000),
  );
  onTestEnd(() => {
    connection.destroy();
    server.close();
  });
  return connection;
}

function callOn(connection: GrpcConnection): { stream: PacketStream; recorder: PacketRecorder } {
  const recorder = new PacketRecorder();
  const call = {
    path: '/AgentService/Connect',
    metadata: ['agentid', 'a'],
    holdsCredit: false,
    listener: recorder,
  };
  const stream = connection.call(call);
  if (!stream) throw new Error('the call has not begun');
  return { stream, recorder };
}

/** A server of ours, and a stream of Node's client on it. */
async function nodeClient(onCall: (stream: PacketStream, recorder: PacketRecorder) => void) {
  const server = createTcpServer((socket) => {
    new Http2Connection(
      socket,
      {
        requests: {
          maxConcurrentStreams: 100,
          onRequest: (stream) => {
            const recorder = new PacketRecorder();
            onCall(serve(stream, recorder), recorder);
          },
          onHeadTooLarge: () => {},
        },
        ...{ maxHeaderBytes: 65_536, streamWindowBytes: 100_000, connectionWindowBytes: 1_000_000 },
        maxUnreadBytes: 1_000_000,
      },
      { onSettings: () => {}, onGoaway: () => {}, onPong: () => {}, onClose: () => {} },
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  onTestEnd(() => {
    session.destroy();
    server.close();
  });
  const stream = session.request(
    { ':method': 'POST', ':path': '/ProxyService/Proxy', 'content-type': 'application/grpc', te: 'trailers' },
    { endStream: false },
  );
  stream.on('error', () => {});
  return { session, stream };
}

describe('our client and a server of Node’s', () => {
  test('exchange packets, metadata and the end', async () => {
    const seen: unknown[] = [];
    const connection = await nodeServer((stream, headers) => {
      seen.push([
        headers[':path'],
        headers[':authority'],
        headers['content-type'],
        headers['te'],
        headers['agentid'],
      ]);
      stream.respond(
        { ':status': 200, 'content-type': 'application/grpc', serverid: 's', servercount: '1' },
        { waitForTrailers: true },
      );
      stream.on('wantTrailers', () =>
        stream.sendTrailers({ 'grpc-status': '14', 'grpc-message': 'it is %E2%98%83' }),
      );
      readPackets(stream, (packet) => {
        seen.push(packet);
        stream.write(encode({ type: 'DIAL_RSP', error: '', connectId: 1, dialId: 2n ** 63n - 1n }));
        stream.end(encode(data(1, Buffer.from('bytes'))));
      });
    });
    const { stream, recorder } = callOn(connection);
    const dial = { type: 'DIAL_REQ', protocol: 'tcp', address: 'cluster1:443', dialId: -1n } as const;
    stream.send(dial);
    await eventually(() => recorder.statuses.length > 0);
    expect(seen).toEqual([
      ['/AgentService/Connect', 'tunnel.test', 'application/grpc', 'trailers', 'a'],
      plainOf(dial),
    ]);
    expect(recorder.metadata.flat()).toEqual(expect.arrayContaining(['serverid', 's', 'servercount', '1']));
    expect(recorder.packets).toEqual([
      { type: 'DIAL_RSP', error: '', connectId: 1, dialId: 2n ** 63n - 1n },
      data(1, Buffer.from('bytes')),
    ]);
    expect(recorder.end).toEqual([grpcCode.unavailable, 'it is ☃']);
    await eventually(() => connection.openStreams === 0);
  });

  test('send each other much at once', async () => {
    const total = 8 * 1024 * 1024;
    let echoed = 0;
    const connection = await nodeServer((stream) => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
      // What comes goes back as it is.
      stream.pipe(stream);
    });
    const { stream, recorder } = callOn(connection);
    const bytes = Buffer.alloc(30_000);
    let sent = 0;
    const pump = () => {
      while (sent < total) {
        bytes.fill(sent % 251);
        sent += bytes.length;
        if (!stream.sendData(7, Buffer.from(bytes))) return;
      }
      stream.finish();
    };
    recorder.onDrained = pump;
    recorder.onData = (connectId, piece) => {
      echoed += piece.length;
      const first = echoed - piece.length;
      if (connectId !== 7 || piece[0] !== (Math.floor(first / 30_000) * 30_000) % 251) echoed = NaN;
    };
    pump();
    await eventually(() => recorder.statuses.length > 0, 15_000);
    expect(echoed).toBe(sent);
    expect(recorder.end).toEqual([grpcCode.internal, 'the stream ended without a status']);
  });

  test('are told of a refusal before anything', async () => {
    const connection = await nodeServer((stream) => {
      stream.respond(
        { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '2', 'grpc-message': '100%25' },
        { endStream: true },
      );
    });
    const { recorder } = callOn(connection);
    await eventually(() => recorder.statuses.length > 0);
    expect([recorder.end, recorder.metadata]).toEqual([[2, '100%'], []]);
    await eventually(() => connection.openStreams === 0);
  });

  test('are told when the other cuts', async () => {
    const ends: number[] = [];
    const connection = await nodeServer((stream) => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
      stream.on('close', () => ends.push(stream.rstCode));
      readPackets(stream, () => stream.close(7));
    });
    const [first, second] = [callOn(connection), callOn(connection)];
    first.stream.send({ type: 'DRAIN' });
    await eventually(() => first.recorder.statuses.length > 0);
    expect(first.recorder.status?.code).toBe(grpcCode.unavailable);
    second.stream.cancel();
    await eventually(() => ends.length === 2);
    expect(ends.sort()).toEqual([7, 8]);
  });
});

describe('a client of Node’s and our server', () => {
  test('exchange packets, metadata and the end', async () => {
    const recorders: PacketRecorder[] = [];
    const { stream } = await nodeClient((call, recorder) => {
      recorders.push(recorder);
      call.sendHead(['serverid', 's']);
      recorder.onPacket = (packet: Packet) => call.send(packet);
      recorder.onClosed = () => call.finish(new GrpcStatus(grpcCode.unknown, 'ö'));
    });
    const answers: PlainPacket[] = [];
    readPackets(stream, (packet) => answers.push(packet));
    const [[head]] = await Promise.all([
      once(stream, 'response') as Promise<[IncomingHttpHeaders]>,
      new Promise<void>((resolve) => stream.write(encode({ type: 'DRAIN' }), () => resolve())),
    ]);
    const trailers = once(stream, 'trailers') as Promise<[IncomingHttpHeaders]>;
    const packets = [
      { type: 'CLOSE_RSP', error: 'e', connectId: 2 ** 40 },
      { type: 'PAUSE', connectId: 1 },
    ] as const;
    for (const packet of packets) stream.write(encode(packet));
    stream.end();
    const [lines] = await trailers;
    expect([head[':status'], head['content-type'], head['serverid']]).toEqual([200, 'application/grpc', 's']);
    expect([lines['grpc-status'], lines['grpc-message']]).toEqual(['2', '%C3%B6']);
    expect(answers).toEqual([plainOf({ type: 'DRAIN' }), ...packets.map((packet) => plainOf(packet))]);
    expect(recorders[0]?.end).toEqual([0, '']);
  });

  test('that ends before its client', async () => {
    const recorders: PacketRecorder[] = [];
    const { stream } = await nodeClient((call, recorder) => {
      recorders.push(recorder);
      recorder.onPacket = () => call.finish(new GrpcStatus(grpcCode.unavailable, 'over'));
    });
    const response = once(stream, 'response') as Promise<[IncomingHttpHeaders]>;
    stream.resume().write(encode({ type: 'DRAIN' }));
    const [head] = await response;
    expect([head['grpc-status'], head['grpc-message']]).toEqual(['14', 'over']);
    await eventually(() => stream.closed);
    expect([stream.rstCode, recorders[0]?.end]).toEqual([0, [0, '']]);
  });

  test('is told why at what is no packet', async () => {
    const { stream } = await nodeClient((call) => call.sendHead());
    const trailers = once(stream, 'trailers') as Promise<[IncomingHttpHeaders]>;
    stream.resume().write(withPrefix(Buffer.alloc(5, 0xff)));
    const [lines] = await trailers;
    expect(lines['grpc-status']).toBe('13');
  });

  test('that is cut', async () => {
    const recorders: PacketRecorder[] = [];
    const resets: number[] = [];
    const { stream, session } = await nodeClient((call, recorder) => {
      recorders.push(recorder);
      call.sendHead();
      recorder.onClosed = ({ code }) => resets.push(code);
    });
    await once(stream, 'response');
    stream.destroy(new Error('of the client'));
    await eventually(() => resets.length === 1);
    const second = session.request({ ':method': 'POST', ':path': '/x' }, { endStream: false });
    second.on('error', () => {});
    await once(second, 'response');
    session.destroy();
    await eventually(() => resets.length === 2);
    expect(resets[0]).toBe(grpcCode.internal);
    expect(resets[1]).not.toBe(grpcCode.ok);
  });
});
