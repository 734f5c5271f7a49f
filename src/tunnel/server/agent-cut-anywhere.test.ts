import { describe, expect, test } from 'vitest';
import { agentIdHeader, agentIdentifiersHeader } from '../agent-identifiers.ts';
import type { GrpcConnection } from '../grpc-connection.ts';
import type { Packet } from '../packet.ts';
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
import { connectTo, fakeFrontend, grpcTo } from '../testing/server-peers.ts';
import type { Peer } from '../testing/server-peers.ts';
import { startServerWithCanary } from '../testing/server-with-canary.ts';

/** Cuts that are tried at the same time. */
const atOnce = 8;
const timeout = 120_000;

const headOf = (host: string) =>
  callHead('/AgentService/Connect', [agentIdHeader, host, agentIdentifiersHeader, `host=${host}`]);

/**
 * Everything that an agent could send, when three dials wait for it (servers count them from 1 on): the first is
 * answered, carries bytes and is closed, the second fails, the third is closed.
 */
const sequence = messages(
  { type: 'DIAL_RSP', error: '', connectId: 4, dialId: 1n },
  { type: 'DATA', connectId: 4, error: '', data: Buffer.from('hello ') },
  { type: 'PAUSE', connectId: 4 },
  strangePacket,
  { type: 'DIAL_RSP', error: 'refused', connectId: 0, dialId: 2n },
  { type: 'RESUME', connectId: 4 },
  { type: 'DIAL_CLS', dialId: 3n },
  { type: 'DATA', connectId: 99, error: '', data: Buffer.from('of nobody') },
  { type: 'DIAL_REQ', protocol: 'tcp', address: 'x:1', dialId: 1n },
  { type: 'CLOSE_REQ', connectId: 98 },
  { type: 'DATA', connectId: 4, error: '', data: Buffer.from('world') },
  { type: 'CLOSE_RSP', connectId: 4, error: 'bye' },
  { type: 'DRAIN' },
);

/** Three frontends that ask the agent of a host for a connection each, in this order. */
async function dialThree(connection: GrpcConnection, host: string, agent: RawCall) {
  const clients: Peer[] = [];
  for (const dialId of [1n, 2n, 3n]) {
    const client = fakeFrontend(connection);
    client.stream.send({ type: 'DIAL_REQ', protocol: 'tcp', address: `${host}:1`, dialId });
    clients.push(client);
    await until(() => agent.count('DIAL_REQ') === clients.length, `dial ${clients.length}`);
  }
  return clients as [Peer, Peer, Peer];
}

async function expectWhole([first, second, third]: [Peer, Peer, Peer], agent: RawCall): Promise<void> {
  expect(await first.next('DIAL_RSP')).toEqual({ type: 'DIAL_RSP', error: '', connectId: 4, dialId: 1n });
  expect(await first.next('CLOSE_RSP')).toEqual({ type: 'CLOSE_RSP', error: 'bye', connectId: 4 });
  expect(first.bytesOf(4).toString()).toBe('hello world');
  expect((await second.next('DIAL_RSP')).error).toBe('refused');
  // What an agent gives up is asked for again: of it, as there is no other.
  await until(() => agent.count('DIAL_REQ') === 4, 'the dial that is made again');
  await until(() => agent.count('CLOSE_REQ') > 0, 'the close of a connection that is none');
  expect(agent.packets.filter(({ type }) => type === 'CLOSE_REQ')).toEqual([
    { type: 'CLOSE_REQ', connectId: 99 },
  ]);
  agent.end('END_STREAM');
  expect((await third.next('DIAL_RSP')).error).toBe('No agent available');
  second.stream.finish();
  third.stream.finish();
  await until(() => agent.isOver, 'the end of the agent');
  agent.destroy();
}

describe('an agent whose bytes are cut anywhere', () => {
  test('before its server knows it is understood as one that is whole', { timeout }, async () => {
    const { frontend, agents, server, canarySings, expectClean } = await startServerWithCanary();
    const connection = await grpcTo(frontend);
    await forEachBelow(headOf('h100').length, atOnce, async (cut) => {
      const host = `h${cut + 100}`;
      const agent = new RawCall(await connectTo(agents));
      await agent.writeCut(headOf(host), cut);
      await until(() => agent.lines.includes('serverid'), 'the answer');
      const clients = await dialThree(connection, host, agent);
      agent.write(dataFrames(sequence));
      await expectWhole(clients, agent);
    });
    await canarySings();
    await expectClean();
    expect(server.readyAgents()).toBe(1);
  });

  test.each(['two writes', 'two DATA frames', 'DATA frames of one byte'])(
    'into %s is understood as one that is whole',
    { timeout },
    async (how) => {
      const { frontend, agents, canarySings, expectClean } = await startServerWithCanary();
      const connection = await grpcTo(frontend);
      const whole = dataFrames(sequence);
      const count = how === 'two writes' ? whole.length : how === 'two DATA frames' ? sequence.length : 10;
      await forEachBelow(count, atOnce, async (cut) => {
        const host = `h${cut}`;
        const agent = new RawCall(await connectTo(agents));
        agent.write(headOf(host));
        await until(() => agent.lines.includes('serverid'), 'the answer');
        const clients = await dialThree(connection, host, agent);
        if (how === 'two writes') await agent.writeCut(whole, cut);
        else if (how === 'two DATA frames')
          agent.write(dataFrames(sequence.subarray(0, cut), sequence.subarray(cut)));
        else agent.write(dataFrames(...Array.from(sequence, (byte) => Buffer.from([byte]))));
        await expectWhole(clients, agent);
      });
      await canarySings();
      await expectClean();
    },
  );

  test.each(endings)('and end there by %s leaves no dial and no connection', { timeout }, async (how) => {
    const { frontend, agents, server, canarySings, expectClean } = await startServerWithCanary();
    const connection = await grpcTo(frontend);
    await forEachBelow(sequence.length + 1, atOnce, async (cut) => {
      const host = `h${cut}`;
      const agent = new RawCall(await connectTo(agents));
      agent.write(headOf(host));
      await until(() => agent.lines.includes('serverid'), 'the answer');
      const clients = await dialThree(connection, host, agent);
      agent.write(dataFrames(sequence.subarray(0, cut)));
      if (cut % 2 === 0) await new Promise(setImmediate);
      agent.end(how);
      for (const client of clients) {
        const isTold = ({ type, ...rest }: Packet) =>
          type === 'CLOSE_RSP' || (type === 'DIAL_RSP' && 'error' in rest && rest.error !== '');
        await client.until(() => client.packets.some(isTold));
        client.stream.finish();
      }
      const said = clients[0].bytesOf(4).toString();
      expect('hello world'.startsWith(said)).toBe(true);
    });
    await canarySings();
    await expectClean();
    await expect.poll(() => server.readyAgents()).toBe(1);
  });
});
