import { goCheck } from '../../e2e/tunnel/go-client.ts';
import type { TunnelMeasurement, TunnelRow } from '../row.ts';
import { quantile } from '../statistics.ts';
import { runDials } from '../tunnel/run-dials.ts';
import { buildTunnels, frontendOf, type TunnelParts, withTunnel } from '../tunnel/running-tunnel.ts';

const atOnce = 2000;
const limitMs = 120_000;

/**
 * Connections through a tunnel, each with one byte there and back. The Go client is a relay behind a Unix socket for those
 * that come one after the other, which is little beside a dial, and a program of its own for those that come at once.
 */
export const tunnelDials: TunnelRow = {
  kind: 'tunnel',
  number: 9,
  title: `dials through a tunnel, each with a byte there and back, one after the other, then ${atOnce} at once; server and agent share the first core (go reuse: all in one HTTP/2 connection)`,
  metrics: [
    { key: 'p50', title: 'p50 ms', digits: 2 },
    { key: 'p99', title: 'p99 ms', digits: 2 },
    { key: 'server', title: 'server µs CPU/dial' },
    { key: 'agent', title: 'agent µs CPU/dial' },
    { key: 'open', title: `s until ${atOnce} open`, digits: 2 },
    { key: 'all', title: 's until used and closed', digits: 2 },
  ],
  peers: ['ours', 'go', 'go reuse'],
  limitSeconds: 300,
  prepare: buildTunnels,
  measure: (measurement) =>
    withTunnel(
      measurement.stage,
      { name: measurement.name, core: measurement.stage.proxyCore },
      async (tunnel) => ({
        ...(await oneByOne(measurement, tunnel)),
        ...(await together(measurement)),
      }),
    ),
};

async function oneByOne(
  measurement: TunnelMeasurement,
  { server, agent }: TunnelParts,
): Promise<Record<'p50' | 'p99' | 'server' | 'agent', number>> {
  const plan = {
    ...planOf(measurement),
    order: 'sequential',
    count: measurement.quick ? 500 : 2000,
  } as const;
  // Server and agent are as fresh as their processes.
  await runDials(plan, limitMs);
  const before = { server: server.figures().cpuSeconds, agent: agent.figures().cpuSeconds };
  const { milliseconds } = await runDials(plan, limitMs);
  const microseconds = 1e6 / (plan.warmUp + plan.count);
  return {
    ...{ p50: quantile(milliseconds, 0.5), p99: quantile(milliseconds, 0.99) },
    server: (server.figures().cpuSeconds - before.server) * microseconds,
    agent: (agent.figures().cpuSeconds - before.agent) * microseconds,
  };
}

async function together(measurement: TunnelMeasurement): Promise<Record<'open' | 'all', number>> {
  const { stage, name } = measurement;
  if (name === 'ours') {
    const times = await runDials({ ...planOf(measurement), order: 'at once', count: atOnce }, limitMs);
    return { open: times.openSeconds, all: times.seconds };
  }
  const { error, openMilliseconds, milliseconds } = await goCheck('concurrent', {
    frontend: frontendOf(stage),
    target: `127.0.0.1:${stage.target.echoPort}`,
    ...{ count: atOnce, bytes: 1, reuse: name === 'go reuse', timeoutMs: limitMs },
  });
  if (error !== '') throw new Error(`${atOnce} dials at once: ${error}`);
  return { open: openMilliseconds / 1000, all: milliseconds / 1000 };
}

/** What all runs of the driver have in common. */
function planOf({ stage, name }: TunnelMeasurement) {
  const { directory, tunnel, target } = stage;
  return {
    client: name,
    frontend: frontendOf(stage),
    site: { directory, certificates: tunnel.certificates },
    port: target.echoPort,
    warmUp: 200,
  };
}
