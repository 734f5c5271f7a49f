import { describe, expect, test } from 'vitest';
import { Budget } from './budget.ts';
import { TOO_SLOW, pieceBytes } from './lane.ts';
import { SharedStream } from './shared-stream.ts';
import { bytes, closeReq, closeRsp, laneOn, limits, piece, text } from './testing/lane-on.ts';
import { SinkRecorder } from './testing/sink-recorder.ts';

describe('what the peer sends', () => {
  test('is written at once as long as the sink takes it, and then kept in order', () => {
    const { lane, sink, budget } = laneOn();
    lane.receive(text('a'));
    sink.hasRoom = false;
    lane.receive(text('b'));
    lane.receive(text('c'));
    lane.receive(text(''));
    lane.receive(text('d'));
    expect([sink.text, lane.heldBytes, budget.heldBytes]).toEqual([
      'ab',
      2 + 2 * pieceBytes,
      2 + 2 * pieceBytes,
    ]);
    sink.drain();
    lane.receive(text('e'));
    expect([sink.text, lane.heldBytes, budget.heldBytes, sink.chunks.length]).toEqual(['abcde', 0, 0, 5]);
  });

  test('keeps its order where more comes while it is written', () => {
    const { lane, sink } = laneOn();
    sink.hasRoom = false;
    for (const content of ['a', 'b', 'c']) lane.receive(text(content));
    sink.onWrite = () => {
      if (sink.length === 2) lane.receive(text('d'));
    };
    sink.drain();
    expect(sink.text).toBe('abcd');
  });

  test('goes on as far as the sink has room', () => {
    const { lane, sink } = laneOn();
    sink.hasRoom = false;
    for (const content of ['a', 'b', 'c']) lane.receive(text(content));
    lane.sinkDrained();
    expect(sink.text).toBe('ab');
    lane.receive(text('d'));
    lane.sinkDrained();
    expect(sink.text).toBe('abc');
    sink.drain();
    expect(sink.text).toBe('abcd');
  });

  test('does not keep the larger piece that it came in', () => {
    const { lane, sink } = laneOn();
    const [large, small] = [Buffer.alloc(65_536), Buffer.alloc(16_384, 'y')];
    sink.hasRoom = false;
    for (const part of [large.subarray(0, 1), large.subarray(1, 2), small.subarray(0, 5_000)])
      lane.receive(part);
    sink.drain();
    expect(sink.chunks.map(({ buffer }) => buffer === large.buffer)).toEqual([true, false, false]);
    expect(sink.chunks[2]?.buffer).toBe(small.buffer);
    expect(sink.chunks[2]?.equals(small.subarray(0, 5_000))).toBe(true);
  });

  test('is cut off at the limit, and the peer is told', () => {
    const { lane, sink, stream, budget } = laneOn({ canPause: false });
    sink.hasRoom = false;
    lane.receive(piece(1_000));
    for (let i = 0; i < 10; i += 1) lane.receive(piece(1_000));
    expect([sink.events, lane.isOver, lane.heldBytes]).toEqual([[], false, 10_000]);
    lane.receive(bytes(1));
    expect([sink.events, lane.isOver]).toEqual([[`cut ${TOO_SLOW}`], true]);
    expect([lane.heldBytes, budget.heldBytes]).toEqual([0, 0]);
    expect(stream.sent).toEqual([{ ...closeRsp, error: TOO_SLOW }]);
    lane.receive(bytes(1));
    sink.drain();
    expect([sink.bytes.length, sink.events.length]).toEqual([1_000 - pieceBytes, 1]);
  });

  test('counts for more than its bytes where they come in small pieces', () => {
    const { lane, sink } = laneOn({ canPause: false });
    sink.hasRoom = false;
    let pieces = 0;
    while (!lane.isOver) {
      lane.receive(bytes(1));
      pieces += 1;
    }
    expect(pieces).toBe(2 + Math.floor(limits.maxBytes / (1 + pieceBytes)));
  });

  test('that nobody reads does not take long to be read, in pieces however small', () => {
    const sink = new SinkRecorder();
    const shared = new SharedStream({
      owner: { packet: () => {}, unknownData: () => {}, closePacket: () => closeReq, closed: () => {} },
      budget: new Budget(1e9),
      limits: { pauseBytes: 1e9, resumeBytes: 0, maxBytes: 4 * 1024 * 1024 },
    });
    sink.lane = shared.open(1, sink);
    sink.hasRoom = false;
    for (let i = 0; i < 32_000; i += 1) sink.lane.receive(bytes(1));
    const before = process.cpuUsage();
    sink.drain();
    expect(sink.chunks).toHaveLength(32_000);
    expect(process.cpuUsage(before).user / 1000).toBeLessThan(200);
  });
});

describe('asking the peer to pause', () => {
  test('is done once above the one limit, and undone once at the other', () => {
    const { lane, sink, stream } = laneOn();
    sink.hasRoom = false;
    lane.receive(bytes(1));
    for (let i = 0; i < 4; i += 1) lane.receive(piece(1_000));
    expect(stream.of(1)).toEqual([]);
    for (let i = 0; i < 3; i += 1) lane.receive(piece(1_000));
    expect(stream.of(1)).toEqual(['PAUSE']);
    for (let i = 0; i < 5; i += 1) lane.sinkDrained();
    expect([stream.of(1), lane.heldBytes]).toEqual([['PAUSE'], 2_000]);
    lane.sinkDrained();
    expect([stream.of(1), lane.heldBytes]).toEqual([['PAUSE', 'RESUME'], 1_000]);
    sink.drain();
    expect(stream.of(1)).toEqual(['PAUSE', 'RESUME']);
    sink.hasRoom = false;
    for (let i = 0; i < 6; i += 1) lane.receive(piece(1_000));
    sink.drain();
    expect(stream.of(1)).toEqual(['PAUSE', 'RESUME', 'PAUSE', 'RESUME']);
  });

  test('is not done where the peer does not understand it', () => {
    const { lane, sink, stream } = laneOn({ canPause: false });
    sink.hasRoom = false;
    for (let i = 0; i < 9; i += 1) lane.receive(piece(1_000));
    sink.drain();
    expect(stream.sent).toEqual([]);
  });

  test('is done earlier while much is held by all together', () => {
    const budget = new Budget(8_000);
    const { lane, sink, stream } = laneOn({ budget });
    sink.hasRoom = false;
    lane.receive(bytes(1));
    lane.receive(piece(1_000));
    lane.receive(piece(1_000));
    expect([budget.isTight, stream.of(1)]).toEqual([false, []]);
    lane.receive(piece(300));
    expect([budget.isTight, stream.of(1)]).toEqual([true, ['PAUSE']]);
  });

  test('is forgotten with the end, and no RESUME comes behind it', () => {
    const { lane, sink, stream } = laneOn();
    sink.hasRoom = false;
    for (let i = 0; i < 6; i += 1) lane.receive(piece(1_000));
    lane.close(closeRsp);
    expect(stream.of(1)).toEqual(['PAUSE', 'CLOSE_RSP']);
    const cut = laneOn();
    cut.sink.hasRoom = false;
    for (let i = 0; i < 6; i += 1) cut.lane.receive(piece(1_000));
    cut.lane.cut('over', { tellPeer: false });
    expect([cut.stream.of(1), cut.sink.events]).toEqual([['PAUSE'], ['cut over']]);
  });
});

describe('sending', () => {
  test('goes on as long as there is room', () => {
    const { lane, sink, stream, drain } = laneOn();
    stream.room = 2;
    expect([lane.send(text('a')), lane.send(text('b'))]).toEqual([true, false]);
    expect(lane.send(text('c'))).toBe(false);
    expect([stream.of(1), sink.drains]).toEqual([['DATA a', 'DATA b'], 0]);
    drain();
    expect([stream.of(1), sink.drains]).toEqual([['DATA a', 'DATA b', 'DATA c'], 1]);
    expect(lane.send(text('d'))).toBe(true);
  });

  test('the sink is told of room only when there is some', () => {
    const { lane, sink, stream, drain, congest } = laneOn();
    congest();
    lane.send(text('a'));
    drain(1);
    expect([stream.of(1), sink.drains]).toEqual([['DATA a'], 0]);
    drain(1);
    expect(sink.drains).toBe(1);
  });

  test('waits while the peer has paused it, and nobody else', () => {
    const { lane, sink, stream, shared, open } = laneOn();
    const other = open(2);
    shared.packet({ type: 'PAUSE', connectId: 1 });
    expect([lane.send(text('a')), lane.send(text('b')), other.lane.send(text('x'))]).toEqual([
      false,
      false,
      true,
    ]);
    expect([stream.of(1), stream.of(2)]).toEqual([[], ['DATA x']]);
    shared.packet({ type: 'RESUME', connectId: 1 });
    expect([stream.of(1), sink.drains]).toEqual([['DATA a', 'DATA b'], 1]);
    shared.packet({ type: 'RESUME', connectId: 1 });
    expect([sink.drains, lane.send(text('c'))]).toEqual([1, true]);
  });

  test('a pause between the sending and the room for it holds', () => {
    const { lane, sink, stream, shared, congest, drain } = laneOn();
    congest();
    lane.send(text('a'));
    shared.packet({ type: 'PAUSE', connectId: 1 });
    drain();
    expect([stream.of(1), sink.drains]).toEqual([[], 0]);
    congest();
    shared.packet({ type: 'RESUME', connectId: 1 });
    expect([stream.of(1), sink.drains]).toEqual([[], 0]);
    drain();
    expect([stream.of(1), sink.drains]).toEqual([['DATA a'], 1]);
  });
});
