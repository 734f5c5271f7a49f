import { describe, expect, test, vi } from 'vitest';
import { turns, until } from '../http2/testing/joined-sockets.ts';
import { seededRandom } from '../http2/testing/hpack-random.ts';
import { GrpcStatus, grpcCode } from './grpc-status.ts';
import { encodePacket } from './packet-codec.ts';
import { callPackets } from './packet-stream.ts';
import type { PacketStream } from './packet-stream.ts';
import { packetPair } from './testing/packet-pair.ts';
import { PacketRecorder } from './testing/packet-recorder.ts';
import { RandomPackets } from './testing/random-packets.ts';
import type { KnownPacket } from './testing/packet-schema.ts';

const good = [grpcCode.ok, ''];
const close = { type: 'CLOSE_REQ', connectId: 5 } as const;

describe('one call', () => {
  test('begins with a head as gRPC has it, and is answered with metadata', async () => {
    const { server, atClient, lines } = await packetPair({ metadata: ['agentid', 'a', 'x-more', '1'] });
    expect(lines).toEqual([
      ...[':method', 'POST', ':scheme', 'http', ':authority', 'tunnel.test', ':path', '/ProxyService/Proxy'],
      ...['content-type', 'application/grpc', 'te', 'trailers', 'agentid', 'a', 'x-more', '1'],
    ]);
    expect(atClient.metadata).toEqual([]);
    server.sendHead(['serverid', 's']);
    server.sendHead(['serverid', 'again']);
    await turns();
    expect(atClient.metadata).toEqual([['content-type', 'application/grpc', 'serverid', 's']]);
    expect(atClient.statuses).toEqual([]);
  });

  test.each([1, 2, 3])('carries packets both ways (seed %i)', async (seed) => {
    const { client, server, atClient, atServer } = await packetPair({
      sockets: { random: seededRandom(seed) },
    });
    const random = new RandomPackets(seed, 40_000);
    const [asked, answered]: [KnownPacket[], KnownPacket[]] = [[], []];
    const send = (from: PacketStream, packet: KnownPacket) => {
      if (packet.type === 'DATA' && random.random() < 0.8) from.sendData(packet.connectId, packet.data);
      else from.send(packet);
    };
    for (let i = 0; i < 300; i += 1) {
      const [from, list] = random.random() < 0.5 ? ([client, asked] as const) : ([server, answered] as const);
      const next = random.next();
      const packet = next.type === 'DATA' ? { ...next, error: '' } : next;
      list.push(packet);
      send(from, packet);
      if (random.random() < 0.2) await turns(1);
    }
    await until(
      () => atServer.packets.length === asked.length && atClient.packets.length === answered.length,
    );
    await turns();
    expect(atServer.packets).toEqual(asked);
    expect(atClient.packets).toEqual(answered);
    expect([atClient.statuses, atServer.statuses]).toEqual([[], []]);
    expect(atClient.metadata).toHaveLength(1);
  });

  test('counts packets as they come and go, DATA in pieces once', async () => {
    const counts: string[] = [];
    const count = (side: string) => (type: string, direction: string) =>
      counts.push(`${side} ${direction} ${type}`);
    const { client, server } = await packetPair({
      client: { onPacket: count('client') },
      server: { onPacket: count('server') },
    });
    client.sendData(1, Buffer.alloc(200_000));
    server.send(close);
    await turns(60);
    expect(counts.sort()).toEqual([
      ...['client in CLOSE_REQ', 'client out DATA', 'server in DATA', 'server out CLOSE_REQ'],
    ]);
  });

  test('bytes of many sizes arrive as they are', async () => {
    const { client, atServer } = await packetPair();
    const random = new RandomPackets(3);
    const sizes = [0, 1, 4_095, 4_096, 4_097, 16_384, 70_000];
    const data = sizes.map((size) => random.bytes(size));
    for (const bytes of data) client.sendData(9, bytes);
    await until(() => atServer.packets.length === sizes.length);
    await turns(60);
    expect(atServer.packets).toEqual(
      data.map((bytes) => ({ type: 'DATA', connectId: 9, error: '', data: bytes })),
    );
  });

  test('is not begun on a connection that takes no more', async () => {
    const { sides } = await packetPair();
    sides.client.connection.finish();
    const call = { path: '/x', authority: 'a', scheme: 'http', metadata: [], holdsCredit: false } as const;
    expect(callPackets(sides.client.connection, { ...call, listener: new PacketRecorder() })).toBeUndefined();
  });
});

describe('the end in good order', () => {
  test('of the client is told to the server, which says how it ended', async () => {
    const { client, server, atClient, atServer, sides } = await packetPair();
    client.send(close);
    client.finish();
    client.finish();
    await turns();
    expect([atServer.packets, atServer.end, server.isClosed]).toEqual([[close], good, true]);
    expect([atClient.statuses, client.isClosed]).toEqual([[], false]);
    server.send(close);
    server.finish();
    server.finish(new GrpcStatus(grpcCode.unknown, 'again'));
    await turns();
    expect([atClient.packets, atClient.end, client.isClosed]).toEqual([[close], good, true]);
    expect([sides.client.connection.openStreams, sides.server.connection.openStreams]).toEqual([0, 0]);
  });

  test('of the server comes behind what it sent, and frees the stream on both sides', async () => {
    const { client, server, atClient, atServer, sides } = await packetPair();
    server.sendData(1, Buffer.from('bytes'));
    server.finish(new GrpcStatus(grpcCode.unavailable, '100% ☃\nof it '));
    await turns();
    expect(atClient.packets).toHaveLength(1);
    expect(atClient.end).toEqual([14, '100% ☃\nof it ']);
    expect(atServer.end).toEqual(good);
    expect([sides.client.connection.openStreams, sides.server.connection.openStreams]).toEqual([0, 0]);
    client.send(close);
    client.cancel();
    server.send(close);
    await turns();
    expect([atClient.statuses.length, atServer.statuses.length]).toEqual([1, 1]);
  });

  test('before anything else is one block of lines', async () => {
    const { server, atClient, atServer, sides } = await packetPair();
    server.finish(new GrpcStatus(grpcCode.unknown, 'expected one agent ID in the context, got []'));
    server.finish();
    await turns();
    expect(atClient.end).toEqual([2, 'expected one agent ID in the context, got []']);
    expect([atClient.metadata, atServer.end]).toEqual([[], good]);
    expect([sides.client.connection.openStreams, sides.server.connection.openStreams]).toEqual([0, 0]);
  });

  test('waits for what the client has no room for', async () => {
    const { client, server, atClient } = await packetPair({ client: { holdsCredit: true } });
    server.sendData(1, Buffer.alloc(200_000));
    server.finish(new GrpcStatus(grpcCode.unavailable, 'later'));
    await turns();
    expect(atClient.statuses).toEqual([]);
    atClient.onData = (_, piece) => client.consumed(piece.length);
    client.consumed(atClient.dataBytes);
    await until(() => atClient.statuses.length > 0);
    expect([atClient.dataBytes, atClient.end]).toEqual([200_000, [14, 'later']]);
  });

  test('does not wait for it for ever', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      const { server, atClient, sides } = await packetPair({ client: { holdsCredit: true } });
      server.sendData(1, Buffer.alloc(200_000));
      server.finish();
      server.finish();
      vi.advanceTimersByTime(9_000);
      await turns();
      expect([sides.server.connection.openStreams, atClient.statuses]).toEqual([1, []]);
      vi.advanceTimersByTime(1_500);
      await turns();
      expect([sides.server.connection.openStreams, atClient.end?.[0]]).toEqual([0, grpcCode.cancelled]);
      expect(vi.getTimerCount()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });

  test('leaves no timer behind where the client is gone already, or reads in time', async () => {
    const { client, server } = await packetPair();
    client.cancel();
    await turns();
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      server.finish();
      expect(vi.getTimerCount()).toBe(0);
      const slow = await packetPair({ client: { holdsCredit: true } });
      slow.server.sendData(1, Buffer.alloc(100_000));
      slow.server.finish();
      await turns();
      expect(vi.getTimerCount()).toBe(1);
      slow.client.consumed(slow.atClient.dataBytes);
      slow.client.finish();
      await turns();
      expect([slow.atClient.end, vi.getTimerCount()]).toEqual([good, 0]);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe('the end at once', () => {
  test('of the client', async () => {
    const resets: string[] = [];
    const { client, server, atClient, atServer, sides } = await packetPair({
      client: { onReset: () => resets.push('client') },
      server: { onReset: () => resets.push('server') },
    });
    server.sendHead();
    await turns();
    client.cancel();
    client.cancel();
    expect([atClient.end?.[0], client.isClosed]).toEqual([grpcCode.cancelled, true]);
    await turns();
    expect([atServer.end?.[0], server.isClosed]).toEqual([grpcCode.cancelled, true]);
    expect([resets, sides.server.connection.openStreams]).toEqual([['server'], 0]);
  });

  test('of the server', async () => {
    const resets: string[] = [];
    const { server, atClient, atServer } = await packetPair({
      client: { onReset: () => resets.push('client') },
      server: { onReset: () => resets.push('server') },
    });
    server.cancel();
    await turns();
    expect([atClient.end?.[0], atServer.end?.[0]]).toEqual([grpcCode.cancelled, grpcCode.cancelled]);
    expect(resets).toEqual(['client']);
  });

  test.each([
    [0, 13],
    [2, 13],
    [7, 14],
    [8, 1],
    [11, 8],
  ])('by RST_STREAM %i of the server is status %i', async (code, status) => {
    const { serverStream, atClient } = await packetPair();
    serverStream.reset(code);
    await turns();
    expect(atClient.end?.[0]).toBe(status);
  });

  test('with the connection', async () => {
    const { atClient, atServer, sides } = await packetPair();
    sides.server.connection.destroy();
    await turns();
    expect([atClient.statuses.length, atServer.statuses.length]).toEqual([1, 1]);
    expect([atClient.status?.isOk, atServer.status?.isOk]).toEqual([false, false]);
  });

  test('as a packet is given gives nothing more, not even of what came with it', async () => {
    const data = encodePacket({ type: 'DATA', connectId: 1, error: '', data: Buffer.alloc(10) });
    const both = Buffer.concat([encodePacket(close), data]);
    for (const come of [both, Buffer.concat([data, both])]) {
      const { client, server, atClient, serverStream } = await packetPair();
      atClient.onPacket = atClient.onData = () => client.cancel();
      server.sendHead();
      serverStream.write(come);
      await turns();
      expect([atClient.packets.length, atClient.end?.[0]]).toEqual([1, grpcCode.cancelled]);
    }
  });

  test('of the client’s side ends the telling of room', async () => {
    const { client, server, atClient, atServer } = await packetPair({ client: { holdsCredit: true } });
    expect(server.sendData(1, Buffer.alloc(100_000))).toBe(false);
    client.finish();
    await turns();
    expect(atServer.end).toEqual(good);
    client.consumed(atClient.dataBytes);
    await turns();
    expect([atClient.dataBytes, atServer.drains]).toEqual([100_000, 0]);
  });
});

describe('room', () => {
  test('is told once for each time that there was none', async () => {
    const { client, server, atClient, atServer } = await packetPair({ server: { holdsCredit: true } });
    let sends = 0;
    while (client.sendData(1, Buffer.alloc(10_000))) sends += 1;
    expect(client.sendData(1, Buffer.alloc(10_000))).toBe(false);
    await turns();
    expect(atClient.drains).toBe(0);
    atServer.onData = (_, piece) => server.consumed(piece.length);
    server.consumed(atServer.dataBytes);
    await until(() => atServer.dataBytes === (sends + 2) * 10_000);
    await turns();
    expect(atClient.drains).toBe(1);
  });

  test('is used up to the window where credit is held, and no further', async () => {
    const { client, server, atClient, atServer } = await packetPair({ server: { holdsCredit: true } });
    const total = 3_000_000;
    let sent = 0;
    const pump = () => {
      while (sent < total) {
        sent += 10_000;
        if (!client.sendData(1, Buffer.alloc(10_000))) return;
      }
    };
    atClient.onDrained = pump;
    pump();
    await turns(60);
    expect(atServer.dataBytes).toBeGreaterThan(60_000);
    expect(atServer.dataBytes).toBeLessThanOrEqual(65_535);
    server.consumed(atServer.dataBytes);
    await turns(60);
    expect(atServer.dataBytes).toBeGreaterThan(120_000);
    expect(atServer.dataBytes).toBeLessThanOrEqual(2 * 65_535);
    atServer.onData = (_, piece) => server.consumed(piece.length);
    server.consumed(atServer.dataBytes - 65_535);
    await until(() => atServer.dataBytes === total);
  });

  test('does not end where it is not held', async () => {
    const { client, atClient, atServer } = await packetPair();
    const total = 3_000_000;
    let sent = 0;
    const pump = () => {
      while (sent < total) {
        sent += 10_000;
        if (!client.sendData(1, Buffer.alloc(10_000))) return;
      }
    };
    atClient.onDrained = pump;
    pump();
    await until(() => atServer.dataBytes === total);
  });

  test('for packets that are no DATA is given back at once', async () => {
    const { client, atServer } = await packetPair({ server: { holdsCredit: true } });
    for (let i = 0; i < 2_000; i += 1)
      client.send({ type: 'CLOSE_RSP', connectId: i, error: 'x'.repeat(100) });
    await until(() => atServer.packets.length === 2_000);
  });

  test('a stream that is closed gives back what still comes', async () => {
    const { client, server, atServer, sides } = await packetPair({ server: { holdsCredit: true } });
    for (let i = 0; i < 30; i += 1) client.sendData(1, Buffer.alloc(2_000));
    server.finish();
    await turns();
    expect([atServer.statuses.length, sides.client.connection.openStreams]).toEqual([1, 0]);
    const again = callPackets(sides.client.connection, {
      ...{ path: '/x', authority: 'a', scheme: 'http', metadata: [], holdsCredit: false },
      listener: new PacketRecorder(),
    });
    expect(again?.send(close)).toBe(true);
  });
});
