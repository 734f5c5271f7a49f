import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { measured, report } from '../tunnel/measured.ts';
import {
  endsOf,
  type OpenAtOnce,
  openUpgrades,
  openWatchesAt,
  sendUnanswered,
} from '../tunnel/open-at-once.ts';
import { type Loss, lostPackets, losePackets } from '../tunnel/packet-loss.ts';
import { tcpConnections } from '../tunnel/tcp-connections.ts';
import { type IslandWorld, withIsland } from '../tunnel/with-island.ts';
import { box } from '../worlds/node.ts';
import { registerCluster } from '../worlds/register.ts';
import { until } from '../worlds/wait.ts';
import { type Load, outcomes, startLoad } from './life-load.ts';
import { type Client } from './registration-client.ts';
import { adminOf, proxyPath } from './registration-world.ts';

/** Until a caller knows that a cluster behind a dead link, or with an agent that stands still, cannot be reached. */
const unreachableMs = 40_000;
/** Until a cluster can be reached again whose link was mended: both sides have to see that their connection is no more. */
const backMs = 40_000;
/** Until callers know of a server that was killed. */
const killedMs = 10_000;
/** A cluster that has nothing to do with the tunnel. */
const other = 'elsewhere';
const place = '/api/v1/namespaces/default';

await withIsland('faults of a tunnel', scenarios, {
  // By default 30 s, so that a dead agent is known after 50 s.
  serverFlags: ['--keepalive-time=5s'],
  agentFlags: ['--keepalive-time=31s'],
});

function scenarios(world: () => IslandWorld): void {
  let hub: Client;
  beforeAll(async () => {
    const { kube, island } = world();
    await registerCluster(kube, island.name, {
      ...{ cluster: island.cluster, credential: 'X509Certificate', endpoint: `https://${island.name}:443` },
      labels: { 'cluster.core.oam.dev/cluster-endpoint-type': 'ClusterProxy' },
    });
    await registerCluster(kube, other, { cluster: kube.b, credential: 'X509Certificate' });
    hub = adminOf(kube, kube.hub);
    await until('the island', works, { timeoutMs: 20_000 });
  });
  afterAll(() => hub.close());

  const path = (rest: string): string => proxyPath(world().island.name, rest);
  const through = () => ({
    kubeconfig: world().kube.hub.kubeconfig,
    server: `${world().kube.hub.url}${path('')}`,
  });
  async function works(): Promise<true | undefined> {
    return (await hub.call(path(place))).status === 200 || undefined;
  }

  /** Sends requests to the other cluster, and holds a watch of it, while something happens: all of it goes on. */
  async function whileOthersWork(happening: () => Promise<void>): Promise<void> {
    const { hub: target } = world().kube;
    const watch = await openWatchesAt(hub, proxyPath(other, '/api/v1/namespaces?watch=true'), 1);
    const load: Load = startLoad({
      ...{ path: proxyPath(other, place), perSecond: 20, target: () => target },
      ...{ certificatePem: target.adminCertificatePem, keyPem: target.adminKeyPem },
    });
    try {
      await happening();
      expect(watch.ended).toEqual([]);
    } finally {
      await load.stop();
      await watch.kill();
    }
    expect(load.results.length).toBeGreaterThan(5);
    expect(Object.keys(outcomes(load.results))).toEqual(['200']);
  }

  /**
   * Three requests, one after the other, each end with a Status that says that the cluster cannot be reached, and an upgrade
   * that was open ends, too. Once `mend` is done the cluster can be reached, and its agent keeps nothing of before.
   */
  async function whileUnreachable(
    what: string,
    part: () => Promise<void>,
    mend: () => Promise<void>,
  ): Promise<void> {
    const upgrades = await openUpgrades(world().kube, through(), 1);
    try {
      await whileOthersWork(async () => {
        await part();
        try {
          for (let at = 0; at < 3; at += 1) await isUnreachable(`${what}, request ${at}`, at === 0);
          const isOver = () => Promise.resolve(upgrades.ended.length === 1 || undefined);
          await measured(`${what}: the upgrade is over`, unreachableMs, isOver);
          expect(endsOf([upgrades])).toEqual({ 'upgrade: code 1': 1 });
        } finally {
          await mend();
        }
        await measured(`${what}, and no more: works again`, backMs, works);
        await agentKeepsOne();
      });
    } finally {
      await upgrades.kill();
    }
  }

  async function isUnreachable(what: string, isFirst: boolean): Promise<void> {
    const answer = await hub.call(path(place), { timeoutMs: unreachableMs + 5000 });
    const { status, text, ms } = answer;
    report(`${what}: ${status} after ${Math.round(ms)} ms: ${text}`);
    // The first goes out on the connection that there is, and may have arrived for all that is known.
    expect(isFirst ? [502, 503] : [503]).toContain(status);
    expect(ms).toBeLessThan(unreachableMs);
    expect(answer.json()).toMatchObject({ kind: 'Status', code: status });
  }

  /** Connections of the agent to the API server. */
  const toApi = (): Promise<readonly number[]> => {
    const { agent, inside } = world().island;
    return tcpConnections({ pid: agent.pid, port: 443, run: (...command) => inside.run(...command) });
  };

  /** The gateway has one connection for all requests; what was open before is not open any more. */
  const agentKeepsOne = (): Promise<number> =>
    measured('the agent has no more than one connection', killedMs, async () =>
      (await toApi()).length <= 1 ? true : undefined,
    );

  test.each([
    ['both ways', { toServer: 100, toAgent: 100 }],
    ['from the agent to the server alone', { toServer: 100 }],
    ['from the server to the agent alone', { toAgent: 100 }],
  ] as const satisfies [string, Loss][])(
    'packets that vanish %s: callers hear of it in time, and it works once they arrive again',
    async (way, loss) => {
      const { island } = world();
      const lose = () => losePackets(island, loss);
      const mend = async (): Promise<void> => {
        const lost = await lostPackets(island);
        await losePackets(island, {});
        expect(lost).toBeGreaterThan(0);
      };
      await whileUnreachable(`packets vanish ${way}`, lose, mend);
    },
  );

  test('a link that loses one packet of twenty: requests, and 20 MB of an upgrade, arrive whole', async () => {
    const { island, kube } = world();
    await losePackets(island, { toServer: 5, toAgent: 5 });
    try {
      const answers = await Promise.all(Array.from({ length: 100 }, () => hub.call(path(place))));
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
      const slowest = Math.max(...answers.map(({ ms }) => ms));
      const args = ['exec', box.name, '--', 'sh', '-c', 'head -c 20000000 /dev/zero'];
      const { code, stdout, stderr } = await kube.kubectl(args, { ...through(), timeoutMs: 60_000 });
      expect({ code, length: stdout.length }, stderr).toEqual({ code: 0, length: 20_000_000 });
      const lost = await lostPackets(island);
      report(`lossy link: ${lost} packets lost, slowest request ${Math.round(slowest)} ms`);
      expect(lost).toBeGreaterThan(5);
      expect(slowest).toBeLessThan(10_000);
    } finally {
      await losePackets(island, {});
    }
  });

  test('a server that is killed under 50 requests and 10 upgrades: each ends in time, nothing stays open, nobody else notices', async () => {
    const { island, kube } = world();
    const { agent, server, cluster } = island;
    const open: OpenAtOnce[] = [];
    try {
      await whileOthersWork(async () => {
        open.push(await openUpgrades(kube, through(), 10));
        open.push(await openWatchesAt(hub, path('/api/v1/namespaces?watch=true'), 25));
        expect((await toApi()).length).toBeGreaterThanOrEqual(11);
        cluster.freeze();
        open.push(sendUnanswered(hub, path(place), 25));
        await sleep(1000);
        expect(endsOf(open)).toEqual({});
        const killed = performance.now();
        await server.stop('SIGKILL');
        await Promise.race([
          Promise.all(open.map(({ all }) => all)),
          sleep(killedMs, undefined, { ref: false }),
        ]);
        const ends = open.flatMap(({ ended }) => ended);
        report(
          `server killed: ${JSON.stringify(endsOf(open))}, the last after ${Math.round(Math.max(...ends.map(({ at }) => at)) - killed)} ms`,
        );
        expect(ends).toHaveLength(60);
        expect(ends.filter(({ how }) => how.startsWith('200') || how === 'code 0')).toEqual([]);
        await measured(
          'agent: its connections are closed',
          killedMs,
          async () => (await toApi()).length === 0 || undefined,
        );
        expect(await agent.metric('konnectivity_network_proxy_agent_open_endpoint_connections')).toBe(0);
      });
    } finally {
      cluster.thaw();
      await server.start();
      for (const each of open) await each.kill();
    }
    await measured('server started again: works', 20_000, works);
    const exec = await kube.kubectl(['exec', box.name, '--', 'echo', 'back'], through());
    expect(exec).toMatchObject({ code: 0, stdout: 'back\n' });
    await agentKeepsOne();
  });

  test('an agent that stands still: callers hear of it in time, and it works once it goes on', async () => {
    const { agent } = world().island;
    const freeze = () => agent.freeze();
    await whileUnreachable('the agent is frozen', freeze, () => {
      agent.thaw();
      return Promise.resolve();
    });
  });
}
