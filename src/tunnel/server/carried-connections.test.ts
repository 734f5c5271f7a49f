import { describe, expect, test } from 'vitest';
import { fakeAgent, fakeFrontend, grpcTo, openThrough, startServer } from '../testing/server-peers.ts';

const noMore = () => new Promise((resolve) => setTimeout(resolve, 50));

describe('a connection', () => {
  test('belongs to the stream that dialled it: foreign numbers reach nobody (upstream: TestServerProxyConnectionMismatch, foreign connID)', async () => {
    const { frontend, agents } = await startServer();
    const agent = await fakeAgent(agents);
    const connection = await grpcTo(frontend);
    const [victim, thief] = [fakeFrontend(connection), fakeFrontend(connection)];
    await openThrough(victim, agent, { connectId: 1 });
    await openThrough(thief, agent, { connectId: 2 });
    thief.stream.sendData(1, Buffer.from('injected'));
    expect(await thief.next('CLOSE_RSP')).toMatchObject({ connectId: 2, error: 'mismatched connection IDs' });
    expect(await thief.next('CLOSE_RSP')).toMatchObject({ connectId: 1, error: 'mismatched connection IDs' });
    expect(await agent.next('CLOSE_REQ')).toMatchObject({ connectId: 2 });
    victim.stream.sendData(1, Buffer.from('mine'));
    await agent.until(() => agent.bytesOf(1).length > 0);
    expect(agent.bytesOf(1).toString()).toBe('mine');
    const other = fakeFrontend(connection);
    await openThrough(other, agent, { connectId: 3 });
    other.stream.send({ type: 'CLOSE_REQ', connectId: 1 });
    expect(await agent.next('CLOSE_REQ')).toMatchObject({ connectId: 3 });
    await noMore();
    expect(agent.packets.filter(({ type }) => type === 'CLOSE_REQ')).toEqual([]);
    expect(victim.status).toBeUndefined();
  });

  test('belongs to the stream of its agent: two agents of one name may use the same numbers (upstream: TestRemoveEstablishedForBackendConnPreservesOtherBackends, same agentID and connID)', async () => {
    const { frontend, agents } = await startServer({ strategies: ['destHost'] });
    const [one, other] = [
      await fakeAgent(agents, { id: 'same', identifiers: 'host=one' }),
      await fakeAgent(agents, { id: 'same', identifiers: 'host=other' }),
    ];
    const connection = await grpcTo(frontend);
    const [a, b] = [fakeFrontend(connection), fakeFrontend(connection)];
    await openThrough(a, one, { address: 'one:1' });
    await openThrough(b, other, { address: 'other:1' });
    one.stream.sendData(1, Buffer.from('for a'));
    other.stream.sendData(1, Buffer.from('for b'));
    expect((await a.next('DATA')).data.toString()).toBe('for a');
    expect((await b.next('DATA')).data.toString()).toBe('for b');
    one.stream.cancel();
    expect(await a.next('CLOSE_RSP')).toMatchObject({ connectId: 1 });
    other.stream.sendData(1, Buffer.from('still'));
    expect((await b.next('DATA')).data.toString()).toBe('still');
  });

  test('that the agent closes has all its bytes before its end (upstream: data then close)', async () => {
    const { frontend, agents } = await startServer();
    const agent = await fakeAgent(agents);
    const client = fakeFrontend(await grpcTo(frontend, 64 * 1024));
    client.reads = false;
    await openThrough(client, agent);
    const bytes = Buffer.alloc(1024 * 1024, 'x');
    for (let at = 0; at < bytes.length; at += 32_768)
      agent.stream.sendData(1, bytes.subarray(at, at + 32_768));
    agent.stream.send({ type: 'CLOSE_RSP', connectId: 1, error: 'done' });
    await noMore();
    expect(client.bytesOf(1).length).toBeLessThanOrEqual(64 * 1024);
    client.readOn();
    expect(await client.next('CLOSE_RSP')).toMatchObject({ error: 'done' });
    expect(client.bytesOf(1).equals(bytes)).toBe(true);
  });

  test.each([true, false])(
    'whose frontend reads nothing holds up no other (agent understands PAUSE: %s) (upstream: slow reader isolation)',
    async (canPause) => {
      const { frontend, agents, metric } = await startServer();
      const agent = await fakeAgent(agents, { canPause });
      const connection = await grpcTo(frontend, 64 * 1024);
      const [stuck, lively] = [fakeFrontend(connection), fakeFrontend(connection)];
      stuck.reads = false;
      await openThrough(stuck, agent, { connectId: 1 });
      await openThrough(lively, agent, { connectId: 2 });
      const piece = Buffer.alloc(64 * 1024);
      let sent = 0;
      for (; sent < 512 * 1024; sent += piece.length) agent.stream.sendData(1, piece);
      agent.stream.sendData(2, Buffer.from('through'));
      expect((await lively.next('DATA')).data.toString()).toBe('through');
      if (canPause) {
        expect(await agent.next('PAUSE')).toMatchObject({ connectId: 1 });
        stuck.readOn();
        expect(await agent.next('RESUME')).toMatchObject({ connectId: 1 });
        await stuck.until(() => stuck.bytesOf(1).length === sent);
        return;
      }
      // A Go agent goes on: this one connection is cut when it holds up half of the window and nobody reads it.
      for (; sent < 5 * 1024 * 1024; sent += piece.length) agent.stream.sendData(1, piece);
      expect(await agent.next('CLOSE_REQ')).toMatchObject({ connectId: 1 });
      stuck.readOn();
      expect((await stuck.next('CLOSE_RSP')).error).toMatch(/too slow/);
      expect(await metric('slow_reader_cuts_total')).toBe(1);
      expect(await metric('held_bytes')).toBe(0);
      agent.stream.sendData(2, Buffer.from('still'));
      expect((await lively.next('DATA')).data.toString()).toBe('still');
    },
  );

  test('of an agent that pauses it sends no more than its window, and others go on (upstream: TestServerProxyRecvChanFull, slow destination isolation)', async () => {
    const { frontend, agents } = await startServer();
    const agent = await fakeAgent(agents, { canPause: true });
    const connection = await grpcTo(frontend);
    const [paused, lively] = [fakeFrontend(connection), fakeFrontend(connection)];
    await openThrough(paused, agent, { connectId: 1 });
    await openThrough(lively, agent, { connectId: 2 });
    agent.stream.send({ type: 'PAUSE', connectId: 1 });
    await noMore();
    const piece = Buffer.alloc(64 * 1024);
    let blocked = false;
    let sent = 0;
    for (; !blocked && sent < 8 * 1024 * 1024; sent += piece.length) {
      blocked = !paused.stream.sendData(1, piece);
      await new Promise(setImmediate);
    }
    expect(blocked).toBe(true);
    expect(sent).toBeLessThan(2 * 1024 * 1024);
    expect(agent.bytesOf(1).length).toBe(0);
    lively.stream.sendData(2, Buffer.from('through'));
    await agent.until(() => agent.bytesOf(2).length > 0);
    agent.stream.send({ type: 'RESUME', connectId: 1 });
    await agent.until(() => agent.bytesOf(1).length === sent);
  });

  test('takes packets of 5 MiB, which the agent gets in smaller ones (upstream: 5 MiB DATA)', async () => {
    const { frontend, agents } = await startServer();
    const agent = await fakeAgent(agents);
    const client = fakeFrontend(await grpcTo(frontend));
    await openThrough(client, agent);
    const bytes = Buffer.alloc(5 * 1024 * 1024, 'y');
    client.stream.sendData(1, bytes);
    await agent.until(() => agent.bytesOf(1).length === bytes.length);
    const sizes = agent.packets.map((packet) => (packet.type === 'DATA' ? packet.data.length : 0));
    expect(Math.max(...sizes)).toBeLessThanOrEqual(64 * 1024);
  });

  test('that was never open is said to be closed (upstream: TestServerProxyNoDial)', async () => {
    const { frontend, agents } = await startServer();
    const agent = await fakeAgent(agents);
    const client = fakeFrontend(await grpcTo(frontend));
    client.stream.sendData(4, Buffer.from('x'));
    expect(await client.next('CLOSE_RSP')).toMatchObject({ connectId: 4, error: 'backend not initialized' });
    client.stream.send({ type: 'CLOSE_REQ', connectId: 4 });
    expect(await client.next('CLOSE_RSP')).toMatchObject({ connectId: 4, error: 'backend uninitialized' });
    agent.stream.sendData(77, Buffer.from('x'));
    expect(await agent.next('CLOSE_REQ')).toMatchObject({ connectId: 77 });
  });
});
