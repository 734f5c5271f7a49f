import { describe, expect, test } from 'vitest';
import { fakeAgent, fakeFrontend, grpcTo, openThrough, startServer } from '../testing/server-peers.ts';
import type { Peer } from '../testing/server-peers.ts';

const mebibyte = 1024 * 1024;
/** How far a frontend may send ahead. */
const windowBytes = 512 * 1024;

describe('connections whose agent has paused them', () => {
  /** So many of them on one HTTP/2 connection, each with a full window. */
  async function setUp(count: number, maxHeldBytes: number) {
    const { frontend, agents, metric } = await startServer({ maxHeldBytes });
    const agent = await fakeAgent(agents, { canPause: true });
    const connection = await grpcTo(frontend);
    const clients: Peer[] = [];
    const piece = Buffer.alloc(64 * 1024);
    for (let connectId = 1; connectId <= count; connectId += 1) {
      const client = fakeFrontend(connection);
      clients.push(client);
      await openThrough(client, agent, { connectId });
      agent.stream.send({ type: 'PAUSE', connectId });
      await new Promise(setImmediate);
      for (let sent = 0; sent < windowBytes; sent += piece.length) client.stream.sendData(connectId, piece);
    }
    /** Another one on the same HTTP/2 connection. */
    const carriesAnother = async () => {
      const lively = fakeFrontend(connection);
      await openThrough(lively, agent, { connectId: 1_000 });
      lively.stream.sendData(1_000, Buffer.from('through'));
      await agent.until(() => agent.bytesOf(1_000).toString() === 'through');
      lively.stream.cancel();
    };
    return { agent, clients, metric, carriesAnother };
  }

  test('do not stop another one on their HTTP/2 connection, however much waits on it', async () => {
    const { agent, clients, metric, carriesAnother } = await setUp(150, 256 * mebibyte);
    await carriesAnother();
    // The heads of packets are part of the window, and not of what waits.
    await expect.poll(() => metric('held_bytes')).toBeGreaterThan(149 * windowBytes);
    const closed = agent.packets.filter(
      (packet) => packet.type === 'CLOSE_REQ' && packet.connectId !== 1_000,
    );
    expect(closed).toEqual([]);
    for (let connectId = 1; connectId <= 150; connectId += 1)
      agent.stream.send({ type: 'RESUME', connectId });
    await expect.poll(() => metric('held_bytes'), { timeout: 10_000 }).toBe(0);
    await agent.until(() => agent.bytesOf(150).length === windowBytes);
    await expect.poll(() => metric('held_bytes'), { timeout: 10_000 }).toBe(0);
    expect(clients.every(({ status }) => status === undefined)).toBe(true);
  });

  test('are cut beyond what may wait in the server, those with most first, and no other', async () => {
    const { agent, clients, metric, carriesAnother } = await setUp(30, 8 * mebibyte);
    await expect.poll(() => clients.filter(({ status }) => status !== undefined).length).toBeGreaterThan(13);
    expect(await metric('held_bytes')).toBeLessThanOrEqual(8 * mebibyte);
    const cut = clients.filter(({ status }) => status !== undefined);
    for (const client of cut) expect((await client.next('CLOSE_RSP')).error).toMatch(/too slow/);
    await agent.until(() => agent.packets.filter(({ type }) => type === 'CLOSE_REQ').length === cut.length);
    expect(await metric('slow_reader_cuts_total')).toBe(cut.length);
    // Eight mebibytes are the windows of sixteen.
    expect(clients.length - cut.length).toBeGreaterThanOrEqual(15);
    await carriesAnother();
    for (const client of clients) client.stream.cancel();
    await expect.poll(() => metric('held_bytes'), { timeout: 10_000 }).toBe(0);
  });
});
