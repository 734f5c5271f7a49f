import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import type { Failure } from '../../base/failure.ts';
import { fakeAgent, startServer } from '../testing/server-peers.ts';

const signal = () => AbortSignal.timeout(5_000);
const address = { host: 'cluster1', port: 443 };

async function setUp() {
  const under = await startServer({ frontend: undefined, strategies: ['destHost'] });
  const agent = await fakeAgent(under.agents, { identifiers: 'host=cluster1', canPause: true });
  const open = async (connectId = 1) => {
    const dialled = under.server.dial(address, signal());
    const asked = await agent.next('DIAL_REQ');
    agent.stream.send({ type: 'DIAL_RSP', error: '', connectId, dialId: asked.dialId });
    return dialled;
  };
  return { ...under, agent, open };
}

describe('a dial in the process of the server', () => {
  test('carries bytes both ways, and its end is the end', async () => {
    const { agent, open, metric } = await setUp();
    const socket = await open();
    socket.write('hello');
    expect((await agent.next('DATA')).data.toString()).toBe('hello');
    agent.stream.sendData(1, Buffer.from('world'));
    expect(String((await once(socket, 'data'))[0])).toBe('world');
    expect(await metric('established_connections')).toBe(1);
    const ended = once(socket, 'end');
    socket.resume().end('bye');
    expect((await agent.next('DATA')).data.toString()).toBe('bye');
    expect(await agent.next('CLOSE_REQ')).toMatchObject({ connectId: 1 });
    await ended;
    expect(socket.closed).toBe(false);
    socket.destroy();
    expect(await metric('established_connections')).toBe(0);
  });

  test('keeps what its reader has not taken when the peer ends it, and drops what is written then', async () => {
    const { agent, open } = await setUp();
    const socket = await open();
    const bytes = Buffer.alloc(200_000, 'z');
    agent.stream.sendData(1, bytes);
    agent.stream.send({ type: 'CLOSE_RSP', connectId: 1, error: '' });
    await new Promise((resolve) => setTimeout(resolve, 50));
    await new Promise((resolve) => socket.write('last words', resolve));
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    await once(socket, 'end');
    expect(Buffer.concat(chunks).equals(bytes)).toBe(true);
    socket.destroy();
  });

  test('of what the agent cannot reach fails in its words, and without an agent at once', async () => {
    const { agent, server } = await setUp();
    const dialled = server.dial(address, signal());
    const { dialId } = await agent.next('DIAL_REQ');
    const error = 'dial tcp 127.0.0.1:1: connect: connection refused';
    agent.stream.send({ type: 'DIAL_RSP', error, connectId: 0, dialId });
    await expect(dialled).rejects.toMatchObject({ kind: 'unreachable', message: error });
    await expect(server.dial({ host: 'other', port: 443 }, signal())).rejects.toMatchObject({
      ...{ kind: 'unreachable', message: 'dial other:443 through the tunnel: No agent available' },
    });
  });

  test('tells the words of an agent as text alone: it is on a machine that is not ours', async () => {
    const { agent, server, open } = await setUp();
    const dialled = server.dial(address, signal());
    const { dialId } = await agent.next('DIAL_REQ');
    agent.stream.send({ type: 'DIAL_RSP', error: 'no\r\nSet-Cookie: a\u001b[31m', connectId: 0, dialId });
    await expect(dialled).rejects.toMatchObject({ message: 'no??Set-Cookie: a?[31m' });
    const socket = await open();
    const failed = once(socket, 'error');
    agent.stream.send({ type: 'CLOSE_RSP', connectId: 1, error: 'x\n' });
    expect((await failed)[0]).toMatchObject({ message: 'the agent closed the connection: x?' });
  });

  test('that is cancelled tells the agent, and leaves nothing', async () => {
    const { agent, server, metric } = await setUp();
    const controller = new AbortController();
    const dialled = server.dial(address, controller.signal);
    const { dialId } = await agent.next('DIAL_REQ');
    controller.abort();
    await expect(dialled).rejects.toMatchObject({ kind: 'cancelled' } satisfies Partial<Failure>);
    expect(await agent.next('DIAL_CLS')).toEqual({ type: 'DIAL_CLS', dialId });
    expect(await metric('pending_backend_dials')).toBe(0);
    expect(await metric('dial_failure_count{reason="frontend_close"}')).toBe(1);
  });

  test('whose reader stops has the agent pause, and go on when it reads', async () => {
    const { agent, open } = await setUp();
    const socket = await open();
    const bytes = Buffer.alloc(1024 * 1024, 'x');
    for (let at = 0; at < bytes.length; at += 65_536)
      agent.stream.sendData(1, bytes.subarray(at, at + 65_536));
    await agent.next('PAUSE');
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    await agent.next('RESUME');
    agent.stream.send({ type: 'CLOSE_RSP', connectId: 1, error: '' });
    await once(socket, 'end');
    expect(Buffer.concat(chunks).equals(bytes)).toBe(true);
  });

  test('of an agent that pauses waits, and of one that is lost fails', async () => {
    const { agent, open } = await setUp();
    const socket = await open();
    agent.stream.send({ type: 'PAUSE', connectId: 1 });
    await new Promise((resolve) => setTimeout(resolve, 30));
    let written = false;
    socket.write(Buffer.alloc(1000), () => (written = true));
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(written).toBe(false);
    agent.stream.send({ type: 'RESUME', connectId: 1 });
    await expect.poll(() => written).toBe(true);
    const error = once(socket, 'error');
    agent.stream.cancel();
    expect((await error)[0]).toMatchObject({ kind: 'reset' });
  });
});
