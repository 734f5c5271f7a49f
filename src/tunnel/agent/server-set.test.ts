import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import {
  AgentServer,
  Relay,
  onTestEnd,
  startAgentServer,
  startDestination,
  startEcho,
  until,
} from '../testing/agent-server.ts';
import { startTestAgent } from '../testing/agent-under-test.ts';

/** Several servers, and a load balancer in front of them that takes them in turn. */
async function balanced(ids: readonly string[], serverCount: number) {
  const servers = await Promise.all(ids.map((serverId) => startAgentServer({ serverId, serverCount })));
  const state = { next: 0, servers };
  const relay = new Relay(() => {
    const server = state.servers[state.next % state.servers.length];
    state.next += 1;
    if (!server) throw new Error('there is no server');
    return server.address;
  });
  return { state, servers, relay, address: await relay.listen() };
}

describe('behind one address', () => {
  test('servers are found until there are as many as they say', async () => {
    const { servers, relay, address } = await balanced(['a', 'b', 'c'], 3);
    const { agent, metric } = await startTestAgent([address]);
    await Promise.all(servers.map((server) => server.nextCall(1)));
    await until(() => agent.isReady);
    const accepted = relay.accepted;
    await sleep(300);
    expect(relay.accepted).toBe(accepted);
    expect(await metric('open_server_connections')).toBe(3);
    expect(await metric('known_server_count')).toBe(3);
    const echo = await startEcho();
    for (const server of servers) await server.call.open(echo.address);
  });

  test('a second connection to one server is closed, and others are looked for at the usual pace', async () => {
    const { servers, relay, address } = await balanced(['a'], 2);
    const { agent, metric } = await startTestAgent([address], {
      syncIntervalMs: 50,
      syncIntervalCapMs: 10_000,
    });
    const [server] = servers;
    await server?.nextCall(4);
    expect(await metric('open_server_connections')).toBe(1);
    await until(() => (server?.openConnections ?? 0) <= 2);
    // It does not wait longer and longer: a load balancer gives another server in the end.
    const before = relay.accepted;
    await sleep(500);
    expect(relay.accepted - before).toBeGreaterThanOrEqual(4);
    expect(relay.accepted - before).toBeLessThanOrEqual(25);
    expect(agent.isReady).toBe(true);
  });

  test('servers that are down do not make it wait for longer and longer, as long as another answers', async () => {
    const { servers, relay, address } = await balanced(['a', 'b'], 2);
    await servers[1]?.stop();
    await startTestAgent([address], { syncIntervalMs: 50, syncIntervalCapMs: 10_000 });
    await servers[0]?.nextCall(1);
    const before = relay.accepted;
    // Every second try fails; growing by half each time, thirty of them would take half a minute.
    await until(() => relay.accepted - before >= 30, 'thirty tries', 5_000);
  });

  test('a server that is lost is missed, and one that comes is found', async () => {
    const { state, servers, address } = await balanced(['a', 'b'], 2);
    const { metric } = await startTestAgent([address]);
    await Promise.all(servers.map((server) => server.nextCall(1)));
    const [first, second] = servers;
    if (!first || !second) throw new Error('there are two');
    state.servers = [second];
    await first.stop();
    await until(() => second.calls.length >= 2);
    expect(await metric('open_server_connections')).toBe(1);
    const third = await startAgentServer({ serverId: 'c', serverCount: 2 });
    state.servers = [second, third];
    await third.nextCall(1);
    await until(() => third.openConnections === 1);
  });

  test('with sync-forever one that nobody counted is found, too', async () => {
    const { state, servers, address } = await balanced(['a'], 1);
    await startTestAgent([address], { syncForever: true });
    await servers[0]?.nextCall(3);
    const late = await startAgentServer({ serverId: 'late', serverCount: 1 });
    state.servers = [late];
    await late.nextCall(1);
  });
});

describe('with several addresses', () => {
  test('each is connected to, however many there are said to be', async () => {
    const servers = await Promise.all(
      ['a', 'b', 'c'].map((serverId) => startAgentServer({ serverId, serverCount: 1 })),
    );
    const { metric } = await startTestAgent(servers.map(({ address }) => address));
    await Promise.all(servers.map((server) => server.nextCall(1)));
    await sleep(100);
    expect(servers.map(({ calls }) => calls.length)).toEqual([1, 1, 1]);
    expect(await metric('open_server_connections')).toBe(3);
  });

  test('of a server that has two of them one is left alone, until the other connection is lost', async () => {
    const server = await startAgentServer({ serverId: 'a' });
    const relays = [new Relay(() => server.address), new Relay(() => server.address)];
    const addresses = await Promise.all(relays.map((relay) => relay.listen()));
    const { agent, metric } = await startTestAgent(addresses);
    await server.nextCall(2);
    await until(() => server.openConnections === 1);
    await sleep(300);
    expect(server.calls).toHaveLength(2);
    expect(await metric('open_server_connections')).toBe(1);
    for (const call of server.calls) call.connection.destroy();
    await server.nextCall(3);
    await until(() => agent.isReady);
  });

  test('names are resolved again and again; who has gone is not dialled any more', async () => {
    const a = await startAgentServer({ serverId: 'a' });
    let ips = ['127.0.0.1'];
    const lookup = () => Promise.resolve(ips);
    const { metric, log } = await startTestAgent([{ host: 'localhost', port: a.address.port }], { lookup });
    await a.nextCall(1);
    await until(() => log.some(({ message }) => message === 'connected to a server'));
    ips = [];
    await sleep(300);
    // It is left in peace as long as it lasts.
    expect(await metric('open_server_connections')).toBe(1);
    await a.stop();
    const again = new AgentServer({ serverId: 'a', port: a.address.port });
    await again.listen();
    onTestEnd(() => again.stop());
    await sleep(400);
    expect(again.accepted).toBe(0);
    ips = ['127.0.0.1'];
    await again.nextCall(1);
  });
});

describe('a server that cannot be reached', () => {
  test('is tried again with growing pauses, and connected to when it is back', async () => {
    const first = await startAgentServer();
    const { address } = first;
    const { agent, log } = await startTestAgent([address], { syncIntervalMs: 20, syncIntervalCapMs: 150 });
    await first.nextCall(1);
    await until(() => agent.isReady);
    await first.stop();
    await until(() => !agent.isReady);
    const failures = () =>
      log.filter(({ message }) => message === 'a server could not be connected to').length;
    await sleep(1_000);
    // 20 ms, growing by half to 150 ms, each of them shortened by up to half.
    expect(failures()).toBeGreaterThanOrEqual(6);
    expect(failures()).toBeLessThanOrEqual(24);
    const back = new AgentServer({ port: address.port });
    await back.listen();
    onTestEnd(() => back.stop());
    await back.nextCall(1);
    await until(() => agent.isReady);
  });

  test('one that lets go at once is not asked all the time', async () => {
    const server = await startAgentServer({ answer: (call) => call.connection.destroy() });
    await startTestAgent([server.address], { syncIntervalMs: 20, syncIntervalCapMs: 10_000 });
    await sleep(1_000);
    expect(server.accepted).toBeLessThanOrEqual(12);
  });

  test('one that ends each stream as it begins is not asked all the time either', async () => {
    const server = await startAgentServer();
    await startTestAgent([server.address], { syncIntervalMs: 20, syncIntervalCapMs: 10_000 });
    const deadline = performance.now() + 1_000;
    let seen = 0;
    while (performance.now() < deadline) {
      for (; seen < server.calls.length; seen += 1) server.calls[seen]?.stream.finish();
      await sleep(2);
    }
    expect(server.accepted).toBeGreaterThanOrEqual(3);
    expect(server.accepted).toBeLessThanOrEqual(12);
  });
});

test('nothing is connected to any more, and nothing is open, when the agent was destroyed', async () => {
  const { servers, relay, address } = await balanced(['a', 'b'], 3);
  const echo = await startEcho();
  const { agent } = await startTestAgent([address]);
  const call = await servers[0]?.nextCall(1);
  await call?.open(echo.address);
  // One that the server has closed, and that goes on sending all the same.
  const talker = await startDestination((socket) => {
    const timer = setInterval(() => socket.write('and on it goes'), 5);
    socket.on('close', () => clearInterval(timer)).resume();
  });
  const closed = await call?.open(talker.address);
  call?.send({ type: 'CLOSE_REQ', connectId: closed ?? 0 });
  await call?.next('CLOSE_RSP');
  expect(talker.sockets[0]?.destroyed).toBe(false);
  agent.destroy();
  await until(() => talker.sockets[0]?.destroyed === true);
  await until(() => servers.every((server) => server.openConnections === 0));
  await until(() => echo.sockets.every((socket) => socket.destroyed));
  const accepted = relay.accepted;
  await sleep(200);
  expect(relay.accepted).toBe(accepted);
});
