import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { TOO_SLOW } from './lane.ts';
import { bytes, closeRsp, laneOn } from './testing/lane-on.ts';

describe('a stream whose peer can pause connections', () => {
  test('gives credit back for all that comes, whoever reads it', () => {
    const { shared, stream, sink } = laneOn();
    sink.hasRoom = false;
    shared.data(1, bytes(500), true);
    shared.data(1, bytes(500), true);
    shared.data(77, bytes(100), true);
    expect(stream.credit).toBe(1_100);
  });
});

describe('a stream whose peer cannot', () => {
  const stall = { heldBytes: 2_000, ms: 40, progressBytes: 100 };
  const setUp = () => laneOn({ canPause: false, stall });

  test('gives credit back as readers take bytes', () => {
    const { shared, stream, sink, lane } = setUp();
    sink.hasRoom = false;
    shared.data(1, bytes(500), true);
    expect(stream.credit).toBe(500);
    shared.data(1, bytes(300), true);
    shared.data(1, bytes(200), true);
    shared.data(77, bytes(100), true);
    expect(stream.credit).toBe(600);
    sink.hasRoom = true;
    lane.sinkDrained();
    expect(stream.credit).toBe(1_100);
  });

  test.each(['closed by us', 'cut', 'ended by the peer and read'])(
    'gives back what waited when the connection is %s',
    (how) => {
      const { shared, stream, sink, lane } = setUp();
      sink.hasRoom = false;
      for (let i = 0; i < 4; i += 1) shared.data(1, bytes(100), true);
      expect(stream.credit).toBe(100);
      if (how === 'cut') lane.cut('x', { tellPeer: false });
      else if (how === 'closed by us') lane.close(closeRsp);
      else {
        shared.packet(closeRsp);
        sink.hasRoom = true;
        lane.sinkDrained();
      }
      expect(stream.credit).toBe(400);
    },
  );

  test('cuts who holds it up and takes nothing; the others go on', async () => {
    const { shared, stream, sink, open } = setUp();
    const other = open(2);
    sink.hasRoom = false;
    other.hasRoom = false;
    for (let i = 0; i < 12; i += 1) shared.data(1, bytes(200), true);
    for (let i = 0; i < 3; i += 1) shared.data(2, bytes(200), true);
    expect(sink.events).not.toContain(`cut ${TOO_SLOW}`);
    await sleep(120);
    expect(sink.events).toContain(`cut ${TOO_SLOW}`);
    expect(stream.of(1).at(-1)).toBe('CLOSE_RSP');
    expect(other.lane.isOver).toBe(false);
  });

  test('leaves a reader that is slow but reads, and one that caught up', async () => {
    const { shared, sink, lane } = setUp();
    sink.hasRoom = false;
    for (let i = 0; i < 12; i += 1) shared.data(1, bytes(200), true);
    for (let i = 0; i < 8; i += 1) {
      await sleep(15);
      // One piece, and full again.
      lane.sinkDrained();
      shared.data(1, bytes(200), true);
    }
    expect(lane.isOver).toBe(false);
    sink.hasRoom = true;
    lane.sinkDrained();
    await sleep(100);
    expect(lane.isOver).toBe(false);
  });
});
