import { describe, expect, test } from 'vitest';
import { until } from '../testing/agent-server.ts';
import {
  RawCall,
  callHead,
  dataFrames,
  endings,
  forEachBelow,
  messages,
  strangePacket,
} from '../testing/raw-call.ts';
import { connectTo, fakeAgent } from '../testing/server-peers.ts';
import { startServerWithCanary } from '../testing/server-with-canary.ts';
import type { Peer } from '../testing/server-peers.ts';
import type { Packet } from '../packet.ts';

/** Cuts that are tried at the same time. */
const atOnce = 16;
const timeout = 120_000;
const bytesOf = (text: string) => Buffer.from(text);

/** An agent that gives each connection the number in its address, `x:7`, and answers to no dial of `x:0`. */
async function numberingAgent(path: string): Promise<Peer> {
  const agent = await fakeAgent(path, { id: 'numbering', identifiers: 'host=x' });
  agent.onPacket = (packet) => {
    if (packet.type !== 'DIAL_REQ' || packet.address === 'x:0') return;
    const connectId = Number(packet.address.slice(2));
    agent.stream.send({ type: 'DIAL_RSP', error: '', connectId, dialId: packet.dialId });
  };
  return agent;
}

const dialTo = (connectId: number): Packet => ({
  ...{ type: 'DIAL_REQ', protocol: 'tcp', address: `x:${connectId}`, dialId: BigInt(connectId) + 2n ** 40n },
});
const data = (connectId: number, text: string): Packet => ({
  ...{ type: 'DATA', connectId, error: '', data: bytesOf(text) },
});

describe('a frontend whose bytes are cut anywhere', () => {
  const head = callHead('/ProxyService/Proxy');
  /** Everything that a frontend could send on an open connection, the close last. */
  const sequence = (connectId: number) =>
    messages(
      ...[data(connectId, 'hello '), strangePacket, { type: 'DRAIN' } as const],
      ...([{ type: 'DIAL_RSP', error: 'x', connectId: 7, dialId: 1n }, data(connectId, '')] as const),
      ...([
        { type: 'PAUSE', connectId },
        { type: 'RESUME', connectId },
      ] as const),
      ...([{ type: 'DIAL_CLS', dialId: 3n }, data(connectId, 'world')] as const),
      { type: 'CLOSE_REQ', connectId },
    );

  async function open(frontend: string, connectId: number): Promise<RawCall> {
    const call = new RawCall(await connectTo(frontend));
    call.write(Buffer.concat([head, dataFrames(messages(dialTo(connectId)))]));
    await until(() => call.count('DIAL_RSP') === 1, 'the answer');
    return call;
  }

  async function expectWhole(call: RawCall, agent: Peer, connectId: number): Promise<void> {
    await until(() => call.isOver, 'the end');
    expect(call.packets).toEqual([
      { type: 'DIAL_RSP', error: '', connectId, dialId: BigInt(connectId) + 2n ** 40n },
      { type: 'CLOSE_RSP', connectId, error: '' },
    ]);
    expect(call.lines.join(' ')).toMatch(/:status 200 .*grpc-status 0/);
    await agent.until(() =>
      agent.packets.some((each) => each.type === 'CLOSE_REQ' && each.connectId === connectId),
    );
    expect(agent.bytesOf(connectId).toString()).toBe('hello world');
    call.destroy();
  }

  test('before and in its dial is understood as one that is whole', { timeout }, async () => {
    const { frontend, agents, canarySings, expectClean } = await startServerWithCanary();
    const agent = await numberingAgent(agents);
    const bytes = (at: number) => Buffer.concat([head, dataFrames(messages(dialTo(at)))]);
    await forEachBelow(bytes(100).length, atOnce, async (cut) => {
      const connectId = cut + 100;
      const call = new RawCall(await connectTo(frontend));
      await call.writeCut(bytes(connectId), cut);
      await until(() => call.count('DIAL_RSP') === 1, `the answer of ${connectId}`);
      call.write(dataFrames(sequence(connectId)));
      await expectWhole(call, agent, connectId);
    });
    await canarySings();
    await expectClean();
  });

  test.each(['two writes', 'two DATA frames', 'DATA frames of one byte'])(
    'on its connection, into %s, is understood as one that is whole',
    { timeout },
    async (how) => {
      const { frontend, agents, canarySings, expectClean } = await startServerWithCanary();
      const agent = await numberingAgent(agents);
      const frame = dataFrames(sequence(100));
      const count =
        how === 'two writes' ? frame.length : how === 'two DATA frames' ? sequence(100).length : 20;
      await forEachBelow(count, atOnce, async (cut) => {
        const connectId = cut + 100;
        const call = await open(frontend, connectId);
        const packets = sequence(connectId);
        if (how === 'two writes') await call.writeCut(dataFrames(packets), cut);
        else if (how === 'two DATA frames')
          call.write(dataFrames(packets.subarray(0, cut), packets.subarray(cut)));
        else call.write(dataFrames(...Array.from(packets, (byte) => Buffer.from([byte]))));
        await expectWhole(call, agent, connectId);
      });
      await canarySings();
      await expectClean();
    },
  );

  test.each(endings)('by %s, before its dial is answered, leaves nothing', { timeout }, async (how) => {
    const { frontend, agents, canarySings, expectClean } = await startServerWithCanary();
    const agent = await numberingAgent(agents);
    const unanswered = messages(dialTo(0));
    const bytes = Buffer.concat([head, dataFrames(unanswered)]);
    // A stream ends between frames only; a connection anywhere.
    const ofConnection = how.includes('of it');
    const count = (ofConnection ? bytes.length : unanswered.length) + 1;
    await forEachBelow(count, atOnce, async (cut) => {
      const call = new RawCall(await connectTo(frontend));
      call.write(
        ofConnection
          ? bytes.subarray(0, cut)
          : Buffer.concat([head, dataFrames(unanswered.subarray(0, cut))]),
      );
      if (cut % 2 === 0) await new Promise(setImmediate);
      call.end(how);
      // Its connection stays open: the server lets go for the end of the stream alone.
      if (how === 'END_STREAM') await until(() => call.isOver, 'the end');
    });
    await canarySings();
    await expectClean();
    const dials = agent.packets.filter(({ type }) => type === 'DIAL_REQ').length;
    await agent.until(() => agent.packets.filter(({ type }) => type === 'DIAL_CLS').length === dials);
  });

  test.each(endings)('by %s, on its connection, closes it and leaves nothing', { timeout }, async (how) => {
    const { frontend, agents, canarySings, expectClean } = await startServerWithCanary();
    const agent = await numberingAgent(agents);
    const count = sequence(100).length + 1;
    await forEachBelow(count, atOnce, async (cut) => {
      const call = await open(frontend, cut + 100);
      call.write(dataFrames(sequence(cut + 100).subarray(0, cut)));
      if (cut % 2 === 0) await new Promise(setImmediate);
      call.end(how);
      // Its connection stays open: the server lets go for the end of the stream alone.
      if (how === 'END_STREAM') await until(() => call.isOver, 'the end');
    });
    const closed = () =>
      new Set(agent.packets.flatMap((each) => (each.type === 'CLOSE_REQ' ? [each.connectId] : [])));
    await agent.until(() => closed().size === count);
    expect(agent.packets.filter(({ type }) => type === 'CLOSE_REQ')).toHaveLength(count);
    for (const connectId of closed())
      expect('hello world'.startsWith(agent.bytesOf(connectId).toString())).toBe(true);
    await canarySings();
    await expectClean();
  });
});
