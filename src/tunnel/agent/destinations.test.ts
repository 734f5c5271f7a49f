import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { startAgentServer, startDestination, startEcho, until } from '../testing/agent-server.ts';
import { connectedAgent, hangingName, startTestAgent } from '../testing/agent-under-test.ts';

/** A port on which nobody listens. */
async function closedPort(): Promise<number> {
  const { server, address } = await startDestination();
  server.close();
  await once(server, 'close');
  return address.port;
}

describe('a dial', () => {
  test('is answered with numbers from 1 on', async () => {
    const { call, metric } = await connectedAgent();
    const echo = await startEcho();
    expect(await call.open(echo.address)).toBe(1);
    expect(await call.open(echo.address)).toBe(2);
    expect(await metric('open_endpoint_connections')).toBe(2);
    expect(await metric('dial_duration_seconds_count')).toBe(2);
    expect(await metric('stream_packets_total{segment="to_agent",packet_type="DIAL_REQ"}')).toBe(2);
    expect(await metric('stream_packets_total{segment="from_agent",packet_type="DIAL_RSP"}')).toBe(2);
  });

  test('that is refused says so in the words of Go', async () => {
    const { call, metric } = await connectedAgent();
    const port = await closedPort();
    expect(await call.dial(`127.0.0.1:${port}`)).toMatchObject({
      ...{ connectId: 0, error: `dial tcp 127.0.0.1:${port}: connect: connection refused` },
    });
    expect(await metric('endpoint_dial_failure_total{reason="unknown"}')).toBe(1);
  });

  test('to a name that is none says so', async () => {
    const { call } = await connectedAgent();
    const { error } = await call.dial('does-not-exist.invalid:80');
    expect(error).toMatch(/^dial tcp: lookup does-not-exist\.invalid: (?:no such host|server misbehaving)$/);
  });

  test('to which nobody answers ends in time', async () => {
    const { call, metric } = await connectedAgent({ dialTimeoutMs: 50 });
    const { error } = await call.dial(`${hangingName}:1234`);
    expect(error).toBe(`dial tcp ${hangingName}:1234: i/o timeout`);
    expect(await metric('endpoint_dial_failure_total{reason="timeout"}')).toBe(1);
  });

  test('to what is not allowed is not made', async () => {
    const allowed = await startDestination();
    const other = await startDestination();
    const { call, metric } = await connectedAgent({ allow: [`127.0.0.1:${allowed.address.port}`] });
    const { error } = await call.dial(`127.0.0.1:${other.address.port}`);
    expect(error).toBe(`dial tcp 127.0.0.1:${other.address.port}: destination is not allowed`);
    expect((await call.dial('/run/x.sock', 'unix')).error).toBe('dial unix: unknown network unix');
    expect(await metric('endpoint_dial_failure_total{reason="refused"}')).toBe(2);
    await call.open(allowed.address);
    expect(other.sockets).toHaveLength(0);
  });

  test('to an alias goes where it leads', async () => {
    const echo = await startEcho();
    const { call } = await connectedAgent({
      allow: ['cluster-a:443'],
      aliases: new Map([['cluster-a:443', echo.address]]),
    });
    expect((await call.dial('cluster-a:443')).error).toBe('');
    await until(() => echo.sockets.length === 1);
  });

  test('that is cancelled is not answered, and leaves nothing', async () => {
    const { call, agent, metric } = await connectedAgent({ dialTimeoutMs: 300 });
    const dialId = call.ask(`${hangingName}:1234`);
    call.send({ type: 'DIAL_CLS', dialId });
    await sleep(500);
    expect(call.packets).toEqual([]);
    expect(agent.openConnections).toBe(0);
    expect(await metric('endpoint_dial_failure_total{reason="timeout"}')).toBeUndefined();
  });

  test('that is cancelled when it is open already is closed', async () => {
    const { call } = await connectedAgent();
    const destination = await startDestination((socket) => socket.resume());
    const { dialId, connectId } = await call.dial(`127.0.0.1:${destination.address.port}`);
    call.send({ type: 'DIAL_CLS', dialId });
    expect(await call.next('CLOSE_RSP')).toMatchObject({ connectId });
    await until(() => destination.sockets[0]?.destroyed === true);
  });

  test('above the number that may be pending fails at once', async () => {
    const { call, metric } = await connectedAgent({ limits: { maxPendingDials: 3 }, dialTimeoutMs: 400 });
    for (let i = 0; i < 3; i += 1) call.ask(`${hangingName}:1234`);
    const echo = await startEcho();
    const { error } = await call.dial(`127.0.0.1:${echo.address.port}`);
    expect(error).toBe('too many dials are pending at the agent: 3');
    expect(await metric('endpoint_dial_failure_total{reason="refused"}')).toBe(1);
    for (let i = 0; i < 3; i += 1) expect((await call.next('DIAL_RSP')).error).toContain('i/o timeout');
    await call.open(echo.address);
  });

  test('with an ID that is pending fails', async () => {
    const { call } = await connectedAgent({ dialTimeoutMs: 300 });
    const dial = { type: 'DIAL_REQ', protocol: 'tcp', address: `${hangingName}:1234`, dialId: 99n } as const;
    call.send(dial);
    call.send(dial);
    expect((await call.next('DIAL_RSP')).error).toBe('a dial with this ID is pending at the agent');
    expect((await call.next('DIAL_RSP')).error).toContain('i/o timeout');
  });

  test('above the number that may be open fails', async () => {
    const { call } = await connectedAgent({ limits: { maxConnections: 2 } });
    const echo = await startEcho();
    const first = await call.open(echo.address);
    await call.open(echo.address);
    const address = `127.0.0.1:${echo.address.port}`;
    expect((await call.dial(address)).error).toBe('too many connections are open at the agent: 2');
    call.send({ type: 'CLOSE_REQ', connectId: first });
    await call.next('CLOSE_RSP');
    expect((await call.dial(address)).error).toBe('');
  });
});

describe('numbers that are none', () => {
  test('a close is answered', async () => {
    const { call } = await connectedAgent();
    call.send({ type: 'CLOSE_REQ', connectId: 77 });
    expect(await call.next('CLOSE_RSP')).toEqual({
      type: 'CLOSE_RSP',
      connectId: 77,
      error: 'Unknown connectID',
    });
  });

  test('bytes of one that was never given are answered, those of a closed one are not', async () => {
    const { call } = await connectedAgent();
    const echo = await startEcho();
    const connectId = await call.open(echo.address);
    call.send({ type: 'CLOSE_REQ', connectId });
    await call.next('CLOSE_RSP');
    call.sendBytes(connectId, Buffer.from('late'));
    call.sendBytes(0, Buffer.from('nobody'));
    call.sendBytes(1234, Buffer.from('early'));
    expect(await call.next('CLOSE_RSP')).toEqual({
      ...{ type: 'CLOSE_RSP', connectId: 1234, error: 'unrecognized connectID' },
    });
    expect(call.packets).toEqual([]);
  });

  test('packets that only agents send, or that nobody knows, are ignored', async () => {
    const { call } = await connectedAgent();
    call.send({ type: 'DIAL_RSP', dialId: 1n, connectId: 1, error: '' });
    call.send({ type: 'CLOSE_RSP', connectId: 5, error: '' });
    call.send({ type: 'DRAIN' });
    call.send({ type: 'PAUSE', connectId: 5 });
    call.send({ type: 'DIAL_CLS', dialId: 5n });
    // Type 55 with a payload that no message has.
    call.raw.write(Buffer.from([0, 0, 0, 0, 4, 0x08, 55, 0x7a, 0]));
    const echo = await startEcho();
    expect(await call.open(echo.address)).toBe(1);
  });
});

test('a connection is its server’s: two servers use the same number', async () => {
  const servers = [
    await startAgentServer({ serverId: 'a', serverCount: 2 }),
    await startAgentServer({ serverId: 'b' }),
  ];
  const echo = await startEcho();
  await startTestAgent(servers.map(({ address }) => address));
  const calls = await Promise.all(servers.map((server) => server.nextCall(1)));
  for (const [i, call] of calls.entries()) {
    expect(await call.open(echo.address)).toBe(1);
    call.sendBytes(1, Buffer.from(`I am ${i}`));
    expect((await call.received(1, 6)).toString()).toBe(`I am ${i}`);
  }
  calls[0]?.send({ type: 'CLOSE_REQ', connectId: 1 });
  await calls[0]?.next('CLOSE_RSP');
  calls[1]?.sendBytes(1, Buffer.from('on'));
  expect((await calls[1]?.received(1, 8))?.toString()).toBe('I am 1on');
});
