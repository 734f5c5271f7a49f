import { describe, expect, test } from 'vitest';
import { grpcCode } from '../grpc-status.ts';
import {
  connectTo,
  fakeAgent,
  fakeAgentOn,
  fakeFrontend,
  grpcOn,
  grpcTo,
  openThrough,
  startServer,
} from '../testing/server-peers.ts';
import type { Peer } from '../testing/server-peers.ts';

/** A dial that the agent has not answered. */
async function pendingDial(client: Peer, agent: Peer): Promise<bigint> {
  client.stream.send({ type: 'DIAL_REQ', protocol: 'tcp', address: 'x:1', dialId: 5n });
  return (await agent.next('DIAL_REQ')).dialId;
}

describe('frontends', () => {
  test('are known as long as their streams are open (upstream: TestAddRemoveFrontends)', async () => {
    const { frontend, metric } = await startServer();
    const streams = () => metric('grpc_connections{service_method="Proxy"}');
    const connections = [await grpcTo(frontend), await grpcTo(frontend)] as const;
    const [one, other, third] = [
      fakeFrontend(connections[0]),
      fakeFrontend(connections[0]),
      fakeFrontend(connections[1]),
    ];
    await expect.poll(streams).toBe(3);
    one.stream.finish();
    await expect.poll(streams).toBe(2);
    other.stream.cancel();
    await expect.poll(streams).toBe(1);
    connections[1].destroy();
    await third.until(() => third.status !== undefined);
    await expect.poll(streams).toBe(0);
  });

  test('take their own pending dial with them, and no other (upstream: TestRemovePendingDialForStream)', async () => {
    const { frontend, agents, metric } = await startServer();
    const agent = await fakeAgent(agents);
    const connection = await grpcTo(frontend);
    const clients = [fakeFrontend(connection), fakeFrontend(connection), fakeFrontend(connection)] as const;
    const dialIds: bigint[] = [];
    for (const client of clients) dialIds.push(await pendingDial(client, agent));
    clients[1].stream.cancel();
    expect(await agent.next('DIAL_CLS')).toEqual({ type: 'DIAL_CLS', dialId: dialIds[1] });
    expect(await metric('pending_backend_dials')).toBe(2);
    for (const at of [0, 2]) {
      agent.stream.send({ type: 'DIAL_RSP', error: '', connectId: at + 1, dialId: dialIds[at] ?? 0n });
      expect((await (clients[at] as Peer).next('DIAL_RSP')).connectId).toBe(at + 1);
    }
  });

  test('that end their side end their connection, behind what they sent (upstream: END_STREAM as close)', async () => {
    const { frontend, agents, metric } = await startServer();
    const agent = await fakeAgent(agents);
    const client = fakeFrontend(await grpcTo(frontend));
    await openThrough(client, agent);
    client.stream.sendData(1, Buffer.from('last words'));
    client.stream.finish();
    expect(await agent.next('CLOSE_REQ')).toMatchObject({ connectId: 1 });
    expect(agent.bytesOf(1).toString()).toBe('last words');
    await client.until(() => client.status !== undefined);
    expect(client.status?.code).toBe(grpcCode.ok);
    expect(await metric('established_connections')).toBe(0);
  });
});

describe('connections', () => {
  test('are counted while they are open, and how long they were (upstream: TestEstablishedConnsMetric, TestConnectionDurationMetric)', async () => {
    const { frontend, agents, metric } = await startServer();
    const agent = await fakeAgent(agents);
    const connection = await grpcTo(frontend);
    const clients = [fakeFrontend(connection), fakeFrontend(connection)] as const;
    for (const [at, client] of clients.entries()) await openThrough(client, agent, { connectId: at + 1 });
    expect(await metric('established_connections')).toBe(2);
    expect(await metric('connection_duration_seconds_count')).toBe(0);
    await new Promise((resolve) => setTimeout(resolve, 60));
    clients[0].stream.send({ type: 'CLOSE_REQ', connectId: 1 });
    await clients[0].next('CLOSE_RSP');
    expect(await metric('established_connections')).toBe(1);
    expect(await metric('connection_duration_seconds_count')).toBe(1);
    expect(await metric('connection_duration_seconds_sum')).toBeGreaterThan(0.05);
    agent.stream.send({ type: 'CLOSE_RSP', connectId: 2, error: '' });
    await clients[1].next('CLOSE_RSP');
    expect(await metric('established_connections')).toBe(0);
    expect(await metric('connection_duration_seconds_count')).toBe(2);
  });

  test('end with their agent, all of them and no other’s (upstream: TestRemoveEstablishedForBackendConn)', async () => {
    const { frontend, agents, metric } = await startServer({ strategies: ['destHost'] });
    const [lost, stays] = [
      await fakeAgent(agents, { id: 'a', identifiers: 'host=lost' }),
      await fakeAgent(agents, { id: 'b', identifiers: 'host=stays' }),
    ];
    const connection = await grpcTo(frontend);
    const [one, two, other] = [fakeFrontend(connection), fakeFrontend(connection), fakeFrontend(connection)];
    await openThrough(one, lost, { connectId: 1, address: 'lost:1' });
    await openThrough(two, lost, { connectId: 2, address: 'lost:1' });
    await openThrough(other, stays, { connectId: 1, address: 'stays:1' });
    lost.stream.cancel();
    expect(await one.next('CLOSE_RSP')).toMatchObject({ connectId: 1 });
    expect(await two.next('CLOSE_RSP')).toMatchObject({ connectId: 2 });
    expect(await metric('established_connections')).toBe(1);
    other.stream.sendData(1, Buffer.from('still'));
    expect((await stays.next('DATA')).data.toString()).toBe('still');
  });

  test('end with their frontend’s stream, and no other’s (upstream: TestRemoveEstablishedForStream)', async () => {
    const { frontend, agents, metric } = await startServer();
    const agent = await fakeAgent(agents);
    const connection = await grpcTo(frontend);
    const [gone, stays] = [fakeFrontend(connection), fakeFrontend(connection)];
    await openThrough(gone, agent, { connectId: 1 });
    await openThrough(stays, agent, { connectId: 2 });
    gone.stream.cancel();
    expect(await agent.next('CLOSE_REQ')).toEqual({ type: 'CLOSE_REQ', connectId: 1 });
    expect(await metric('established_connections')).toBe(1);
    stays.stream.sendData(2, Buffer.from('still'));
    expect((await agent.next('DATA')).data.toString()).toBe('still');
  });
});

describe('agents', () => {
  test('are counted while they are connected (upstream: TestReadyBackendsMetric)', async () => {
    const { agents, metric } = await startServer({ strategies: ['default'] });
    const count = () => metric('ready_backends{proxy_strategy="default"}');
    expect(await count()).toBe(0);
    const agent = await fakeAgent(agents);
    expect(await count()).toBe(1);
    agent.stream.cancel();
    await expect.poll(count).toBe(0);
  });

  test.each([
    ['default', '', 'anything:1'],
    ['defaultRoute', 'default-route=true', 'anything:1'],
    ['destHost', 'host=one', 'one:1'],
  ] as const)(
    'are found from their coming to their going by %s (upstream: TestDefaultBackendManager_AddRemoveBackends, TestAddRemoveBackends_DefaultStrategy, TestDefaultRouteBackendManager_AddRemoveBackends, TestAddRemoveBackends_DefaultRouteStrategy)',
    async (strategy, identifiers, address) => {
      const { frontend, agents, server } = await startServer({ strategies: [strategy] });
      const client = fakeFrontend(await grpcTo(frontend));
      const answer = async () => {
        client.stream.send({ type: 'DIAL_REQ', protocol: 'tcp', address, dialId: 5n });
        return (await client.next('DIAL_RSP')).error;
      };
      expect(await answer()).toBe('No agent available');
      // It is found by none of these but by all of them by `default`.
      const other = strategy === 'default' ? undefined : await fakeAgent(agents, { identifiers: 'host=two' });
      expect(await answer()).toBe('No agent available');
      const agent = await fakeAgent(agents, { id: 'agent-2', identifiers });
      await openThrough(client, agent, { address });
      agent.stream.cancel();
      expect(await client.next('CLOSE_RSP')).toMatchObject({ connectId: 1 });
      await expect.poll(() => server.readyAgents()).toBe(other ? 1 : 0);
      const late = fakeFrontend(await grpcTo(frontend));
      late.stream.send({ type: 'DIAL_REQ', protocol: 'tcp', address, dialId: 6n });
      expect((await late.next('DIAL_RSP')).error).toBe('No agent available');
    },
  );

  test('are found by an address without its port, or with an IPv6 address in brackets (upstream: TestAddRemoveBackends_DestHostSanitizeRequest)', async () => {
    const { frontend, agents } = await startServer({ strategies: ['destHost'] });
    const agent = await fakeAgent(agents, { identifiers: 'host=node1.test&ipv4=1.2.3.4&ipv6=9878::1' });
    const connection = await grpcTo(frontend);
    for (const [at, address] of ['node1.test:443', '1.2.3.4:443', '[9878::1]:443', 'node1.test'].entries())
      await openThrough(fakeFrontend(connection), agent, { address, connectId: at + 1 });
    const stranger = fakeFrontend(connection);
    stranger.stream.send({ type: 'DIAL_REQ', protocol: 'tcp', address: '127.0.0.1:443', dialId: 5n });
    expect((await stranger.next('DIAL_RSP')).error).toBe('No agent available');
  });

  test('that read nothing cost a CONNECT its time, and leave no pending dial (upstream: TestHTTPConnectTunnelBlockedBackendDialSendTimesOutCleansPendingDialAndRetiresBackend)', async () => {
    const { frontend, agents, metric } = await startServer({ mode: 'http-connect', dialTimeoutMs: 400 });
    const socket = await connectTo(agents);
    await fakeAgentOn(await grpcOn(socket));
    socket.pause();
    const client = await connectTo(frontend);
    const chunks: Buffer[] = [];
    client.on('data', (chunk: Buffer) => chunks.push(chunk));
    client.write('CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n');
    await expect.poll(() => metric('pending_backend_dials')).toBe(1);
    await expect.poll(() => Buffer.concat(chunks).toString()).toMatch(/^HTTP\/1\.1 504 /);
    expect(await metric('pending_backend_dials')).toBe(0);
    expect(await metric('dial_failure_count{reason="backend_dial_timeout"}')).toBe(1);
  });
});
