import { describe, expect, test } from 'vitest';
import { GrpcStatus, grpcCode } from '../grpc-status.ts';
import type { Packet } from '../packet.ts';
import { Peer, fakeAgent, fakeFrontend, grpcTo, openThrough, startServer } from '../testing/server-peers.ts';

const noMore = () => new Promise((resolve) => setTimeout(resolve, 50));

describe('agents of a tunnel server', () => {
  test('are told at once who the server is and how many there are, and make it ready', async () => {
    const { server, agents } = await startServer({ serverCount: () => 3 });
    expect(server.readyAgents()).toBe(0);
    const agent = await fakeAgent(agents);
    expect(agent.metadata).toEqual(expect.arrayContaining(['serverid', 'server-1', 'servercount', '3']));
    expect(server.readyAgents()).toBe(1);
    agent.stream.cancel();
    await expect.poll(() => server.readyAgents()).toBe(0);
  });

  test.each([
    ['none', [], 'expected one agent ID in the context, got []'],
    ['two', ['agentid', 'a', 'agentid', 'b'], 'expected one agent ID in the context, got [a b]'],
  ])(
    'need one name: %s is refused in the words of the Go server (upstream: TestNewBackend)',
    async (_, metadata, message) => {
      const { server, agents } = await startServer();
      const agent = new Peer(await grpcTo(agents), { path: '/AgentService/Connect', metadata });
      await agent.until(() => agent.status !== undefined);
      expect(agent.status).toMatchObject({ code: grpcCode.unknown, message });
      expect(server.readyAgents()).toBe(0);
    },
  );

  test('are refused for what is wrong with their token, and nothing of them is in the table (upstream: TestAgentTokenAuthenticationErrorsToken)', async () => {
    const seen: (string | undefined)[] = [];
    const { server, agents } = await startServer({
      authenticateAgent: (authorization) => {
        seen.push(authorization);
        return authorization === 'Bearer good'
          ? Promise.resolve()
          : Promise.reject(new Error('no such token'));
      },
    });
    const bad = await fakeAgent(agents, { metadata: ['authorization', 'Bearer bad'] });
    expect(bad.status).toMatchObject({ code: grpcCode.unknown, message: 'no such token' });
    const good = await fakeAgent(agents, { metadata: ['authorization', 'Bearer good'] });
    expect(good.metadata).toBeDefined();
    expect(seen).toEqual(['Bearer bad', 'Bearer good']);
    expect(server.readyAgents()).toBe(1);
  });

  test('an unknown method is told so', async () => {
    const { frontend } = await startServer();
    const peer = new Peer(await grpcTo(frontend), { path: '/AgentService/Connect' });
    await peer.until(() => peer.status !== undefined);
    expect(peer.status).toMatchObject({ code: grpcCode.unimplemented });
  });
});

describe('a dial', () => {
  test('goes to the agent as it was asked for, and its connection carries bytes both ways (upstream: TestServerProxyNormalClose)', async () => {
    const { frontend, agents, metric } = await startServer();
    const agent = await fakeAgent(agents, { identifiers: 'host=somewhere' });
    const client = fakeFrontend(await grpcTo(frontend));
    client.stream.send({
      type: 'DIAL_REQ',
      protocol: 'tcp',
      address: 'somewhere:443',
      dialId: 2n ** 62n + 1n,
    });
    const asked = await agent.next('DIAL_REQ');
    expect(asked).toMatchObject({ protocol: 'tcp', address: 'somewhere:443' });
    expect(await metric('pending_backend_dials')).toBe(1);
    agent.stream.send({ type: 'DIAL_RSP', error: '', connectId: 5, dialId: asked.dialId });
    expect(await client.next('DIAL_RSP')).toEqual({
      ...{ type: 'DIAL_RSP', error: '', connectId: 5, dialId: 2n ** 62n + 1n },
    });
    client.stream.sendData(5, Buffer.from('hello'));
    expect((await agent.next('DATA')).data.toString()).toBe('hello');
    agent.stream.sendData(5, Buffer.from('world'));
    expect((await client.next('DATA')).data.toString()).toBe('world');
    expect(await metric('established_connections')).toBe(1);
    client.stream.send({ type: 'CLOSE_REQ', connectId: 5 });
    expect(await client.next('CLOSE_RSP')).toMatchObject({ connectId: 5, error: '' });
    expect(await agent.next('CLOSE_REQ')).toMatchObject({ connectId: 5 });
    await client.until(() => client.status !== undefined);
    expect(client.status).toMatchObject({ code: 0 });
    expect(await metric('established_connections')).toBe(0);
  });

  test('with the number of another frontend is a dial of its own', async () => {
    const { frontend, agents } = await startServer();
    const agent = await fakeAgent(agents);
    const connection = await grpcTo(frontend);
    const [one, other] = [fakeFrontend(connection), fakeFrontend(connection)];
    for (const [client, address] of [
      [one, 'a:1'],
      [other, 'b:1'],
    ] as const)
      client.stream.send({ type: 'DIAL_REQ', protocol: 'tcp', address, dialId: 1n });
    const asked = [await agent.next('DIAL_REQ'), await agent.next('DIAL_REQ')];
    for (const { address, dialId } of asked)
      agent.stream.send({ type: 'DIAL_RSP', error: '', connectId: address === 'a:1' ? 1 : 2, dialId });
    expect((await one.next('DIAL_RSP')).connectId).toBe(1);
    expect((await other.next('DIAL_RSP')).connectId).toBe(2);
  });

  test('that the destination refuses says so in the words of the agent, and another may follow', async () => {
    const { frontend, agents, metric } = await startServer();
    const agent = await fakeAgent(agents);
    const client = fakeFrontend(await grpcTo(frontend));
    client.stream.send({ type: 'DIAL_REQ', protocol: 'tcp', address: 'x:1', dialId: 3n });
    const error = 'dial tcp 127.0.0.1:1: connect: connection refused';
    agent.stream.send({
      type: 'DIAL_RSP',
      error,
      connectId: 0,
      dialId: (await agent.next('DIAL_REQ')).dialId,
    });
    expect(await client.next('DIAL_RSP')).toMatchObject({ error, dialId: 3n });
    expect(await metric('dial_failure_count{reason="error_response"}')).toBe(1);
    await openThrough(client, agent);
  });

  test('without an agent fails at once (upstream: TestServerProxyNoBackend)', async () => {
    const { frontend, agents, metric } = await startServer({ strategies: ['destHost'] });
    await fakeAgent(agents, { identifiers: 'host=other' });
    const client = fakeFrontend(await grpcTo(frontend));
    client.stream.send({ type: 'DIAL_REQ', protocol: 'tcp', address: 'x:1', dialId: 3n });
    expect(await client.next('DIAL_RSP')).toMatchObject({ error: 'No agent available', dialId: 3n });
    expect(await metric('dial_failure_count{reason="no_agent"}')).toBe(1);
  });

  test('that nobody answers ends by the timeout, and the agent is told', async () => {
    const { frontend, agents, metric } = await startServer({ dialTimeoutMs: 50 });
    const agent = await fakeAgent(agents);
    const client = fakeFrontend(await grpcTo(frontend));
    client.stream.send({ type: 'DIAL_REQ', protocol: 'tcp', address: 'x:1', dialId: 3n });
    const { dialId } = await agent.next('DIAL_REQ');
    expect(await client.next('DIAL_RSP')).toMatchObject({ error: 'timed out waiting for backend dial' });
    expect(await agent.next('DIAL_CLS')).toEqual({ type: 'DIAL_CLS', dialId });
    // Its answer comes all the same: the connection is nobody's.
    agent.stream.send({ type: 'DIAL_RSP', error: '', connectId: 9, dialId });
    expect(await agent.next('CLOSE_REQ')).toMatchObject({ connectId: 9 });
    expect(await metric('pending_backend_dials')).toBe(0);
    expect(await metric('dial_failure_count{reason="backend_dial_timeout"}')).toBe(1);
  });

  test.each(['DIAL_CLS', 'the end of the stream', 'a reset'] as const)(
    'is cancelled by %s: the agent is told, and a late answer is closed',
    async (how) => {
      const { frontend, agents, metric } = await startServer();
      const agent = await fakeAgent(agents);
      const client = fakeFrontend(await grpcTo(frontend));
      client.stream.send({ type: 'DIAL_REQ', protocol: 'tcp', address: 'x:1', dialId: 3n });
      const { dialId } = await agent.next('DIAL_REQ');
      if (how === 'DIAL_CLS') client.stream.send({ type: 'DIAL_CLS', dialId: 3n });
      else if (how === 'a reset') client.stream.cancel();
      else client.stream.finish();
      expect(await agent.next('DIAL_CLS')).toEqual({ type: 'DIAL_CLS', dialId });
      agent.stream.send({ type: 'DIAL_RSP', error: '', connectId: 4, dialId });
      expect(await agent.next('CLOSE_REQ')).toMatchObject({ connectId: 4 });
      expect(await metric('dial_failure_count{reason="frontend_close"}')).toBe(1);
      expect(await metric('pending_backend_dials')).toBe(0);
    },
  );

  test('of an agent that is lost goes to another one of the same identifier, and fails where there is none (upstream: agent killed during dial)', async () => {
    const { frontend, agents, metric } = await startServer({ strategies: ['destHost'] });
    const first = await fakeAgent(agents, { id: 'a', identifiers: 'host=x' });
    const client = fakeFrontend(await grpcTo(frontend));
    client.stream.send({ type: 'DIAL_REQ', protocol: 'tcp', address: 'x:1', dialId: 3n });
    await first.next('DIAL_REQ');
    const second = await fakeAgent(agents, { id: 'b', identifiers: 'host=x' });
    first.stream.cancel();
    await second.next('DIAL_REQ');
    second.stream.cancel();
    expect((await client.next('DIAL_RSP')).error).toBe('No agent available');
    expect(await metric('pending_backend_dials')).toBe(0);
  });

  test('beyond the limit of an agent fails at once; others are not touched', async () => {
    const { frontend, agents } = await startServer({ maxPendingDials: 3 });
    const agent = await fakeAgent(agents);
    const connection = await grpcTo(frontend);
    const clients = Array.from({ length: 4 }, () => fakeFrontend(connection));
    for (const client of clients)
      client.stream.send({ type: 'DIAL_REQ', protocol: 'tcp', address: 'x:1', dialId: 3n });
    expect((await clients[3]?.next('DIAL_RSP'))?.error).toMatch(/too many dials/);
    for (let at = 1; at <= 3; at += 1)
      agent.stream.send({
        type: 'DIAL_RSP',
        error: '',
        connectId: at,
        dialId: (await agent.next('DIAL_REQ')).dialId,
      });
    for (const client of clients.slice(0, 3)) expect((await client.next('DIAL_RSP')).error).toBe('');
  });

  test('is one for each stream: a second leaves the first alone (upstream: TestAlreadyDialed)', async () => {
    const { frontend, agents } = await startServer();
    const agent = await fakeAgent(agents);
    const client = fakeFrontend(await grpcTo(frontend));
    await openThrough(client, agent);
    client.stream.send({ type: 'DIAL_REQ', protocol: 'tcp', address: 'y:1', dialId: 8n });
    expect(await client.next('DIAL_RSP')).toMatchObject({
      dialId: 8n,
      error: 'a stream carries one connection',
    });
    client.stream.sendData(1, Buffer.from('still'));
    expect((await agent.next('DATA')).data.toString()).toBe('still');
  });
});

describe('a tunnel server', () => {
  test('prefers agents that do not drain, and takes one that does when there is no other (upstream: TestDefaultBackendManager_GetRandomBackend_DrainingFallback)', async () => {
    const { frontend, agents } = await startServer();
    const [draining, other] = [await fakeAgent(agents, { id: 'a' }), await fakeAgent(agents, { id: 'b' })];
    const connection = await grpcTo(frontend);
    draining.stream.send({ type: 'DRAIN' });
    await noMore();
    for (let i = 1; i <= 5; i += 1) await openThrough(fakeFrontend(connection), other, { connectId: i });
    other.stream.cancel();
    await noMore();
    await openThrough(fakeFrontend(connection), draining);
  });

  test('stops: GOAWAY, agents and frontends go on until the last connection ends', async () => {
    const { server, frontend, agents } = await startServer();
    const agent = await fakeAgent(agents);
    const connection = await grpcTo(frontend);
    const client = fakeFrontend(connection);
    await openThrough(client, agent);
    const closed = server.close();
    await expect.poll(() => connection.usable).toBe(false);
    client.stream.sendData(1, Buffer.from('late'));
    expect((await agent.next('DATA')).data.toString()).toBe('late');
    client.stream.send({ type: 'CLOSE_REQ', connectId: 1 });
    await closed;
    await agent.until(() => agent.status !== undefined);
    expect(agent.status).toBeInstanceOf(GrpcStatus);
  });

  test('that stops tells an agent that would drop everything when nothing runs through it any more', async () => {
    const { server, frontend, agents } = await startServer();
    const goAgent = await fakeAgent(agents, { id: 'go' });
    const idle = await fakeAgent(agents, { id: 'idle' });
    idle.stream.send({ type: 'DRAIN' });
    await noMore();
    const client = fakeFrontend(await grpcTo(frontend));
    await openThrough(client, goAgent);
    const ours = await fakeAgent(agents, { id: 'ours', canPause: true });
    const closed = server.close();
    await expect.poll(() => idle.connection.usable).toBe(false);
    expect(ours.connection.usable).toBe(false);
    expect(goAgent.connection.usable).toBe(true);
    client.stream.send({ type: 'CLOSE_REQ', connectId: 1 });
    await closed;
    await expect.poll(() => goAgent.connection.usable).toBe(false);
  });

  test('stands 3000 resets of one frontend (upstream: 3000 RSTs)', async () => {
    const { frontend, agents } = await startServer();
    const agent = await fakeAgent(agents);
    const connection = await grpcTo(frontend);
    for (let i = 0; i < 3_000; i += 1) {
      const client = fakeFrontend(connection);
      client.stream.send({ type: 'DIAL_REQ', protocol: 'tcp', address: 'x:1', dialId: BigInt(i) });
      client.stream.cancel();
      if (i % 100 === 0) await new Promise(setImmediate);
    }
    expect(connection.usable).toBe(true);
    const last = fakeFrontend(connection);
    last.stream.send({ type: 'DIAL_REQ', protocol: 'tcp', address: 'last:1', dialId: 5n });
    // It stands behind the dials that were reset.
    const isLast = (packet: Packet) => packet.type === 'DIAL_REQ' && packet.address === 'last:1';
    await agent.until(() => agent.packets.some(isLast));
    const asked = agent.packets.find(isLast);
    if (asked?.type === 'DIAL_REQ')
      agent.stream.send({ type: 'DIAL_RSP', error: '', connectId: 1, dialId: asked.dialId });
    expect(await last.next('DIAL_RSP')).toMatchObject({ error: '', connectId: 1 });
  });

  test('sends a frontend away that resets without end', async () => {
    const { frontend } = await startServer();
    const connection = await grpcTo(frontend);
    for (let i = 0; i < 30_000 && connection.usable; i += 1) {
      fakeFrontend(connection).stream.cancel();
      if (i % 100 === 0) await new Promise(setImmediate);
    }
    await expect.poll(() => connection.usable).toBe(false);
    expect(connection.wasTooImpatient).toBe(true);
  });
});
