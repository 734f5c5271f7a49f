import type { Duplex } from 'node:stream';
import { Duplex as DuplexStream } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { createTcpDial } from '../../net/dial-tcp.ts';
import { eventually } from '../../net/testing/servers.ts';
import { failureOf } from '../../net/testing/streams.ts';
import { cluster, never, tunnelTo } from '../testing/dial-under-test.ts';
import { echo } from '../testing/frontend-call.ts';
import type { FrontendCall } from '../testing/frontend-call.ts';
import { startFrontendServer } from '../testing/frontend-server.ts';
import type { FrontendServer } from '../testing/frontend-server.ts';

const noAgent = (call: FrontendCall) => call.refuse('No agent available');

const start = (...answers: ((call: FrontendCall) => void)[]) =>
  Promise.all(answers.map((onDial) => startFrontendServer({ onDial })));

const calls = (servers: readonly FrontendServer[]) => servers.map((server) => server.calls.length);

describe('several servers', () => {
  test('are all connected to, and each gets its share of the dials', async () => {
    const servers = await start(echo, echo, echo);
    const [a, b, c] = servers;
    const dial = tunnelTo({ a, b, c });
    const sockets: Duplex[] = [await dial(cluster, never)];
    await eventually(() => servers.every(({ accepted }) => accepted === 1));
    for (let i = 0; i < 11; i += 1) sockets.push(await dial(cluster, never));
    expect(calls(servers)).toEqual([4, 4, 4]);
    for (const socket of sockets) socket.destroy();
  });

  test.each([0, 1, 2])('of which only number %i has an agent', async (which) => {
    const servers = await start(...[0, 1, 2].map((at) => (at === which ? echo : noAgent)));
    const [a, b, c] = servers;
    const dial = tunnelTo({ a, b, c });
    for (let i = 0; i < 12; i += 1) (await dial(cluster, never)).destroy();
    // Where an agent was found is known from then on: the others were asked once at the most.
    expect(servers[which]?.calls.length).toBe(12);
    for (const [at, { calls: asked }] of servers.entries())
      if (at !== which) expect(asked.length).toBeLessThanOrEqual(1);
    await eventually(() => servers.every(({ openStreams }) => openStreams === 0));
  });

  test('whose agent is found elsewhere later', async () => {
    const [a, b] = await start(echo, noAgent);
    if (!a || !b) throw new Error('none');
    const dial = tunnelTo({ a, b });
    for (let i = 0; i < 4; i += 1) (await dial(cluster, never)).destroy();
    [a.onDial, b.onDial] = [noAgent, echo];
    for (let i = 0; i < 4; i += 1) (await dial(cluster, never)).destroy();
    expect(b.calls.length).toBeGreaterThanOrEqual(4);
  });

  test('of which none has an agent', async () => {
    const servers = await start(noAgent, noAgent, noAgent);
    const [a, b, c] = servers;
    const failure = await failureOf(tunnelTo({ a, b, c })(cluster, never));
    expect(failure).toMatchObject({ kind: 'unreachable', sent: false });
    expect(failure.message).toBe(
      'No agent available: no agent of "cluster1" is connected to tunnel server tunnel.test:8090 (3 asked)',
    );
    expect(calls(servers)).toEqual([1, 1, 1]);
    await eventually(() => servers.every(({ openStreams }) => openStreams === 0));
  });

  test('of which one cannot be reached', async () => {
    const [a, b] = await start(noAgent, noAgent);
    const dial = tunnelTo({ a, b, dead: undefined });
    const failure = await failureOf(dial(cluster, never));
    expect(failure.message).toBe(
      'No agent available: no agent of "cluster1" is connected to tunnel server tunnel.test:8090 (2 asked; 1 cannot be asked: dial tcp 127.0.0.1:1: connect: connection refused)',
    );
    if (a) a.onDial = echo;
    for (let i = 0; i < 3; i += 1) (await dial(cluster, never)).destroy();
  });

  test('of which one does not answer at all holds up nobody', async () => {
    const [a] = await start(echo);
    const tcp = createTcpDial();
    const hole = new DuplexStream({ read: () => undefined, write: (_chunk, _encoding, done) => done() });
    const dial = tunnelTo(
      { a, b: a },
      {
        dial: ({ host }, signal) =>
          host === 'b' ? Promise.resolve(hole) : tcp({ host: '127.0.0.1', port: a?.port ?? 0 }, signal),
      },
    );
    const began = performance.now();
    for (let i = 0; i < 3; i += 1) (await dial(cluster, never)).destroy();
    expect(performance.now() - began).toBeLessThan(1_000);
  });

  test('of which the one that is asked is lost: another one is asked', async () => {
    const [a, b] = await start(echo, echo);
    if (!a || !b) throw new Error('none');
    const dial = tunnelTo({ a, b });
    (await dial(cluster, never)).destroy();
    await eventually(() => a.accepted + b.accepted === 2);
    a.onDial = (call) => call.connection.destroy();
    for (let i = 0; i < 4; i += 1) (await dial(cluster, never)).destroy();
    expect(a.calls.length).toBeGreaterThan(0);
  });

  test('of which one lost its agent while it dialled: another one is asked', async () => {
    const [a, b] = await start(
      (call) => call.refuse('the agent was lost before it answered the dial'),
      (call) => call.refuse('too many dials wait for this agent, try again later'),
    );
    const failure = await failureOf(tunnelTo({ a, b })(cluster, never));
    expect(failure.kind).toBe('unreachable');
    expect(failure.message).toMatch(/^cluster1:443 through the tunnel: (the agent was lost|too many dials)/);
    expect((a?.calls.length ?? 0) + (b?.calls.length ?? 0)).toBe(2);
  });
});

describe('one address', () => {
  test('may stand for several servers: it is connected to again while there is no agent', async () => {
    // As behind a Service: each connection comes to another server.
    const server = await startFrontendServer();
    const order: unknown[] = [];
    server.onDial = (call) => {
      if (!order.includes(call.connection)) order.push(call.connection);
      if (order.indexOf(call.connection) === 2) echo(call);
      else noAgent(call);
    };
    const dial = tunnelTo({ a: server });
    (await dial(cluster, never)).destroy();
    expect([server.accepted, server.calls.length]).toEqual([3, 3]);
    // The one that has the agent is asked first from then on.
    (await dial(cluster, never)).destroy();
    expect([server.accepted, server.calls.length]).toEqual([3, 4]);
    // What is not known of another cluster is asked of those that are there.
    (await dial({ host: 'cluster2', port: 443 }, never)).destroy();
    expect(server.accepted).toBe(3);
  });

  test('is connected to four times at the most', async () => {
    const server = await startFrontendServer({ onDial: noAgent });
    const dial = tunnelTo({ a: server });
    for (let i = 0; i < 3; i += 1) await failureOf(dial(cluster, never));
    expect([server.accepted, server.calls.length]).toEqual([4, 12]);
  });
});

describe('addresses of the server', () => {
  test('that nobody knows', async () => {
    let lookups = 0;
    const resolve = () => {
      lookups += 1;
      return Promise.reject(Object.assign(new Error('getaddrinfo ENOTFOUND'), { code: 'ENOTFOUND' }));
    };
    const dial = tunnelTo({}, { resolve });
    const failures = await Promise.all([1, 2, 3].map(() => failureOf(dial(cluster, never))));
    for (const failure of failures)
      expect(failure).toMatchObject({
        kind: 'unreachable',
        message: 'tunnel server tunnel.test:8090: dial tcp: lookup tunnel.test: no such host',
      });
    expect(lookups).toBe(1);
    await failureOf(dial(cluster, never));
    expect(lookups).toBe(1);
  });

  test('where nobody listens (upstream: TestCreateGRPCTunnel_NoLeakOnFailure)', async () => {
    const failure = await failureOf(tunnelTo({ a: undefined, b: undefined })(cluster, never));
    expect(failure).toMatchObject({ kind: 'unreachable', sent: false });
    expect(failure.message).toBe(
      'tunnel server tunnel.test:8090 cannot be reached: dial tcp 127.0.0.1:1: connect: connection refused (and 1 other addresses)',
    );
  });

  test('are looked up again while the tunnel is in use: new ones are used, old ones carry what they carry', async () => {
    const [a, b] = await start(echo, echo);
    let places: Record<string, FrontendServer | undefined> = { a };
    const dial = tunnelTo(() => places, { limits: { lookupIntervalMs: 40, lookupPauseMs: 0 } });
    const first = await dial(cluster, never);
    places = { b };
    await sleep(100);
    const second = await dial(cluster, never);
    expect(calls([a, b].filter((server) => server !== undefined))).toEqual([1, 1]);
    first.write('still there');
    await eventually(() => a?.calls[0]?.receivedBytes === 11);
    first.destroy();
    await eventually(() => a?.connections.size === 0);
    second.destroy();
  });

  test('are looked up again when a server is gone', async () => {
    const [a, b] = await start(echo, echo);
    let places: Record<string, FrontendServer | undefined> = { a };
    const dial = tunnelTo(() => places, { limits: { lookupPauseMs: 0 } });
    (await dial(cluster, never)).destroy();
    places = { b };
    a?.cut();
    await a?.stop();
    await sleep(30);
    (await dial(cluster, never)).destroy();
    expect(b?.calls.length).toBe(1);
  });

  test('that cannot be looked up any more stay', async () => {
    const [a] = await start(echo);
    let broken = false;
    const resolve = () => (broken ? Promise.reject(new Error('servfail')) : Promise.resolve(['a']));
    const dial = tunnelTo({ a }, { resolve, limits: { lookupIntervalMs: 20, lookupPauseMs: 0 } });
    (await dial(cluster, never)).destroy();
    broken = true;
    await sleep(60);
    (await dial(cluster, never)).destroy();
    expect(a?.accepted).toBe(1);
  });
});

describe('connections that carry nothing', () => {
  test('are closed but for one while the tunnel is in use', async () => {
    const server = await startFrontendServer({ onDial: echo });
    const limits = { usualStreams: 5, idleMs: 100, lookupIntervalMs: 30 };
    const dial = tunnelTo({ a: server }, { limits });
    const sockets = await Promise.all(Array.from({ length: 12 }, () => dial(cluster, never)));
    await eventually(() => server.connections.size >= 2);
    sockets.push(...(await Promise.all(Array.from({ length: 8 }, () => dial(cluster, never)))));
    for (const socket of sockets) socket.destroy();
    await eventually(() => server.connections.size === 1);
    await sleep(200);
    expect(server.connections.size).toBe(1);
  });
});
