import type { Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { connectTo, fakeAgent, startServer } from '../testing/server-peers.ts';
import type { Peer } from '../testing/server-peers.ts';

/** Everything that a socket has received. */
function received(socket: Socket): { text: () => string; ended: () => boolean } {
  const chunks: Buffer[] = [];
  const state = { ended: false };
  socket.on('data', (chunk) => chunks.push(chunk)).on('end', () => (state.ended = true));
  return { text: () => Buffer.concat(chunks).toString('latin1'), ended: () => state.ended };
}

async function setUp(strategies: ('destHost' | 'default')[] = ['default'], dialTimeoutMs = 0) {
  const under = await startServer({ mode: 'http-connect', strategies, dialTimeoutMs });
  const agent = await fakeAgent(under.agents, { identifiers: 'host=known' });
  const ask = async (head: string) => {
    const socket = await connectTo(under.frontend);
    socket.write(head);
    return { socket, ...received(socket) };
  };
  return { ...under, agent, ask };
}

async function answer(agent: Peer, error = '', connectId = 1) {
  const { dialId, address } = await agent.next('DIAL_REQ');
  agent.stream.send({ type: 'DIAL_RSP', error, connectId: error === '' ? connectId : 0, dialId });
  return address;
}

const connect = 'CONNECT known:443 HTTP/1.1\r\nHost: known:443\r\n\r\n';

describe('an HTTP CONNECT frontend', () => {
  test('answers 200 after the dial, without a byte too many, and carries what was sent behind the request', async () => {
    const { agent, ask, metric } = await setUp();
    const client = await ask(`${connect}early`);
    await new Promise((resolve) => setTimeout(resolve, 20));
    client.socket.write(' and later');
    expect(client.text()).toBe('');
    expect(await answer(agent)).toBe('known:443');
    await expect.poll(client.text).toBe('HTTP/1.1 200 Connection Established\r\n\r\n');
    await agent.until(() => agent.bytesOf(1).toString() === 'early and later');
    agent.stream.sendData(1, Buffer.from('back'));
    await expect.poll(client.text).toMatch(/\r\n\r\nback$/);
    expect(await metric('http_connections')).toBe(1);
    client.socket.end();
    expect(await agent.next('CLOSE_REQ')).toMatchObject({ connectId: 1 });
    await expect.poll(client.ended).toBe(true);
    await expect.poll(() => metric('http_connections')).toBe(0);
    expect(await metric('established_connections')).toBe(0);
  });

  test.each([
    ['dial tcp 127.0.0.1:1: connect: connection refused', 502],
    ['dial tcp: lookup x: no such host', 502],
    ['dial tcp 198.18.0.254:1234: i/o timeout', 504],
    ['socket: too many open files', 503],
  ])('%s is %s, with the text', async (error, status) => {
    const { agent, ask } = await setUp();
    const client = await ask(connect);
    await answer(agent, error);
    await expect.poll(client.ended).toBe(true);
    expect(client.text()).toMatch(new RegExp(`^HTTP/1.1 ${status} [A-Z].*\r\n`));
    expect(client.text().endsWith(`\r\n\r\n${error}`)).toBe(true);
    expect(client.text()).toMatch(/Connection: close/);
  });

  test('no agent is 500 in the words of the Go server', async () => {
    const { ask } = await setUp(['destHost']);
    const client = await ask('CONNECT other:443 HTTP/1.1\r\nHost: other:443\r\n\r\n');
    await expect.poll(client.ended).toBe(true);
    expect(client.text()).toMatch(/^HTTP\/1.1 500 /);
    expect(client.text()).toMatch(/currently no tunnels available: No agent available$/);
  });

  test('a dial that is not answered is 504', async () => {
    const { ask } = await setUp(['default'], 50);
    const client = await ask(connect);
    await expect.poll(client.ended).toBe(true);
    expect(client.text()).toMatch(/^HTTP\/1.1 504 .*timed out waiting for backend dial$/s);
  });

  test('other methods are 405', async () => {
    const { ask } = await setUp();
    const client = await ask('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await expect.poll(client.ended).toBe(true);
    expect(client.text()).toMatch(/^HTTP\/1.1 405 /);
    expect(client.text()).toMatch(/this proxy only supports CONNECT passthrough/);
  });

  test('a client that goes before the answer cancels its dial', async () => {
    const { agent, ask, metric } = await setUp();
    const client = await ask(connect);
    const { dialId } = await agent.next('DIAL_REQ');
    client.socket.destroy();
    expect(await agent.next('DIAL_CLS')).toEqual({ type: 'DIAL_CLS', dialId });
    expect(await metric('pending_backend_dials')).toBe(0);
  });

  test('what the destination sent before its end arrives, and the end too', async () => {
    const { agent, ask } = await setUp();
    const client = await ask(connect);
    await answer(agent);
    const bytes = Buffer.alloc(3 * 1024 * 1024, 'z');
    for (let at = 0; at < bytes.length; at += 65_536)
      agent.stream.sendData(1, bytes.subarray(at, at + 65_536));
    agent.stream.send({ type: 'CLOSE_RSP', connectId: 1, error: '' });
    await expect.poll(client.ended).toBe(true);
    expect(client.text().length - client.text().indexOf('\r\n\r\n') - 4).toBe(bytes.length);
  });

  test('an agent that is lost ends the connection', async () => {
    const { agent, ask } = await setUp();
    const client = await ask(connect);
    await answer(agent);
    await expect.poll(client.text).toMatch(/200/);
    agent.stream.cancel();
    await expect.poll(() => client.socket.closed).toBe(true);
  });

  test('a client that reads nothing costs itself alone', async () => {
    const { agent, ask } = await setUp();
    const [stuck, lively] = [await ask(connect), await ask(connect)];
    await answer(agent, '', 1);
    await answer(agent, '', 2);
    await expect.poll(stuck.text).toMatch(/200/);
    stuck.socket.pause();
    const piece = Buffer.alloc(64 * 1024);
    for (let sent = 0; sent < 9 * 1024 * 1024; sent += piece.length) {
      agent.stream.sendData(1, piece);
      if (sent % (512 * 1024) === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    }
    agent.stream.sendData(2, Buffer.from('through'));
    await expect.poll(lively.text, { timeout: 5_000 }).toMatch(/through$/);
    expect(await agent.next('CLOSE_REQ')).toMatchObject({ connectId: 1 });
    lively.socket.write('still');
    await agent.until(() => agent.bytesOf(2).toString() === 'still');
  });
});
