import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { startDestination, startEcho, until } from '../testing/agent-server.ts';
import type { AgentCall } from '../testing/agent-server.ts';
import { connectedAgent } from '../testing/agent-under-test.ts';

const mebibyte = 1024 * 1024;

/** Sends to a destination that does not read, until the agent asks to wait: whatever the kernel takes, more waits. */
async function fill(call: AgentCall, connectId: number): Promise<number> {
  let sent = 0;
  while (!call.packets.some(({ type }) => type === 'PAUSE')) {
    if (sent > 64 * mebibyte) throw new Error('nobody asks to wait');
    call.sendBytes(connectId, Buffer.alloc(64 * 1024));
    sent += 64 * 1024;
    await sleep(1);
  }
  expect(await call.next('PAUSE')).toEqual({ type: 'PAUSE', connectId });
  return sent;
}

describe('bytes', () => {
  test('10 MiB go through, both ways at once', async () => {
    const { call } = await connectedAgent();
    const echo = await startEcho();
    const connectId = await call.open(echo.address);
    const bytes = randomBytes(10 * mebibyte);
    // In steps: a server without PAUSE sends no faster than a destination reads, or its connection is cut.
    for (let at = 0; at < bytes.length; at += mebibyte) {
      call.sendBytes(connectId, bytes.subarray(at, at + mebibyte));
      await call.received(connectId, at + mebibyte);
    }
    expect(call.dataOf(connectId).equals(bytes)).toBe(true);
  });

  test('what was sent before the close arrives, and then the close is answered', async () => {
    const { call, agent, metric } = await connectedAgent();
    const received: Buffer[] = [];
    const destination = await startDestination((socket) => {
      socket.on('data', (chunk: Buffer) => received.push(chunk));
      socket.on('end', () => socket.end());
    });
    const connectId = await call.open(destination.address);
    const bytes = randomBytes(3 * mebibyte);
    call.sendBytes(connectId, bytes);
    call.send({ type: 'CLOSE_REQ', connectId });
    expect(await call.next('CLOSE_RSP')).toEqual({ type: 'CLOSE_RSP', connectId, error: '' });
    await until(() => destination.sockets[0]?.readableEnded === true);
    expect(Buffer.concat(received).equals(bytes)).toBe(true);
    expect(agent.openConnections).toBe(0);
    expect(await metric('open_endpoint_connections')).toBe(0);
  });

  test('a destination that does not end its side is closed all the same', async () => {
    const { call } = await connectedAgent({ limits: { closeTimeoutMs: 200 } });
    const destination = await startDestination((socket) => {
      socket.resume();
      const timer = setInterval(() => socket.write('and on it goes'), 5);
      socket.on('close', () => clearInterval(timer));
    });
    const connectId = await call.open(destination.address);
    await call.received(connectId, 1);
    call.send({ type: 'CLOSE_REQ', connectId });
    await call.next('CLOSE_RSP');
    await until(() => destination.sockets[0]?.destroyed === true);
  });

  test('a close arrives in good order also where the server has not read what the destination sent', async () => {
    const { call } = await connectedAgent({ limits: { closeTimeoutMs: 300 } }, { canPause: true });
    const received: Buffer[] = [];
    const errors: Error[] = [];
    const destination = await startDestination((socket) => {
      socket.on('error', (error) => errors.push(error));
      socket.write(Buffer.alloc(16 * mebibyte));
      socket.on('data', (chunk: Buffer) => received.push(chunk));
      socket.on('end', () => socket.end());
    });
    const connectId = await call.open(destination.address);
    call.send({ type: 'PAUSE', connectId });
    await sleep(100);
    call.sendBytes(connectId, Buffer.from('last words'));
    call.send({ type: 'CLOSE_REQ', connectId });
    await call.next('CLOSE_RSP');
    await until(() => destination.sockets[0]?.destroyed === true);
    expect(errors).toEqual([]);
    expect(destination.sockets[0]?.writableFinished).toBe(true);
    expect(Buffer.concat(received).toString()).toBe('last words');
  });

  test('what a destination sent before its FIN arrives before the close', async () => {
    const { call, agent } = await connectedAgent();
    const bytes = randomBytes(2 * mebibyte);
    const destination = await startDestination((socket) => socket.end(bytes));
    const connectId = await call.open(destination.address);
    expect(await call.next('CLOSE_RSP')).toEqual({ type: 'CLOSE_RSP', connectId, error: '' });
    expect(call.dataOf(connectId).equals(bytes)).toBe(true);
    expect(agent.openConnections).toBe(0);
  });

  test('the reset of a destination is told as one', async () => {
    const { call } = await connectedAgent();
    const destination = await startDestination();
    const connectId = await call.open(destination.address);
    await until(() => destination.sockets.length === 1);
    destination.sockets[0]?.resetAndDestroy();
    expect(await call.next('CLOSE_RSP')).toEqual({
      ...{ type: 'CLOSE_RSP', connectId, error: 'read: connection reset by peer' },
    });
  });

  test('a server that goes away resets its connections', async () => {
    const { call, agent } = await connectedAgent();
    const errors: Error[] = [];
    const destination = await startDestination((socket) =>
      socket.on('error', (error) => errors.push(error)).resume(),
    );
    await call.open(destination.address);
    await until(() => destination.sockets.length === 1);
    call.connection.destroy();
    await until(() => errors.length === 1);
    expect(errors[0]).toMatchObject({ code: 'ECONNRESET' });
    await until(() => agent.openConnections === 0);
  });

  test('a destination that resets while the rest is written is answered, too', async () => {
    const { call } = await connectedAgent({}, { canPause: true });
    const destination = await startDestination((socket) => socket.pause());
    const connectId = await call.open(destination.address);
    await fill(call, connectId);
    call.send({ type: 'CLOSE_REQ', connectId });
    await sleep(50);
    expect(call.packets).toEqual([]);
    destination.sockets[0]?.resetAndDestroy();
    expect((await call.next('CLOSE_RSP')).connectId).toBe(connectId);
  });
});

describe('a destination that does not read', () => {
  async function stuckAndEcho(call: AgentCall) {
    const stuck = await startDestination((socket) => socket.pause());
    const echo = await startEcho();
    return {
      stuck: await call.open(stuck.address),
      echo: await call.open(echo.address),
      sockets: stuck.sockets,
    };
  }

  async function echoes(call: AgentCall, connectId: number): Promise<void> {
    const before = call.bytesOf(connectId);
    const bytes = randomBytes(100_000);
    call.sendBytes(connectId, bytes);
    await call.received(connectId, before + bytes.length);
  }

  test('is cut, and nobody else hears of it', async () => {
    const { call, metric } = await connectedAgent();
    const { stuck, echo, sockets } = await stuckAndEcho(call);
    for (let i = 0; i < 16; i += 1) {
      call.sendBytes(stuck, Buffer.alloc(mebibyte));
      await echoes(call, echo);
    }
    const { connectId, error } = await call.next('CLOSE_RSP');
    expect(connectId).toBe(stuck);
    expect(error).toContain('too slow');
    expect(await metric('slow_destination_cuts_total')).toBe(1);
    expect(await metric('held_bytes')).toBe(0);
    // What is on its way to it is dropped, without a word.
    call.sendBytes(stuck, Buffer.alloc(mebibyte));
    await echoes(call, echo);
    expect(call.packets).toEqual([]);
    sockets[0]?.resume();
    await until(() => sockets[0]?.destroyed === true);
  });

  test('asks a server that knows PAUSE to wait, and goes on later', async () => {
    const { call, metric } = await connectedAgent({}, { canPause: true });
    expect(call.metadata('x-tunnel-pause')).toBe('1');
    let taken = 0;
    const slow = await startDestination((socket) => {
      socket.pause();
      socket.on('data', (chunk: Buffer) => (taken += chunk.length));
      socket.pause();
    });
    const connectId = await call.open(slow.address);
    const sent = await fill(call, connectId);
    const echo = await startEcho();
    await echoes(call, await call.open(echo.address));
    expect(await metric('held_bytes')).toBeGreaterThan(200_000);
    slow.sockets[0]?.resume();
    expect(await call.next('RESUME')).toEqual({ type: 'RESUME', connectId });
    await until(() => taken === sent);
    expect(await metric('held_bytes')).toBe(0);
  });

  test('does not keep a close waiting for longer than it may', async () => {
    const { call, agent } = await connectedAgent({ limits: { closeTimeoutMs: 200 } }, { canPause: true });
    const { stuck, echo, sockets } = await stuckAndEcho(call);
    await fill(call, stuck);
    await echoes(call, echo);
    const begun = performance.now();
    call.send({ type: 'CLOSE_REQ', connectId: stuck });
    call.send({ type: 'CLOSE_REQ', connectId: stuck });
    const { error } = await call.next('CLOSE_RSP');
    expect(error).toBe('the destination did not take what was sent before the close');
    expect(performance.now() - begun).toBeGreaterThan(150);
    await echoes(call, echo);
    expect(call.packets).toEqual([]);
    expect(agent.openConnections).toBe(1);
    sockets[0]?.resume();
    await until(() => sockets[0]?.destroyed === true);
  });

  test('counts with all others that do not: the one that holds most goes first', async () => {
    const { call, metric } = await connectedAgent({ limits: { maxHeldBytes: 3 * mebibyte } });
    const first = await stuckAndEcho(call);
    const second = await stuckAndEcho(call);
    // Both fill what the kernel takes; then one of them holds more.
    for (const { stuck } of [first, second]) call.sendBytes(stuck, Buffer.alloc(3 * mebibyte));
    while (!call.packets.some(({ type }) => type === 'CLOSE_RSP')) {
      call.sendBytes(first.stuck, Buffer.alloc(256 * 1024));
      await echoes(call, first.echo);
    }
    expect((await call.next('CLOSE_RSP')).connectId).toBe(first.stuck);
    expect(await metric('held_bytes')).toBeLessThanOrEqual(3 * mebibyte);
    await echoes(call, second.echo);
  });
});

describe('a server that does not read', () => {
  test('stops the destination, and gets all of it later', async () => {
    const { call } = await connectedAgent({}, { streamWindowBytes: 64 * 1024 });
    const bytes = randomBytes(8 * mebibyte);
    const destination = await startDestination((socket) => socket.end(bytes));
    call.reads = false;
    const connectId = await call.open(destination.address);
    await until(() => call.bytesOf(connectId) > 0);
    await sleep(200);
    expect(call.bytesOf(connectId)).toBeLessThan(100_000);
    expect(destination.sockets[0]?.writableFinished).toBe(false);
    call.readOn();
    await call.next('CLOSE_RSP');
    expect(call.dataOf(connectId).equals(bytes)).toBe(true);
  });

  test('a connection that it pauses does not stop the others', async () => {
    const { call } = await connectedAgent({}, { canPause: true });
    const bytes = randomBytes(4 * mebibyte);
    const destination = await startDestination((socket) => socket.write(bytes));
    const connectId = await call.open(destination.address);
    call.send({ type: 'PAUSE', connectId });
    await sleep(100);
    const before = call.bytesOf(connectId);
    await sleep(100);
    expect(call.bytesOf(connectId)).toBe(before);
    expect(before).toBeLessThan(bytes.length);
    const echo = await startEcho();
    const other = await call.open(echo.address);
    call.sendBytes(other, Buffer.from('still here'));
    await call.received(other, 10);
    call.send({ type: 'RESUME', connectId });
    await call.received(connectId, bytes.length);
    expect(call.dataOf(connectId).equals(bytes)).toBe(true);
  });
});
