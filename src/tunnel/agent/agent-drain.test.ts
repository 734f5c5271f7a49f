import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { startAgentServer, startDestination, startEcho, until } from '../testing/agent-server.ts';
import { hangingName, startTestAgent } from '../testing/agent-under-test.ts';
import type { AgentChanges } from '../testing/agent-under-test.ts';

async function connected(changes: AgentChanges = {}) {
  const servers = [await startAgentServer({ serverId: 'a' }), await startAgentServer({ serverId: 'b' })];
  const under = await startTestAgent(
    servers.map(({ address }) => address),
    changes,
  );
  const calls = await Promise.all(servers.map((server) => server.nextCall(1)));
  await until(() => under.agent.isReady);
  await sleep(20);
  const [call] = calls;
  if (!call) throw new Error('there are two');
  return { ...under, servers, calls, call };
}

/** How long it took, and with what. */
async function timed<T>(promise: Promise<T>): Promise<{ readonly result: T; readonly ms: number }> {
  const begun = performance.now();
  const result = await promise;
  return { result, ms: performance.now() - begun };
}

test('every server is asked for no more dials, once, and those that come are made', async () => {
  const { agent, calls, call } = await connected();
  const echo = await startEcho();
  const draining = timed(agent.drain());
  void agent.drain();
  for (const each of calls) await each.next('DRAIN');
  const connectId = await call.open(echo.address);
  call.sendBytes(connectId, Buffer.from('late, and served'));
  await call.received(connectId, 16);
  call.send({ type: 'CLOSE_REQ', connectId });
  await call.next('CLOSE_RSP');
  const { result, ms } = await draining;
  expect(result).toBe('idle');
  expect(ms).toBeGreaterThanOrEqual(100);
  for (const each of calls) expect(each.packets).toEqual([]);
});

test('it waits for the last connection, and for what that still has to say', async () => {
  const { agent, call } = await connected({ drainMinMs: 0 });
  const destination = await startDestination();
  const connectId = await call.open(destination.address);
  const draining = timed(agent.drain());
  await sleep(200);
  destination.sockets[0]?.end('the end');
  const { result, ms } = await draining;
  expect([result, ms >= 190]).toEqual(['idle', true]);
  expect(call.dataOf(connectId).toString()).toBe('the end');
});

test('it waits for dials', async () => {
  const { agent, call } = await connected({ drainMinMs: 0, dialTimeoutMs: 300 });
  call.ask(`${hangingName}:1`);
  await sleep(20);
  const { result, ms } = await timed(agent.drain());
  expect([result, ms > 200]).toEqual(['idle', true]);
});

test('it waits no longer than the grace, and then what is open is cut', async () => {
  const { agent, call, servers } = await connected({ drainMinMs: 0, drainGraceMs: 150 });
  const errors: Error[] = [];
  const destination = await startDestination((socket) =>
    socket.on('error', (error) => errors.push(error)).resume(),
  );
  await call.open(destination.address);
  const { result, ms } = await timed(agent.drain());
  expect([result, ms >= 140]).toEqual(['cut', true]);
  expect(agent.openConnections).toBe(1);
  await agent.close();
  await until(() => errors.length === 1);
  await until(() => servers.every((server) => server.openConnections === 0));
});

test('a server that is lost meanwhile is not connected to again; without servers there is nothing to wait for', async () => {
  const { agent, calls, servers } = await connected({ drainMinMs: 5_000 });
  const draining = timed(agent.drain());
  await calls[0]?.next('DRAIN');
  for (const call of calls) call.connection.destroy();
  const { result, ms } = await draining;
  expect([result, ms < 1_000]).toEqual(['idle', true]);
  await sleep(100);
  expect(servers.map(({ accepted }) => accepted)).toEqual([1, 1]);
});

test('a destroyed agent does not go on waiting', async () => {
  const { agent } = await connected({ drainMinMs: 5_000 });
  const draining = timed(agent.drain());
  agent.destroy();
  expect((await draining).ms).toBeLessThan(1_000);
});
