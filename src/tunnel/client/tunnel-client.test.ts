import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { Failure } from '../../base/failure.ts';
import { silentLog } from '../../base/log.ts';
import { errorCode } from '../../http2/frame.ts';
import { eventually } from '../../net/testing/servers.ts';
import { failureOf } from '../../net/testing/streams.ts';
import { GrpcStatus, grpcCode } from '../grpc-status.ts';
import { cluster, never, tunnelTo } from '../testing/dial-under-test.ts';
import { echo } from '../testing/frontend-call.ts';
import { startFrontendServer, unixPath } from '../testing/frontend-server.ts';
import { createTunnelDial } from './tunnel-client.ts';

const accept = { onDial: echo };

describe('a dial', () => {
  test('asks for the cluster by its name and port, and opens one connection to the server for all (upstream: TestDial, TestReusableTunnel_SingleDial)', async () => {
    const server = await startFrontendServer(accept);
    const dial = tunnelTo({ a: server });
    const sockets = await Promise.all([1, 2, 3].map(() => dial(cluster, never)));
    for (const socket of sockets) {
      socket.write('ping');
      const [chunk] = (await once(socket, 'data')) as [Buffer];
      expect(chunk.toString()).toBe('ping');
    }
    expect(server.accepted).toBe(1);
    expect(server.calls.map(({ dial: { address, protocol } }) => `${protocol} ${address}`)).toEqual(
      Array(3).fill('tcp cluster1:443'),
    );
    const ids = server.calls.map(({ dial: { dialId } }) => dialId);
    expect(new Set(ids).size).toBe(3);
    expect(ids.every((id) => id >= 0n && id < 2n ** 63n)).toBe(true);
    const [call] = server.calls;
    expect(call?.lines.join(' ')).toContain(
      ':method POST :scheme http :authority tunnel.test:8090 :path /ProxyService/Proxy content-type application/grpc te trailers user-agent cluster-gateway',
    );
    for (const socket of sockets) socket.destroy();
  });

  test.each([
    ['dial tcp 10.0.0.1:443: connect: connection refused', 'unreachable'],
    ['dial tcp: lookup cluster1: no such host', 'unreachable'],
    ['dial tcp 10.0.0.1:443: i/o timeout', 'timeout'],
    ['timed out waiting for backend dial', 'timeout'],
  ])(
    'is told %j in the words of the agent, and nobody else is asked (upstream: TestDial_BackendError, TestReusableTunnel_BackendErrorIsNotStreamSetup)',
    async (error, kind) => {
      const onDial = (call: { refuse: (text: string) => void }) => call.refuse(error);
      const servers = [await startFrontendServer({ onDial }), await startFrontendServer({ onDial })] as const;
      const failure = await failureOf(tunnelTo({ a: servers[0], b: servers[1] })(cluster, never));
      expect(failure).toMatchObject({ kind, sent: false });
      expect(failure.message).toBe(`the agent cannot reach cluster1:443: ${error}`);
      expect(servers[0].calls.length + servers[1].calls.length).toBe(1);
      await eventually(() => servers.every(({ openStreams }) => openStreams === 0));
    },
  );

  test('shows nothing of an agent but text', async () => {
    const server = await startFrontendServer({
      onDial: (call) => call.refuse(`evil\r\n\u001b[31m${'x'.repeat(10_000)}`),
    });
    const { message } = await failureOf(tunnelTo({ a: server })(cluster, never));
    expect(message).toMatch(/: evil\?\?\?\[31mx+$/);
    expect(message.length).toBeLessThan(600);
  });

  test('that its caller gives up is told to the server, and leaves nothing (upstream: TestDial_RequestContextCancelled)', async () => {
    const server = await startFrontendServer();
    const dial = tunnelTo({ a: server });
    const controllers = Array.from({ length: 50 }, () => new AbortController());
    const dials = controllers.map(({ signal }) => failureOf(dial(cluster, signal)));
    await eventually(
      () => server.calls.length === 50 && server.calls.every(({ packets }) => packets.length > 0),
    );
    for (const controller of controllers) controller.abort();
    expect((await Promise.all(dials)).map(({ kind }) => kind)).toEqual(Array(50).fill('cancelled'));
    await eventually(() => server.openStreams === 0);
    for (const call of server.calls) {
      expect(call.types).toEqual(['DIAL_REQ', 'DIAL_CLS']);
      expect(call.packets[1]).toEqual({ type: 'DIAL_CLS', dialId: call.dial.dialId });
      expect(call.ended?.code).toBe(grpcCode.cancelled);
    }
    // The connection is as good as before.
    server.onDial = echo;
    (await dial(cluster, never)).destroy();
    expect(server.accepted).toBe(1);
  });

  test('whose caller has gone before it begins asks nobody', async () => {
    const server = await startFrontendServer(accept);
    const reason = new Failure('timeout', 'too late');
    await expect(tunnelTo({ a: server })(cluster, AbortSignal.abort(reason))).rejects.toBe(reason);
    expect(server.accepted).toBe(0);
  });

  test('that is given up while the server is connected to (upstream: TestReusableTunnel_RequestCtxHonoredDuringEstablishment)', async () => {
    const server = await startFrontendServer(accept);
    let letThrough = () => {};
    const held = new Promise<void>((resolve) => (letThrough = resolve));
    const dial = tunnelTo({ a: server }, { resolve: () => held.then(() => ['a']) });
    const controller = new AbortController();
    const failure = failureOf(dial(cluster, controller.signal));
    controller.abort();
    expect((await failure).kind).toBe('cancelled');
    letThrough();
    (await dial(cluster, never)).destroy();
    expect(server.calls).toHaveLength(1);
  });

  test('has so much time altogether', async () => {
    const server = await startFrontendServer();
    const dial = tunnelTo({ a: server }, { limits: { dialTimeoutMs: 150 } });
    const failure = await failureOf(dial(cluster, never));
    expect(failure).toMatchObject({ kind: 'timeout', sent: false });
    expect(failure.message).toBe(
      'dial cluster1:443 through tunnel tunnel.test:8090: no answer within 0.15 s',
    );
    await eventually(() => server.openStreams === 0);
    expect(server.calls[0]?.types).toEqual(['DIAL_REQ', 'DIAL_CLS']);
  });

  test('of a server that is silent asks whether it is there, and goes elsewhere when it is not', async () => {
    const silent = await startFrontendServer({ mayLeave: true });
    const other = await startFrontendServer(accept);
    const places: Record<string, { port: number }> = { a: silent };
    const limits = { silenceMs: 60, pingTimeoutMs: 100, lookupPauseMs: 0 };
    const dial = tunnelTo(() => places, { limits });
    // Alive, only slow: one question is answered, and the dial goes on.
    silent.onDial = (call) => void eventually(() => silent.pings > 0).then(() => call.accept());
    (await dial(cluster, never)).destroy();
    expect(silent.pings).toBe(1);
    await eventually(() => silent.openStreams === 0);
    silent.mute();
    places['b'] = other;
    delete places['a'];
    const socket = await dial(cluster, never);
    expect(other.calls).toHaveLength(1);
    socket.destroy();
  });

  test('on a connection that was silent for long asks at once', async () => {
    const server = await startFrontendServer(accept);
    const dial = tunnelTo({ a: server }, { limits: { silenceMs: 150 } });
    (await dial(cluster, never)).destroy();
    await sleep(200);
    expect(server.pings).toBe(0);
    server.onDial = (call) => void setTimeout(() => echo(call), 30);
    (await dial(cluster, never)).destroy();
    expect(server.pings).toBe(1);
  });

  test('sends no more than two questions without a sign of life between', async () => {
    const server = await startFrontendServer();
    const dial = tunnelTo({ a: server }, { limits: { silenceMs: 20, dialTimeoutMs: 100 } });
    for (let i = 0; i < 4; i += 1) await failureOf(dial(cluster, never));
    await sleep(50);
    expect(server.pings).toBe(2);
  });

  test('2,000 at once', async () => {
    const server = await startFrontendServer(accept);
    const dial = tunnelTo({ a: server });
    const sockets = await Promise.all(Array.from({ length: 2_000 }, () => dial(cluster, never)));
    expect(server.openStreams).toBe(2_000);
    expect(new Set(server.calls.map(({ dial: { dialId } }) => dialId)).size).toBe(2_000);
    // More streams, more connections: up to four.
    await eventually(() => server.accepted > 1);
    expect(server.accepted).toBeLessThanOrEqual(4);
    const last = sockets.at(-1);
    last?.write('x');
    if (last) expect(((await once(last, 'data')) as [Buffer])[0].toString()).toBe('x');
    for (const socket of sockets) socket.destroy();
    await eventually(() => server.openStreams === 0);
  });

  test('more than the server allows on one connection goes on others, and what is too much fails', async () => {
    const server = await startFrontendServer({ ...accept, maxConcurrentStreams: 10 });
    const dial = tunnelTo({ a: server });
    const results = await Promise.allSettled(Array.from({ length: 50 }, () => dial(cluster, never)));
    const opened = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    const failed = results.flatMap((result) =>
      result.status === 'rejected' ? [result.reason as Failure] : [],
    );
    expect(server.accepted).toBe(4);
    expect([opened.length, failed.length]).toEqual([40, 10]);
    expect(failed[0]).toMatchObject({
      kind: 'refused',
      message: 'tunnel server tunnel.test:8090: its connections carry as much as they may',
    });
    for (const socket of opened) socket.destroy();
  });
});

describe('a connection to the server that breaks', () => {
  test('before the answer: the dial is made once more', async () => {
    const server = await startFrontendServer();
    const dial = tunnelTo({ a: server });
    server.onDial = (call) => {
      server.onDial = echo;
      call.connection.destroy();
    };
    (await dial(cluster, never)).destroy();
    expect([server.accepted, server.calls.length]).toEqual([2, 2]);
  });

  test('before each answer: once more is all (upstream: TestReusableTunnel_InnerDialContextSendFailureCleansUp)', async () => {
    const server = await startFrontendServer({ onDial: (call) => call.connection.destroy() });
    const failure = await failureOf(tunnelTo({ a: server })(cluster, never));
    expect(failure).toMatchObject({ kind: 'unreachable', sent: false });
    expect(failure.message).toMatch(/^tunnel server a:8090: lost before the dial was answered: /);
    expect(server.calls).toHaveLength(2);
  });

  test('GOAWAY: what was asked is answered, and new dials go on a new connection', async () => {
    const server = await startFrontendServer();
    const dial = tunnelTo({ a: server });
    const first = dial(cluster, never);
    await eventually(() => server.calls.length === 1);
    server.finish();
    await sleep(20);
    server.calls[0]?.accept();
    const socket = await first;
    server.onDial = echo;
    const second = await dial(cluster, never);
    expect(server.accepted).toBe(2);
    socket.write('x');
    await eventually(() => server.calls[0]?.receivedBytes === 1);
    second.destroy();
    socket.destroy();
  });

  test('GOAWAY before the stream was looked at: the dial is made once more', async () => {
    const server = await startFrontendServer();
    const dial = tunnelTo({ a: server });
    server.onDial = (call) => {
      server.onDial = echo;
      call.http2.reset(errorCode.refusedStream);
      call.connection.finish();
    };
    (await dial(cluster, never)).destroy();
    expect(server.accepted).toBe(2);
  });

  test('for PINGs that come too often: they come half as often from then on (upstream: 4 pings)', async () => {
    const server = await startFrontendServer(accept);
    const dial = tunnelTo({ a: server }, { limits: { keepaliveMs: 80 } });
    const first = await dial(cluster, never);
    first.on('error', () => undefined);
    await eventually(() => server.pings === 1);
    for (const connection of server.connections) connection.fail(errorCode.enhanceYourCalm, 'too_many_pings');
    await eventually(() => server.connections.size === 0 && first.destroyed);
    const second = await dial(cluster, never);
    await sleep(120);
    expect(server.pings).toBe(1);
    await eventually(() => server.pings === 2);
    second.destroy();
    // Go's servers want no PING without a stream.
    await sleep(250);
    expect(server.pings).toBe(2);
  });
});

describe('a server that is none', () => {
  test('says so in its status', async () => {
    const server = await startFrontendServer({
      onDial: (call) => call.stream.finish(new GrpcStatus(grpcCode.unimplemented, 'unknown method')),
    });
    const failure = await failureOf(tunnelTo({ a: server })(cluster, never));
    expect(failure).toMatchObject({ kind: 'refused' });
    expect(failure.message).toBe('tunnel server a:8090: unknown method');
  });

  test('closes the dial (upstream: TestDial_Closed)', async () => {
    const server = await startFrontendServer({
      onDial: (call, { dialId }) => call.stream.send({ type: 'DIAL_CLS', dialId }),
    });
    const failure = await failureOf(tunnelTo({ a: server })(cluster, never));
    expect(failure.message).toBe(
      'tunnel server a:8090: lost before the dial was answered: the dial was closed',
    );
    await eventually(() => server.openStreams === 0);
  });

  test('answers another dial', async () => {
    const server = await startFrontendServer({
      onDial: (call, { dialId }) => {
        call.stream.send({ type: 'DIAL_RSP', error: '', connectId: 9, dialId: dialId ^ 1n });
        call.accept();
      },
    });
    const socket = await tunnelTo({ a: server })(cluster, never);
    socket.write('x');
    await eventually(() => server.calls[0]?.receivedBytes === 1);
    expect([...(server.calls[0]?.connectIds ?? [])]).toEqual([server.calls[0]?.connectId]);
    socket.destroy();
  });
});

describe('a Unix socket', () => {
  test('is spoken to in plain HTTP/2', async () => {
    const path = await unixPath();
    const server = await startFrontendServer({
      ...accept,
      address: { type: 'unix', path, deleteExisting: false },
    });
    const dial = createTunnelDial({ mode: 'grpc', server: { type: 'unix', path }, log: silentLog });
    const socket = await dial(cluster, never);
    expect(server.calls[0]?.lines.join(' ')).toContain(':authority localhost ');
    socket.destroy();
    await dial.close();
  });

  test('that is not there (upstream: TestCreateSingleUseGrpcTunnel_NoLeakOnFailure, TestCreateSingleUseGrpcTunnelWithContext_NoLeakOnFailure)', async () => {
    const path = await unixPath();
    const dial = createTunnelDial({ mode: 'grpc', server: { type: 'unix', path }, log: silentLog });
    const failure = await failureOf(dial(cluster, never));
    expect(failure.message).toBe(
      'tunnel server (Unix socket) cannot be reached: dial unix: connect: no such file or directory',
    );
  });
});

describe('the end of the tunnel', () => {
  test('in good order lets what is open end', async () => {
    const server = await startFrontendServer(accept);
    const dial = tunnelTo({ a: server });
    const socket = await dial(cluster, never);
    let closed = false;
    const closing = dial.close().then(() => (closed = true));
    expect(dial.close()).toBeInstanceOf(Promise);
    expect((await failureOf(dial(cluster, never))).message).toBe('the tunnel was closed');
    socket.write('still');
    const [chunk] = (await once(socket, 'data')) as [Buffer];
    expect(chunk.toString()).toBe('still');
    expect(closed).toBe(false);
    socket.end();
    await closing;
    await eventually(() => server.connections.size === 0);
  });

  test('at once cuts connections and dials (upstream: TestDialAfterTunnelCancelled)', async () => {
    const server = await startFrontendServer(accept);
    const dial = tunnelTo({ a: server });
    const socket = await dial(cluster, never);
    server.onDial = () => undefined;
    const pending = failureOf(dial(cluster, never));
    await eventually(() => server.calls.length === 2);
    dial.destroy();
    const [error] = (await once(socket, 'error')) as [Failure];
    expect(error).toMatchObject({ kind: 'reset', message: 'tunnel server a:8090: the tunnel was closed' });
    expect((await pending).message).toBe('the tunnel was closed');
    await eventually(() => server.connections.size === 0);
    await dial.close();
  });
});
