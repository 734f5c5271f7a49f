import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { type GoGateway, startGoGateway } from '../tunnel/go-gateway.ts';
import { type IslandWorld, withIsland } from '../tunnel/with-island.ts';
import { startControllers } from '../worlds/controllers.ts';
import { createKubectl, type KubectlRun } from '../worlds/kubectl.ts';
import { box } from '../worlds/node.ts';
import { registerCluster, type RegisterOptions } from '../worlds/register.ts';
import { until } from '../worlds/wait.ts';
import { type Comparison, describeComparison } from './differential-comparison.ts';
import { openWatches } from './open-watches.ts';
import type { Client } from './registration-client.ts';
import { adminOf, proxyPath } from './registration-world.ts';
import { runKubectl } from './running-kubectl.ts';
import { proxyUrl } from './world.ts';

const watchCount = 5000;
const names = ['admin', 'limited', 'watched'] as const;
const identifiers = names.map((name) => `host=${name}`).join('&');

await withIsland('everything to a cluster that only the tunnel leads to', scenarios, {
  agentFlags: [
    `--agent-identifiers=${identifiers}`,
    ...names.map((name) => `--destination-alias=${name}:443=127.0.0.1:443`),
  ],
});

function scenarios(world: () => IslandWorld): void {
  let comparison: Comparison;
  let hub: Client;
  let direct: Client;
  beforeAll(async () => {
    const { kube, island, gateway } = world();
    hub = adminOf(kube, kube.hub);
    direct = adminOf(kube, gateway);
    await Promise.all([
      startControllers(island.cluster, island.inside.processes),
      register('admin', { credential: 'X509Certificate' }),
      register('watched', { credential: 'X509Certificate' }),
      register('limited', { credential: 'ServiceAccountToken', user: 'limited' }),
    ]);
    const { enter } = island.inside;
    const program = { binary: kube.binaries.kubectl, release: kube.hubRelease, enter };
    const there = await createKubectl(program, island.site.directory);
    comparison = {
      ...{ directory: kube.directory, hub: kube.hub, cluster: island.cluster },
      kubectl: (args, options) => kube.kubectl(args, options),
      kubectlThere: (args, options) => there.run(args, options),
    };
  });
  afterAll(() => {
    hub.close();
    direct.close();
  });

  const register = (name: (typeof names)[number], options: Pick<RegisterOptions, 'credential' | 'user'>) =>
    registerCluster(world().kube, name, {
      ...{ cluster: world().island.cluster, endpoint: 'https://nobody.invalid', ...options },
      labels: { 'cluster.core.oam.dev/cluster-endpoint-type': 'ClusterProxy' },
    });

  /** Watches of config maps that the API server has open, by its own word. */
  async function watchesThere(): Promise<number> {
    const { text } = await world().island.cluster.api.call('/metrics', { timeoutMs: 30_000 });
    const lines = text.split('\n').filter((line) => line.startsWith('apiserver_longrunning_requests{'));
    const ours = lines.filter(
      (line) => line.includes('resource="configmaps"') && line.includes('verb="WATCH"'),
    );
    return ours.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
  }

  describe(`${watchCount} watches`, () => {
    test('each gets an event, and all of them go with their callers', async () => {
      const { kube, island, gateway } = world();
      const { server, agent } = island;
      const processes = { gateway, server, agent };
      const path = proxyPath(
        'watched',
        '/api/v1/namespaces/default/configmaps?watch=true&fieldSelector=metadata.name%3Dawaited',
      );
      expect((await direct.call(proxyPath('watched', '/version'))).status).toBe(200);
      const before = await residentMebibytes(processes);
      const others = await watchesThere();
      const started = performance.now();
      const watches = await openWatches(
        { ...gateway, certificatePem: kube.hub.adminCertificatePem, keyPem: kube.hub.adminKeyPem },
        { count: watchCount, perConnection: 500, path, texts: ['"name":"awaited"'] },
      );
      const openMs = performance.now() - started;
      try {
        const all = async (): Promise<true | undefined> =>
          (await watchesThere()) - others >= watchCount || undefined;
        await until('all to be open at the cluster', all, { timeoutMs: 60_000, intervalMs: 500 });
        const connections = await agent.metric(openConnections);
        // What was measured until now is forgotten when it is read.
        await lagMs(direct);
        const asked = performance.now();
        const made = await hub.call(proxyPath('admin', '/api/v1/namespaces/default/configmaps'), {
          method: 'POST',
          headers: ['Content-Type', 'application/json'],
          body: '{"metadata":{"name":"awaited"}}',
        });
        expect(made.status).toBe(201);
        const told = (): Promise<true | undefined> =>
          Promise.resolve(watches.saw('"name":"awaited"') === watchCount || undefined);
        await until('all to be told', told, { timeoutMs: 60_000, intervalMs: 10 });
        const toldMs = performance.now() - asked;
        const after = await residentMebibytes(processes);
        const lag = await lagMs(direct);
        expect(watches.ended()).toBe(0);
        report(
          `${watchCount} watches open after ${(openMs / 1000).toFixed(1)} s on ${connections} connections at the cluster; ` +
            `all told of an event after ${Math.round(toldMs)} ms; event loop lag p99 of the gateway ${lag.toFixed(1)} ms; ` +
            Object.entries(after)
              .map(([name, mebibytes]) => `${name} ${before[name] ?? 0} -> ${mebibytes} MiB`)
              .join(', '),
        );
        // The API server allows a hundred on each.
        expect(connections).toBeGreaterThanOrEqual(watchCount / 250);
        expect(connections).toBeLessThan(watchCount / 20);
        for (const [name, mebibytes] of Object.entries(after))
          expect(mebibytes - (before[name] ?? 0), name).toBeLessThan((watchCount * 64) / 1024);
      } finally {
        watches.close();
      }
      const gone = async (): Promise<true | undefined> => (await watchesThere()) - others <= 0 || undefined;
      await until('none to be open at the cluster', gone, { timeoutMs: 60_000, intervalMs: 500 });
      expect((await direct.call(proxyPath('watched', '/version'))).status).toBe(200);
    });
  });

  describe('the Go gateway, through our server and our agent', () => {
    let go: GoGateway;
    beforeAll(async () => {
      go = await startGoGateway(world(), names);
      return () => go.end();
    });
    const through = () => ({ kubeconfig: go.kubeconfig, server: proxyUrl({ hub: go }, 'admin') });
    const kubectl = (args: readonly string[], more: Partial<KubectlRun> = {}) =>
      world().kube.kubectl(args, { ...through(), ...more });

    test('kubectl get and list', async () => {
      const dialled = await go.agent.metric(dialCount);
      expect(await kubectl(['get', 'nodes', '-o', 'name'])).toMatchObject({
        code: 0,
        stdout: 'node/node-a\n',
      });
      const pod = await kubectl(['get', 'pod', box.name, '-o', 'jsonpath={.status.phase}']);
      expect(pod).toMatchObject({ code: 0, stdout: 'Running' });
      expect(await go.agent.metric(dialCount)).toBeGreaterThan(dialled);
    });

    test.each([
      ['WebSocket', {}],
      ['SPDY', { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: 'false' }],
    ])('kubectl exec over %s', async (_, env) => {
      const script = 'read line; echo "got $line"; echo oops >&2; exit 7';
      const result = await kubectl(['exec', '-i', box.name, '--', 'sh', '-c', script], {
        env,
        stdin: 'hello\n',
      });
      expect(result).toMatchObject({ code: 7, stdout: 'got hello\n' });
      expect(result.stderr).toContain('oops');
    });

    test('kubectl logs -f, and a watch', async () => {
      const follow = runKubectl(world().kube, ['logs', '-f', '--tail=1', box.name], through());
      const watch = runKubectl(world().kube, ['get', 'configmaps', '--watch', '-o', 'name'], through());
      try {
        await until('four lines', () => Promise.resolve(follow.lines()[3]), { timeoutMs: 20_000 });
        await watch.says(/configmap\/kube-root-ca/);
        expect((await kubectl(['create', 'configmap', 'by-go'])).code).toBe(0);
        await watch.says(/configmap\/by-go/);
      } finally {
        await Promise.all([follow.kill(), watch.kill()]);
      }
    });
  });

  describe('kubectl does as at the cluster', () => describeComparison(() => comparison));

  test('connections that carried watches have ended', async () => {
    const { agent } = world().island;
    const few = async (): Promise<true | undefined> =>
      (await agent.metric(openConnections)) < 10 || undefined;
    // A connection without a stream lasts a minute and a half.
    await until('few connections at the cluster', few, { timeoutMs: 150_000, intervalMs: 500 });
  }, 180_000);
}

const openConnections = 'konnectivity_network_proxy_agent_open_endpoint_connections';
const dialCount = 'konnectivity_network_proxy_agent_dial_duration_seconds_count';

/** 99th percentile since it was last asked for. */
async function lagMs(gateway: Client): Promise<number> {
  const { text } = await gateway.call('/metrics');
  return Number(/^nodejs_eventloop_lag_p99_seconds (\S+)$/m.exec(text)?.[1]) * 1000;
}

async function residentMebibytes(
  processes: Readonly<Record<string, { readonly pid: number }>>,
): Promise<Record<string, number>> {
  const figures = Object.entries(processes).map(async ([name, { pid }]) => {
    const status = await readFile(`/proc/${pid}/status`, 'utf8');
    return [name, Math.round(Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024)] as const;
  });
  return Object.fromEntries(await Promise.all(figures));
}

function report(text: string): void {
  process.stderr.write(`${text}\n`);
}
