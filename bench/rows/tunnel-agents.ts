import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import type { TunnelRow } from '../row.ts';
import { ensureFleet, type Fleet, startFleet } from '../tunnel/fleet.ts';
import { openFilesOf, within } from '../tunnel/open-files.ts';
import { buildTunnels, partOf, withServer } from '../tunnel/running-tunnel.ts';

const mb = 1e6;
const agents = 10_000;
const quickAgents = 2_000;
/** What all agents share is there before the others are counted. */
const firstAgents = 50;
const limitSeconds = 240;

/** A server with many clusters behind it: what each agent holds, and how long they are away when it is killed and started. */
export const tunnelAgents: TunnelRow = {
  kind: 'tunnel',
  number: 10,
  title: `${agents} agents on one server on the first core (--quick: ${quickAgents}), which is then killed and started on the same port`,
  metrics: [
    { key: 'agents', title: 'agents', incomparable: true },
    { key: 'bytes', title: 'KB/agent', digits: 1 },
    { key: 'rss', title: 'RSS MB' },
    { key: 'connect', title: 's to connect', digits: 1 },
    { key: 'cpu', title: 'ms CPU each', digits: 2 },
    { key: 'back', title: 's until all are back', digits: 1 },
    { key: 'backCpu', title: 's CPU', digits: 1 },
    { key: 'failures', title: 'tries in vain each', digits: 2 },
  ],
  peers: ['ours', 'go'],
  limitSeconds: 3 * limitSeconds,
  async prepare() {
    await ensureFleet();
    await buildTunnels();
  },
  measure: ({ stage, name, quick }) =>
    withServer(stage, { name, core: stage.proxyCore }, async (server) => {
      const limits = openFilesOf(readFileSync(`/proc/${server.pid}/limits`, 'utf8'));
      const count = within(quick ? quickAgents : agents, limits);
      const part = partOf(server);
      const fleet = await startFleet({
        port: server.agentPort,
        certificates: stage.tunnel.certificates.agent,
      });
      try {
        const grown = await grow(fleet, part, count);
        const failures = fleet.failures();
        const killed = performance.now();
        await server.stop();
        await server.start();
        await fleet.returned(limitSeconds);
        const back = (performance.now() - killed) / 1000;
        return {
          ...{ agents: count, ...grown, back, backCpu: part.figures().cpuSeconds },
          failures: (fleet.failures() - failures) / count,
        };
      } finally {
        fleet.end();
      }
    }),
};

async function grow(
  fleet: Fleet,
  server: ReturnType<typeof partOf>,
  count: number,
): Promise<Record<'bytes' | 'rss' | 'connect' | 'cpu', number>> {
  await fleet.grow(Math.min(firstAgents, count), limitSeconds);
  await sleep(1000);
  const before = server.figures();
  const connect = await fleet.grow(count, limitSeconds);
  const connected = server.figures();
  await sleep(3000);
  const rested = server.figures();
  const added = count - firstAgents;
  return {
    bytes: (rested.rss - before.rss) / added / 1000,
    rss: rested.rss / mb,
    connect,
    cpu: ((connected.cpuSeconds - before.cpuSeconds) / added) * 1000,
  };
}
