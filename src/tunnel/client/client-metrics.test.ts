import { setTimeout as sleep } from 'node:timers/promises';
import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { eventually } from '../../net/testing/servers.ts';
import { failureOf } from '../../net/testing/streams.ts';
import { cluster, never, tunnelTo } from '../testing/dial-under-test.ts';
import { echo } from '../testing/frontend-call.ts';
import { startFrontendServer } from '../testing/frontend-server.ts';
import { createTunnelClientMetrics } from './client-metrics.ts';

async function start(dialTimeoutMs = 10_000) {
  const registry = new Registry();
  const server = await startFrontendServer({ onDial: echo });
  const metrics = createTunnelClientMetrics(registry);
  const dial = tunnelTo({ a: server }, { metrics, limits: { dialTimeoutMs } });
  const lines = async (name: string) =>
    (await registry.metrics())
      .split('\n')
      .filter((line) => line.startsWith(`konnectivity_network_proxy_client_${name}{`))
      .map((line) => line.replace(/^[^{]*/, ''));
  return { server, dial, lines };
}

test('connections are counted by what they do (upstream: TestRegisterMetrics)', async () => {
  const { server, dial, lines } = await start();
  const counts = async () => (await lines('client_connections')).map((line) => line.split(' ')[1]).join(' ');
  expect(await lines('client_connections')).toEqual([
    '{status="created"} 0',
    '{status="dialing"} 0',
    '{status="ok"} 0',
    '{status="closing"} 0',
  ]);
  const first = dial(cluster, never);
  expect(await counts()).toBe('1 0 0 0');
  const socket = await first;
  expect(await counts()).toBe('0 0 1 0');
  server.onDial = (call) => {
    call.onClose = () => undefined;
  };
  const second = dial(cluster, never);
  await eventually(() => server.calls.length === 2);
  expect(await counts()).toBe('0 1 1 0');
  server.calls[1]?.accept();
  const other = await second;
  other.end();
  expect(await counts()).toBe('0 0 1 1');
  other.destroy();
  socket.destroy();
  expect(await counts()).toBe('0 0 0 0');
});

test('failures are counted by their reasons (upstream: TestLegacyRegisterMetrics, TestReusableTunnel_StreamSetupFailureTyped)', async () => {
  const { server, dial, lines } = await start(400);
  const failWith = async (onDial: typeof server.onDial, signal = never) => {
    server.onDial = onDial;
    await failureOf(dial(cluster, signal));
  };
  await failWith((call) => call.refuse('connection refused'));
  await failWith((call) => call.refuse('No agent available'));
  await failWith(() => undefined);
  await failWith(() => undefined, AbortSignal.timeout(20));
  await failWith((call, { dialId }) => call.stream.send({ type: 'DIAL_CLS', dialId }));
  await failWith((call) => call.connection.destroy());
  await server.stop();
  server.cut();
  await sleep(30);
  await failWith(() => undefined);
  expect(await lines('dial_failure_total')).toEqual([
    '{reason="endpoint"} 2',
    '{reason="timeout"} 1',
    '{reason="context"} 1',
    '{reason="dialclosed"} 1',
    '{reason="tunnelclosed"} 1',
    '{reason="streamsetup"} 1',
  ]);
  expect(await lines('client_connections')).toContain('{status="created"} 0');
});
