import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { Failure } from '../../base/failure.ts';
import { eventually } from '../../net/testing/servers.ts';
import { failureOf } from '../../net/testing/streams.ts';
import { cluster, never, tunnelTo } from '../testing/dial-under-test.ts';
import { echo } from '../testing/frontend-call.ts';
import { startFrontendServer } from '../testing/frontend-server.ts';

describe('dials of one tunnel', () => {
  test('one after the other, share one connection to the server (upstream: TestReusableTunnel_ManySequentialDials_OneClientConn)', async () => {
    const server = await startFrontendServer({ onDial: echo });
    const dial = tunnelTo({ a: server });
    for (let i = 0; i < 50; i += 1) (await dial(cluster, never)).destroy();
    expect([server.accepted, server.calls.length]).toEqual([1, 50]);
    await eventually(() => server.openStreams === 0);
  });

  test('at once, have nothing to do with each other: the end of one is not that of another (upstream: TestReusableTunnel_ConcurrentDials_Isolated)', async () => {
    const server = await startFrontendServer({ onDial: echo });
    const dial = tunnelTo({ a: server });
    const [first, ...others] = await Promise.all(Array.from({ length: 20 }, () => dial(cluster, never)));
    first?.destroy();
    await eventually(() => server.openStreams === 19);
    for (const [at, socket] of others.entries()) {
      socket.write(`from ${at}`);
      expect(((await once(socket, 'data')) as [Buffer])[0].toString()).toBe(`from ${at}`);
    }
    for (const socket of others) socket.destroy();
  });

  test('that are given up leave the others alone (upstream: TestReusableTunnel_PerDialCancellationIsolation)', async () => {
    const server = await startFrontendServer();
    const dial = tunnelTo({ a: server });
    const controller = new AbortController();
    const given = failureOf(dial(cluster, controller.signal));
    const sibling = dial(cluster, never);
    await eventually(() => server.calls.length === 2 && server.calls.every(({ types }) => types.length > 0));
    controller.abort();
    expect((await given).kind).toBe('cancelled');
    server.calls[1]?.accept();
    (await sibling).destroy();
    server.onDial = echo;
    (await dial(cluster, never)).destroy();
    expect(server.accepted).toBe(1);
  });

  test('that are answered when their caller has gone are closed, and the tunnel waits for that (upstream: TestReusableTunnel_LateEstablishmentWaited)', async () => {
    const server = await startFrontendServer();
    const dial = tunnelTo({ a: server });
    const controller = new AbortController();
    const given = failureOf(dial(cluster, controller.signal));
    await eventually(() => server.calls[0]?.types.length === 1);
    controller.abort();
    server.calls[0]?.accept();
    await given;
    await eventually(() => server.calls[0]?.ended !== undefined);
    expect(server.calls[0]?.types).toEqual(['DIAL_REQ', 'DIAL_CLS']);
    await dial.close();
    await eventually(() => server.connections.size === 0);
  });

  test('are made again when the server was lost: only its owner ends a tunnel (upstream: TestReusableTunnel_DoneRequiresClose)', async () => {
    const server = await startFrontendServer({ onDial: echo });
    const dial = tunnelTo({ a: server });
    const lost = await dial(cluster, never);
    const failed = once(lost, 'error');
    server.cut();
    await failed;
    (await dial(cluster, never)).destroy();
    await dial.close();
    expect((await failureOf(dial(cluster, never))).message).toBe('the tunnel was closed');
  });
});

describe('the end of a tunnel', () => {
  test('is told to dials that come later, as what it is (upstream: TestReusableTunnel_DialAfterCloseTyped)', async () => {
    const server = await startFrontendServer({ onDial: echo });
    const dial = tunnelTo({ a: server });
    await dial.close();
    const failure = await failureOf(dial(cluster, never));
    expect(failure).toBeInstanceOf(Failure);
    expect(failure).toMatchObject({ message: 'the tunnel was closed', sent: false });
    expect(server.accepted).toBe(0);
  });

  test('may be asked for often, and is one (upstream: TestReusableTunnel_CloseErrorReturnedToFirstCallerOnly)', async () => {
    const server = await startFrontendServer({ onDial: echo });
    const dial = tunnelTo({ a: server });
    (await dial(cluster, never)).destroy();
    await Promise.all(Array.from({ length: 10 }, () => dial.close()));
    await dial.close();
    dial.destroy();
    await eventually(() => server.connections.size === 0);
  });

  test('waits for what is open, whoever asks for it (upstream: TestReusableTunnel_ConcurrentClose_WaitsForDrain)', async () => {
    const server = await startFrontendServer({ onDial: echo });
    const dial = tunnelTo({ a: server });
    const socket = await dial(cluster, never);
    let ended = 0;
    const ends = Array.from({ length: 5 }, () => dial.close().then(() => (ended += 1)));
    await sleep(100);
    expect(ended).toBe(0);
    socket.destroy();
    await Promise.all(ends);
    await eventually(() => server.connections.size === 0);
  });

  test('in the middle of dials lets each succeed or fail, and none hang (upstream: TestReusableTunnel_CloseRace)', async () => {
    const server = await startFrontendServer({ onDial: echo });
    const dial = tunnelTo({ a: server });
    const dials = Array.from({ length: 100 }, async (_, at) => {
      await sleep(at % 10);
      const socket = await dial(cluster, never).catch((error: unknown) => error);
      if (socket instanceof Error) return 'failed';
      (socket as Awaited<ReturnType<typeof dial>>).destroy();
      return 'opened';
    });
    await sleep(5);
    await dial.close();
    expect(new Set(await Promise.all(dials))).toContain('failed');
    expect((await failureOf(dial(cluster, never))).message).toBe('the tunnel was closed');
  });

  test('leaves no timer and no socket, whatever became of its dials (upstream: TestReusableTunnel_NoGoroutineLeaks)', async () => {
    const server = await startFrontendServer({ onDial: echo });
    const held = () => process.getActiveResourcesInfo().filter((each) => /^(TCP|TLS|Pipe)/.test(each)).length;
    const before = held();
    const dial = tunnelTo({ a: server });
    const answers = [echo, (call: Parameters<typeof echo>[0]) => call.refuse('no'), () => undefined] as const;
    for (let i = 0; i < 30; i += 1) {
      server.onDial = answers[i % 3] ?? echo;
      const socket = await dial(cluster, AbortSignal.timeout(i % 3 === 2 ? 20 : 5_000)).catch(
        () => undefined,
      );
      socket?.destroy();
    }
    await dial.close();
    await eventually(() => server.connections.size === 0 && held() <= before);
  });
});
