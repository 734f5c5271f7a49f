import { once } from 'node:events';
import type { ServerHttp2Stream } from 'node:http2';
import { describe, expect, test } from 'vitest';
import type { Dial } from '../net/dial.ts';
import { wayEnds } from '../net/dial.ts';
import { startHttp2 } from '../net/testing/servers.ts';
import { get, textOf, transportTo } from '../net/testing/transports.ts';
import { drainHeader } from './packet.ts';
import type { AgentUnderTest } from './testing/agent-under-test.ts';
import { Peer, fakeAgent, grpcTo, openThrough, startServer } from './testing/server-peers.ts';
import { startWholeTunnel } from './testing/whole-tunnel.ts';
import type { WholeTunnel } from './testing/whole-tunnel.ts';

const answer = (stream: ServerHttp2Stream, path: string) => {
  stream.respond({ ':status': 200 });
  if (path === '/watch') stream.write('begin;');
  else stream.end('ok');
};

const ways: Record<string, (tunnel: WholeTunnel) => Dial> = {
  'a tunnel server elsewhere': ({ dial }) => dial,
  'the tunnel server in this process': ({ server }) => server.dial,
};

describe.each(Object.entries(ways))('sessions through an agent that drains, by %s', (_, dialOf) => {
  async function start() {
    const { server, address } = await startHttp2();
    const watches: ServerHttp2Stream[] = [];
    server.on('stream', (stream, headers) => {
      if (headers[':path'] === '/watch') watches.push(stream);
      answer(stream, headers[':path'] ?? '');
    });
    const tunnel = await startWholeTunnel();
    const first = await tunnel.startAgent({ identity: { agentId: 'first' } });
    const transport = await transportTo(address, { dial: dialOf(tunnel) });
    const request = async () => textOf(await transport.request(get('/')));
    expect(await request()).toBe('ok');
    return { tunnel, first, transport, request, watches };
  }
  const startSecond = (tunnel: WholeTunnel): Promise<AgentUnderTest> =>
    tunnel.startAgent({ identity: { agentId: 'second' } });

  test('go on through another agent, so that the first is soon idle, and no request fails', async () => {
    const { tunnel, first, request } = await start();
    const second = await startSecond(tunnel);
    let ended: string | undefined;
    const drained = first.agent.drain().then((how) => (ended = how));
    const texts: string[] = [];
    while (ended === undefined) texts.push(await request());
    expect(await drained).toBe('idle');
    expect(new Set(texts)).toEqual(new Set(['ok']));
    expect(await request()).toBe('ok');
    expect([first.agent.openConnections, second.agent.openConnections]).toEqual([0, 1]);
  });

  test('keep what runs on them until it ends', async () => {
    const { tunnel, first, transport, request, watches } = await start();
    const watch = await transport.request(get('/watch', { longRunning: true }));
    const second = await startSecond(tunnel);
    const drained = first.agent.drain();
    while (second.agent.openConnections === 0) expect(await request()).toBe('ok');
    expect(first.agent.openConnections).toBe(1);
    watches[0]?.end('end');
    expect(await textOf(watch)).toBe('begin;end');
    expect(await drained).toBe('idle');
  });

  test('are made anew through the same agent where there is no other', async () => {
    const { first, request } = await start();
    void first.agent.drain();
    for (let i = 0; i < 20; i += 1) expect(await request()).toBe('ok');
    expect(first.agent.openConnections).toBeLessThanOrEqual(1);
  });
});

describe('DRAIN of an agent', () => {
  test.each([
    [[drainHeader, '1'], 1],
    [[], 0],
  ] as const)('is told to a frontend with %j so often: %i', async (metadata, times) => {
    const { frontend, agents } = await startServer();
    const agent = await fakeAgent(agents);
    const peer = new Peer(await grpcTo(frontend), { path: '/ProxyService/Proxy', metadata });
    await openThrough(peer, agent, { connectId: 1 });
    agent.stream.send({ type: 'DRAIN' });
    agent.stream.sendData(1, Buffer.from('behind it'));
    await peer.next('DATA');
    expect(peer.packets.map(({ type }) => type)).toEqual(Array.from({ length: times }, () => 'DRAIN'));
  });
});

test('a tunnel server that stops tells those whose connections it carries', async () => {
  const tunnel = await startWholeTunnel();
  await tunnel.startAgent();
  const { address } = await startHttp2();
  const socket = await tunnel.dial(address, AbortSignal.timeout(5_000));
  const told = once(socket, wayEnds);
  const closing = tunnel.server.close();
  await told;
  expect(socket.destroyed).toBe(false);
  socket.destroy();
  await closing;
});
