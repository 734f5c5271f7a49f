import { describe, expect, test } from 'vitest';
import { turns, until } from '../http2/testing/joined-sockets.ts';
import { Budget } from './budget.ts';
import { GrpcStatus, grpcCode } from './grpc-status.ts';
import { TOO_SLOW, defaultLaneLimits } from './lane.ts';
import type { LaneLimits } from './lane.ts';
import type { Packet } from './packet.ts';
import { callPackets } from './packet-stream.ts';
import type { ControlPacket } from './packet-reader.ts';
import { SharedStream } from './shared-stream.ts';
import { FakePacketStream } from './testing/fake-packet-stream.ts';
import { serve } from './testing/packet-pair.ts';
import { SinkRecorder } from './testing/sink-recorder.ts';
import { joinedSides } from '../http2/testing/sides.ts';

class OwnerRecorder {
  readonly packets: ControlPacket[] = [];
  readonly unknown: number[] = [];
  readonly statuses: GrpcStatus[] = [];
  packet = (packet: ControlPacket) => void this.packets.push(packet);
  unknownData = (connectId: number) => void this.unknown.push(connectId);
  closePacket = (connectId: number, error: string): Packet => ({ type: 'CLOSE_RSP', connectId, error });
  closed = (status: GrpcStatus) => void this.statuses.push(status);
}

interface SharedOptions {
  readonly budget?: Budget;
  readonly limits?: LaneLimits;
  readonly canPause?: boolean;
}

function sharedStream({
  budget = new Budget(1e9),
  limits = defaultLaneLimits,
  canPause = true,
}: SharedOptions = {}) {
  const owner = new OwnerRecorder();
  const shared = new SharedStream({ owner, budget, limits });
  shared.canPause = canPause;
  const open = (connectId: number): SinkRecorder => {
    const sink = new SinkRecorder();
    sink.lane = shared.open(connectId, sink);
    return sink;
  };
  return { owner, shared, budget, open };
}

/** Beside it a stream of which the test says how much room it has. */
function fakeStream(options: SharedOptions = {}) {
  const all = sharedStream(options);
  const stream = new FakePacketStream();
  all.shared.attach(stream.stream);
  const drain = (room: number) => {
    stream.room = room;
    all.shared.drained();
  };
  return { ...all, stream, drain };
}

/** Both ends of one stream. */
async function joined(options: { readonly near?: SharedOptions; readonly far?: SharedOptions } = {}) {
  const [near, far] = [sharedStream(options.near), sharedStream(options.far)];
  const sides = await joinedSides({}, ({ stream }) => far.shared.attach(serve(stream, far.shared)));
  const call = { path: '/x', authority: 'a', scheme: 'http', metadata: [], holdsCredit: false } as const;
  const stream = callPackets(sides.client.connection, { ...call, listener: near.shared });
  if (!stream) throw new Error('the call has not begun');
  near.shared.attach(stream);
  await turns();
  return { near, far, stream, sides };
}

/** Sends pieces as long as there is room, and goes on when there is some again. */
function pump(sink: SinkRecorder, pieces: readonly Buffer[]): { readonly sent: () => number } {
  let sent = 0;
  const more = () => {
    while (sent < pieces.length) {
      const piece = pieces[sent] ?? Buffer.alloc(0);
      sent += 1;
      if (sink.lane?.send(piece) === false) return;
    }
  };
  sink.onDrained = more;
  more();
  return { sent: () => sent };
}

const text = (content: string) => Buffer.from(content);

describe('connections that send much', () => {
  const pieces = Array.from({ length: 1_000 }, () => Buffer.alloc(10));
  const idsOf = (stream: FakePacketStream) =>
    stream.sent.map((packet) => (packet.type === 'DATA' ? packet.connectId : 0));

  test('have their turns one after the other', () => {
    const { stream, open, drain } = fakeStream();
    const room = 8;
    stream.room = room;
    for (let id = 1; id <= 20; id += 1) pump(open(id), pieces);
    for (let round = 1; round <= 100; round += 1) {
      drain(room);
      const counts = Array.from({ length: 20 }, (_, i) => idsOf(stream).filter((id) => id === i + 1).length);
      expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(2 * room);
    }
    expect(stream.sent.length).toBeGreaterThan(20 * 5 * room);
  });

  test('send one of the pieces that wait in each turn', () => {
    const { stream, open, drain } = fakeStream();
    stream.room = 0;
    const sinks = [1, 2, 3].map((id) => open(id));
    for (const { lane } of sinks) for (const content of ['a', 'b', 'c']) lane?.send(text(content));
    // The first found out that there is no room.
    expect(idsOf(stream)).toEqual([1]);
    drain(4);
    expect(idsOf(stream)).toEqual([1, 1, 2, 3, 1]);
    drain(2);
    expect(idsOf(stream).slice(5)).toEqual([2, 3]);
    drain(Infinity);
    expect(idsOf(stream).slice(7)).toEqual([2, 3]);
    expect(sinks.map(({ drains }) => drains)).toEqual([1, 1, 1]);
    for (const id of [1, 2, 3]) expect(stream.of(id)).toEqual(['DATA a', 'DATA b', 'DATA c']);
  });

  test('one that the peer has paused is passed over, and has its turn later', () => {
    const { stream, shared, open, drain } = fakeStream();
    stream.room = 0;
    const sinks = [1, 2].map((id) => open(id));
    for (const { lane } of sinks) for (const content of ['a', 'b']) lane?.send(text(content));
    shared.packet({ type: 'PAUSE', connectId: 1 });
    drain(Infinity);
    expect(idsOf(stream)).toEqual([1, 2, 2]);
    shared.packet({ type: 'RESUME', connectId: 1 });
    expect(idsOf(stream)).toEqual([1, 2, 2, 1]);
  });

  test('one that sends in another’s turn keeps its order', () => {
    const { stream, open, drain } = fakeStream();
    stream.room = 0;
    const [first, second] = [open(1), open(2)];
    first.lane?.send(text('a'));
    second.lane?.send(text('b'));
    first.onDrained = () => second.lane?.send(text('c'));
    drain(Infinity);
    expect([stream.of(2), second.drains]).toEqual([['DATA b', 'DATA c'], 1]);
  });

  test('may be very many', () => {
    const { stream, open, drain } = fakeStream();
    stream.room = 0;
    const many = 20_000;
    for (let id = 1; id <= many; id += 1) {
      const { lane } = open(id);
      for (const content of ['a', 'b']) lane?.send(text(content));
    }
    stream.sent.length = 0;
    drain(Infinity);
    // The first had sent one before there was no room.
    expect(stream.sent).toHaveLength(2 * many - 1);
  });

  test('one that is cut in another’s turn has none', () => {
    const { stream, open, drain } = fakeStream();
    stream.room = 0;
    const [first, second] = [open(1), open(2)];
    first.lane?.send(text('a'));
    second.lane?.send(text('b'));
    first.onDrained = () => second.lane?.cut('over', { tellPeer: false });
    drain(Infinity);
    expect(idsOf(stream)).toEqual([1]);
    expect([second.events, second.drains]).toEqual([['cut over'], 0]);
  });
});

describe('a reader that has stopped', () => {
  const megabyte = Array.from({ length: 64 }, (_, i) => Buffer.alloc(16_384, i));
  const sum = megabyte.reduce((bytes, { length }) => bytes + length, 0);

  test('costs nobody but its own connection, which is cut', async () => {
    const { near, far } = await joined({ far: { canPause: false }, near: { canPause: false } });
    const [stuck, busy] = [far.open(1), far.open(2)];
    stuck.hasRoom = false;
    const slow = near.open(1);
    pump(slow, [...megabyte, ...megabyte, ...megabyte, ...megabyte, ...megabyte]);
    for (let i = 1; i <= 3; i += 1) {
      pump(near.open(1 + i), megabyte);
      const sink = i === 1 ? busy : far.open(1 + i);
      await until(() => sink.length === sum);
      expect(sink.bytes.equals(Buffer.concat(megabyte))).toBe(true);
    }
    await until(() => stuck.events.length > 0 && slow.events.length > 0);
    expect(stuck.events).toEqual([`cut ${TOO_SLOW}`]);
    expect(slow.events).toEqual([`ended ${TOO_SLOW}`]);
    expect([stuck.bytes.length, far.budget.heldBytes, far.shared.size]).toEqual([16_384, 0, 3]);
    expect(far.owner.unknown).toEqual([]);
  });

  test('stops its sender where both sides can, and nothing is lost', async () => {
    const { near, far } = await joined();
    const [stuck, busy] = [far.open(1), far.open(2)];
    stuck.hasRoom = false;
    const pieces = Array.from({ length: 8 }, () => megabyte).flat();
    const { sent } = pump(near.open(1), pieces);
    pump(near.open(2), pieces);
    await until(() => busy.length === 8 * sum);
    await turns();
    // What the two connections and the stream hold on their way.
    expect(far.budget.heldBytes).toBeLessThan(2 * 1024 * 1024);
    expect(sent()).toBeLessThan(2 * 64);
    stuck.drain();
    await until(() => stuck.length === 8 * sum);
    expect([stuck.events, far.budget.heldBytes]).toEqual([[], 0]);
    expect(stuck.bytes.equals(Buffer.concat(pieces))).toBe(true);
  });

  test('is cut when all hold too much together, and it most', () => {
    const budget = new Budget(100_000);
    const { shared, stream, open } = fakeStream({ budget });
    const sinks = [1, 2, 3].map((id) => open(id));
    for (const sink of sinks) {
      sink.hasRoom = false;
      sink.lane?.receive(text('x'));
    }
    for (let i = 0; i < 4; i += 1) for (const id of [1, 2, 2, 3]) shared.data(id, Buffer.alloc(5_000), true);
    expect(budget.heldBytes).toBeGreaterThan(80_000);
    for (let i = 0; i < 4; i += 1) shared.data(3, Buffer.alloc(5_000), true);
    expect(sinks.map(({ events }) => events)).toEqual([[], [`cut ${TOO_SLOW}`], []]);
    expect(stream.of(2).at(-1)).toBe('CLOSE_RSP');
    expect(budget.heldBytes).toBeLessThan(70_000);
    expect(shared.size).toBe(2);
  });
});

describe('packets', () => {
  test('that are no connection’s go to the owner, and closes of connections that are not known', () => {
    const { shared, owner, open } = fakeStream();
    const sink = open(1);
    const others: ControlPacket[] = [
      { type: 'DIAL_REQ', protocol: 'tcp', address: 'a:1', dialId: 1n },
      { type: 'DIAL_RSP', error: '', connectId: 1, dialId: 1n },
      { type: 'DIAL_CLS', dialId: 1n },
      { type: 'DRAIN' },
      { type: 'UNKNOWN', number: 7 },
      { type: 'CLOSE_REQ', connectId: 7 },
      { type: 'CLOSE_RSP', connectId: 7, error: 'e' },
    ];
    for (const packet of others) shared.packet(packet);
    for (const type of ['PAUSE', 'RESUME'] as const) shared.packet({ type, connectId: 7 });
    expect(owner.packets).toEqual(others);
    shared.packet({ type: 'CLOSE_RSP', connectId: 1, error: 'why' });
    shared.packet({ type: 'CLOSE_RSP', connectId: 1, error: 'why' });
    expect([sink.events, owner.packets.length, shared.size]).toEqual([['ended why'], 8, 0]);
  });

  test('with bytes of a connection that is not known are told once for each packet', () => {
    const { shared, owner } = fakeStream();
    shared.data(5, text('a'), true);
    shared.data(5, text('b'), false);
    shared.data(5, text(''), true);
    expect(owner.unknown).toEqual([5, 5]);
  });

  test('are not sent before there is a stream, nor after it', () => {
    const { shared, open } = sharedStream();
    const stream = new FakePacketStream();
    shared.send({ type: 'DRAIN' });
    open(1).lane?.send(text('a'));
    shared.attach(stream.stream);
    shared.send({ type: 'DRAIN' });
    stream.isClosed = true;
    shared.send({ type: 'DRAIN' });
    open(2).lane?.send(text('a'));
    expect(stream.sent).toEqual([{ type: 'DRAIN' }]);
  });
});

describe('a connection that is over', () => {
  test('and whose peer may still send is known as such', () => {
    const { shared, owner, open } = fakeStream();
    const [closed, cut, told, ended] = [open(1), open(2), open(3), open(4)];
    closed.lane?.close({ type: 'CLOSE_RSP', connectId: 1, error: '' });
    cut.lane?.cut('over', { tellPeer: false });
    told.lane?.cut('over', { tellPeer: true });
    shared.packet({ type: 'CLOSE_RSP', connectId: 4, error: '' });
    for (const id of [1, 2, 3, 4]) shared.data(id, text('late'), true);
    expect(owner.unknown).toEqual([4]);
    expect([closed, cut, told, ended].map(({ text: written }) => written)).toEqual(['', '', '', '']);
    // The peer has closed it too: nothing more comes.
    shared.packet({ type: 'CLOSE_REQ', connectId: 1 });
    shared.data(1, text('late'), true);
    expect(owner.unknown).toEqual([4, 1]);
    expect(shared.size).toBe(0);
  });

  test('gives its number to another', () => {
    const { shared, owner, open } = fakeStream();
    const first = open(1);
    const second = open(1);
    expect([first.events, shared.size]).toEqual([['cut its number was used again'], 1]);
    shared.data(1, text('new'), true);
    first.lane?.close({ type: 'CLOSE_RSP', connectId: 1, error: '' });
    expect([first.text, second.text, shared.size]).toEqual(['', 'new', 1]);
    second.lane?.close({ type: 'CLOSE_RSP', connectId: 1, error: '' });
    const third = open(1);
    shared.data(1, text('newer'), true);
    shared.packet({ type: 'CLOSE_RSP', connectId: 1, error: '' });
    expect([third.text, third.events, owner.unknown]).toEqual(['newer', ['ended '], []]);
    // It has ended by its peer: what comes now is of no connection.
    shared.data(1, text('late'), true);
    expect(owner.unknown).toEqual([1]);
  });

  test('is forgotten behind ten thousand others', () => {
    const { shared, owner, open } = fakeStream();
    const closeNext = (connectId: number) =>
      open(connectId).lane?.close({ type: 'CLOSE_RSP', connectId, error: '' });
    for (let id = 1; id <= 10_000; id += 1) closeNext(id);
    for (const id of [1, 2, 10_000]) shared.data(id, text('late'), true);
    expect(owner.unknown).toEqual([]);
    closeNext(10_001);
    for (const id of [1, 2, 10_000, 10_001]) shared.data(id, text('late'), true);
    expect(owner.unknown).toEqual([1]);
  });
});

describe('the end of the stream', () => {
  test('cuts all connections before the owner hears of it', () => {
    const { shared, owner, open, budget, stream } = fakeStream();
    const sinks = [1, 2, 3].map((id) => open(id));
    for (const [i, sink] of sinks.entries()) {
      sink.hasRoom = false;
      shared.data(i + 1, text('a'), true);
      shared.data(i + 1, text('b'), true);
      sink.onEnd = () => expect(owner.statuses).toEqual([]);
    }
    shared.packet({ type: 'CLOSE_RSP', connectId: 2, error: '' });
    stream.isClosed = true;
    shared.closed(new GrpcStatus(grpcCode.unavailable, 'lost'));
    expect(sinks.map(({ events }) => events)).toEqual([['cut lost'], ['cut lost'], ['cut lost']]);
    expect([shared.size, budget.heldBytes, owner.statuses[0]?.code]).toEqual([0, 0, 14]);
    expect([stream.sent, sinks[0]?.lane?.send(text('late'))]).toEqual([[], true]);
  });

  test('in good order cuts them too', () => {
    const { shared, open } = fakeStream();
    const sink = open(1);
    shared.closed(new GrpcStatus(grpcCode.ok, ''));
    expect(sink.events).toEqual(['cut the tunnel is closed']);
  });

  test('cuts the others when one ends as it is cut', () => {
    const { shared, owner, open } = fakeStream();
    const sinks = [1, 2, 3].map((id) => open(id));
    for (const sink of sinks)
      sink.onEnd = () => sinks.map(({ lane }) => lane?.cut('by another', { tellPeer: true }));
    shared.closed(new GrpcStatus(grpcCode.ok, ''));
    expect(sinks.map(({ events }) => events.length)).toEqual([1, 1, 1]);
    expect([owner.statuses.length, shared.size]).toEqual([1, 0]);
  });

  test('comes to both sides', async () => {
    const { near, far, stream } = await joined();
    const [here, there] = [near.open(1), far.open(1)];
    stream.cancel();
    await turns();
    expect([here.events, there.events]).toEqual([
      ['cut the stream was cancelled'],
      ['cut the stream was cancelled'],
    ]);
    expect([near.owner.statuses.length, far.owner.statuses.length]).toEqual([1, 1]);
  });
});
