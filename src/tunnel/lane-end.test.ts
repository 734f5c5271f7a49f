import { describe, expect, test } from 'vitest';
import { closeReq, closeRsp, laneOn, text } from './testing/lane-on.ts';
import { SinkRecorder } from './testing/sink-recorder.ts';

describe('the end by the peer', () => {
  test('comes behind what it sent', () => {
    const { lane, sink, budget, shared, stream } = laneOn();
    sink.hasRoom = false;
    lane.receive(text('a'));
    lane.receive(text('b'));
    shared.packet({ type: 'CLOSE_RSP', connectId: 1, error: 'why' });
    shared.packet({ type: 'CLOSE_RSP', connectId: 1, error: 'again' });
    lane.receive(text('late'));
    expect([sink.events, lane.isOver]).toEqual([[], false]);
    sink.drain();
    expect([sink.text, sink.events, lane.isOver]).toEqual(['ab', ['ended why'], true]);
    expect([budget.heldBytes, shared.size, stream.sent]).toEqual([0, 0, []]);
  });

  test('is told at once where nothing waits, even if the sink is full', () => {
    const { lane, sink, shared } = laneOn();
    sink.hasRoom = false;
    lane.receive(text('a'));
    shared.packet(closeReq);
    expect([sink.text, sink.events]).toEqual(['a', ['ended ']]);
    sink.drain();
    expect(sink.events).toHaveLength(1);
  });

  test('drops what waits to be sent, and what is sent later', () => {
    const { lane, sink, shared, stream, congest, drain } = laneOn();
    congest();
    lane.send(text('a'));
    sink.hasRoom = false;
    lane.receive(text('x'));
    lane.receive(text('y'));
    shared.packet(closeReq);
    expect(lane.send(text('b'))).toBe(true);
    drain();
    expect(lane.send(text('c'))).toBe(true);
    expect(stream.sent).toEqual([]);
    sink.drain();
    expect([sink.text, sink.events]).toEqual(['xy', ['ended ']]);
  });

  test('while the sink closes is the end', () => {
    const { lane, sink, shared, stream, congest, drain } = laneOn();
    congest();
    lane.send(text('a'));
    lane.close(closeReq);
    shared.packet({ type: 'CLOSE_RSP', connectId: 1, error: '' });
    expect([lane.isOver, shared.size]).toEqual([true, 0]);
    drain();
    expect([stream.sent, sink.events]).toEqual([[], []]);
  });

  test('that asked for it is answered, although the sink has closed', () => {
    const { lane, sink, shared, stream, congest, drain } = laneOn();
    congest();
    lane.send(text('a'));
    lane.close(closeRsp);
    shared.packet(closeReq);
    expect([stream.sent, lane.isOver]).toEqual([[closeRsp], true]);
    drain();
    expect([stream.sent, sink.events]).toEqual([[closeRsp], []]);
  });
});

describe('the end by the sink', () => {
  test('comes behind what it sent, once, and drops what the peer sends', () => {
    const { lane, sink, stream, budget, shared, congest, drain } = laneOn();
    sink.hasRoom = false;
    lane.receive(text('1'));
    lane.receive(text('2'));
    congest();
    lane.send(text('a'));
    lane.send(text('b'));
    lane.close(closeRsp);
    lane.close({ ...closeRsp, error: 'again' });
    expect([lane.send(text('c')), budget.heldBytes]).toEqual([true, 0]);
    lane.receive(text('3'));
    sink.drain();
    expect([stream.sent, lane.isOver]).toEqual([[], false]);
    drain();
    expect(stream.of(1)).toEqual(['DATA a', 'DATA b', 'CLOSE_RSP']);
    expect(stream.sent.at(-1)).toEqual(closeRsp);
    expect([sink.text, sink.events, sink.drains, lane.isOver, shared.size]).toEqual(['1', [], 0, true, 0]);
    lane.close(closeRsp);
    lane.cut('late', { tellPeer: true });
    expect([stream.sent.length, sink.events]).toEqual([3, []]);
  });

  test('is sent at once where nothing waits, even if the stream has no room', () => {
    const { lane, stream, congest } = laneOn();
    congest();
    lane.close(closeRsp);
    expect([stream.of(1), lane.isOver]).toEqual([['CLOSE_RSP'], true]);
  });

  test('does not wait for a peer that paused, before or after', () => {
    const { lane, stream, shared, congest, drain } = laneOn();
    shared.packet({ type: 'PAUSE', connectId: 1 });
    lane.send(text('a'));
    lane.close(closeRsp);
    expect(stream.of(1)).toEqual(['DATA a', 'CLOSE_RSP']);
    const other = laneOn();
    other.congest();
    other.lane.send(text('a'));
    other.lane.close(closeRsp);
    other.shared.packet({ type: 'PAUSE', connectId: 1 });
    other.drain();
    expect(other.stream.of(1)).toEqual(['DATA a', 'CLOSE_RSP']);
    expect([congest, drain]).toHaveLength(2);
  });

  test('is the last that the sink hears', () => {
    const { lane, sink, shared, stream, congest } = laneOn();
    congest();
    lane.send(text('a'));
    lane.close(closeRsp);
    shared.open(1, new SinkRecorder());
    expect([sink.events, lane.isOver, stream.sent]).toEqual([[], true, []]);
  });
});

describe('a sink that ends the connection', () => {
  test.each(['close', 'cut'] as const)('by %s as it is written to', (how) => {
    for (const held of [0, 1, 3]) {
      const { lane, sink, budget, shared } = laneOn();
      sink.hasRoom = held === 0;
      lane.receive(text('a'));
      for (let i = 0; i < held; i += 1) lane.receive(text(String(i)));
      sink.onWrite = () => (how === 'close' ? lane.close(closeRsp) : lane.cut('own', { tellPeer: true }));
      if (held === 0) lane.receive(text('b'));
      else sink.drain();
      expect([sink.text.length, lane.isOver, budget.heldBytes, shared.size]).toEqual([2, true, 0, 0]);
      expect(sink.events).toEqual(how === 'close' ? [] : ['cut own']);
    }
  });

  test.each(['close', 'cut'] as const)(
    'by %s as the last is written behind which the peer has closed',
    (how) => {
      const { lane, sink, shared } = laneOn();
      sink.hasRoom = false;
      lane.receive(text('a'));
      lane.receive(text('b'));
      shared.packet(closeReq);
      sink.onWrite = () => (how === 'close' ? lane.close(closeRsp) : lane.cut('own', { tellPeer: false }));
      sink.drain();
      expect([sink.events, lane.isOver]).toEqual([how === 'close' ? [] : ['cut own'], true]);
    },
  );

  test('as it is told of room', () => {
    const { lane, sink, stream, congest, drain } = laneOn();
    sink.onDrained = () => {
      lane.send(text('last'));
      lane.close(closeRsp);
    };
    congest();
    lane.send(text('a'));
    drain();
    expect([stream.of(1), lane.isOver]).toEqual([['DATA a', 'DATA last', 'CLOSE_RSP'], true]);
  });

  test('as it is told of the end', () => {
    for (const end of ['ended', 'cut']) {
      const { lane, sink, stream, shared } = laneOn();
      sink.onEnd = () => {
        lane.close(closeRsp);
        lane.cut('again', { tellPeer: true });
        lane.sinkDrained();
      };
      if (end === 'ended') shared.packet(closeReq);
      else lane.cut('over', { tellPeer: false });
      expect([sink.events.length, stream.sent]).toEqual([1, []]);
    }
  });
});
