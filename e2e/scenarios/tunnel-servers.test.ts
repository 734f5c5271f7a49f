import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';

import { startAgent } from '../tunnel/agent.ts';
import { createAuthority, reissuePort } from '../tunnel/authority.ts';
import { createHostsFile, type HostsFile } from '../tunnel/hosts-file.ts';
import { measured, report } from '../tunnel/measured.ts';
import type { Party } from '../tunnel/party.ts';
import { startServer, type TunnelServer } from '../tunnel/server.ts';
import { fixedPorts, openSite, type TunnelSite } from '../tunnel/site.ts';
import { gatewayFlags, leadsToA, registerBehindTunnel, tunnelled } from '../tunnel/with-loopback-tunnel.ts';
import { describeWorld } from '../worlds/describe-world.ts';
import { startGateway } from '../worlds/gateway.ts';
import { type KubeWorld, startKubeWorld } from '../worlds/kube.ts';
import { until } from '../worlds/wait.ts';
import { type Load, type LoadResult, outcomes, startLoad } from './life-load.ts';
import { proxyPath } from './registration-world.ts';

/** What agents and the gateway know all servers by. */
const name = 'tunnel.test';
const path = proxyPath(tunnelled, '/api/v1/namespaces/default');
/** Until agents are at a server that has appeared: names are resolved, and tries made, every 10 s at the latest. */
const joinMs = 25_000;
/** For the one request that may wait for the end of a connection, and for another one to be made. */
const answerMs = 10_000;

await describeWorld('three tunnel servers behind one name', scenarios, { node: false });

function scenarios(): void {
  let kube: KubeWorld;
  let site: TunnelSite;
  let hosts: HostsFile;
  let load: Load | undefined;
  /** By address. */
  const servers = new Map<string, TunnelServer>();
  const agents: Party[] = [];
  const ports: { frontend: number; agent: number } = { frontend: 0, agent: 0 };
  let failed = true;

  async function startAt(address: string): Promise<void> {
    const [healthPort = 0, adminPort = 0] = await fixedPorts(2);
    const server = await startServer({
      ...{ maker: 'ours', mode: 'grpc', frontend: 'mtls', site },
      ...{ agentAddress: address, frontendAddress: address },
      place: { frontendPort: ports.frontend, agentPort: ports.agent, healthPort, adminPort },
      flags: ['--server-count=3', '--graceful-shutdown-timeout=5s'],
    });
    servers.set(address, server);
    await hosts.set({ [name]: [...servers.keys()] });
  }

  beforeAll(async () => {
    [kube, site] = await Promise.all([startKubeWorld({ node: false, tunnel: false }), openSite()]);
    const { directory, processes, certificates } = site;
    for (const port of [certificates.frontend, certificates.agent])
      await reissuePort(port, await createAuthority('tunnel-ca'), { dnsNames: [name] });
    hosts = await createHostsFile({ directory, processes, names: {} });
    const [frontend = 0, agent = 0] = await fixedPorts(2);
    Object.assign(ports, { frontend, agent });
    for (const address of ['127.0.0.2', '127.0.0.3', '127.0.0.4']) await startAt(address);
    for (let at = 0; at < 2; at += 1)
      agents.push(
        await startAgent({
          ...{ maker: 'ours', site: { ...site, processes: hosts.processes } },
          ...{ identifiers: `host=${tunnelled}`, flags: leadsToA(kube, tunnelled) },
          server: { host: name, agentPort: agent },
        }),
      );
    await registerBehindTunnel(kube, tunnelled);
    const [first] = servers.values();
    if (first === undefined) throw new Error('there are three');
    await startGateway(
      {
        ...{ directory: kube.directory, hub: kube.hub, processes: hosts.processes },
        kubectl: { run: kube.kubectl, spawn: kube.spawnKubectl },
      },
      { flags: gatewayFlags(first, name) },
    );
    await Promise.all([...servers.values()].map((server) => hasAllAgents(server)));
    failed = false;
  });
  afterEach(async ({ task }) => {
    failed ||= task.result?.state === 'fail';
    await load?.stop();
    load = undefined;
  });
  afterAll(async () => {
    await Promise.all([kube.stop({ keep: failed }), site.end({ keep: failed })]);
    if (failed) process.stderr.write(`logs are kept in ${kube.directory} and ${site.directory}\n`);
  });

  const hasAllAgents = (server: TunnelServer, what = 'all agents are at a server'): Promise<number> =>
    measured(what, joinMs, async () => (await readyAgents(server)) === agents.length || undefined);

  /** Requests to the cluster behind the tunnel, through the hub, until they are answered. */
  async function startRequests(): Promise<Load> {
    const { hub } = kube;
    load = startLoad({
      ...{ path, perSecond: 100, target: () => hub },
      ...{ certificatePem: hub.adminCertificatePem, keyPem: hub.adminKeyPem },
    });
    const { results } = load;
    const answered = () => Promise.resolve(results.at(-1)?.status === 200 || undefined);
    await until('the first answers', answered, { timeoutMs: 15_000 });
    return load;
  }

  /** The server that carries the requests: the gateway has one connection to a cluster. */
  const inUse = (): Promise<[string, TunnelServer]> =>
    until(
      'one of the servers to carry something',
      async () => {
        for (const [address, server] of servers)
          if ((await server.metric('konnectivity_network_proxy_server_established_connections')) > 0)
            return [address, server] as [string, TunnelServer];
        return undefined;
      },
      { timeoutMs: 10_000 },
    );

  /** Waits until so many more requests have been sent and answered. */
  async function moreAnswers({ results }: Load, count: number): Promise<void> {
    const before = results.length;
    const answered = () => Promise.resolve(results.length >= before + count || undefined);
    await until(`${count} more answers`, answered, { timeoutMs: 30_000 });
  }

  test('one that is stopped, and another in its place: no request fails', async () => {
    const requests = await startRequests();
    const [address, server] = await inUse();
    servers.delete(address);
    const started = performance.now();
    const [, , stopMs] = await Promise.all([
      startAt('127.0.0.5'),
      moreAnswers(requests, 100),
      server.stop('SIGTERM').then(() => Math.round(performance.now() - started)),
    ]);
    const another = servers.get('127.0.0.5');
    if (another === undefined) throw new Error('it was started');
    await hasAllAgents(another, 'all agents are at the server that was started in place of another');
    await moreAnswers(requests, 100);
    const results = await requests.stop();
    report(`a server stopped in ${stopMs} ms: ${summary(results)}`);
    expect(Object.keys(outcomes(results))).toEqual(['200']);
    expect(slowest(results)).toBeLessThan(answerMs);
    await Promise.all([...servers.values()].map((each) => hasAllAgents(each)));
  });

  test('one that is killed: no request fails but those that were on their way', async () => {
    const requests = await startRequests();
    const [, server] = await inUse();
    const killed = performance.now();
    await server.stop('SIGKILL');
    await moreAnswers(requests, 200);
    const late = requests.results.filter(({ at, status }) => at > killed + 1000 && status !== 200);
    expect(late).toEqual([]);
    await server.start();
    await hasAllAgents(server, 'all agents are at a server that was started again');
    await moreAnswers(requests, 100);
    const results = await requests.stop();
    report(`a server killed: ${summary(results)}`);
    const lost = results.filter(({ status }) => status !== 200);
    for (const { at } of lost) expect(at).toBeLessThan(killed + 1000);
    expect(results.filter(({ at }) => at > killed + 1000).length).toBeGreaterThan(100);
    expect(slowest(results)).toBeLessThan(answerMs);
  });
}

function readyAgents(server: TunnelServer): Promise<number> {
  return server.metric('konnectivity_network_proxy_server_grpc_connections{service_method="Connect"}');
}

function slowest(results: readonly LoadResult[]): number {
  return Math.max(...results.map(({ ms }) => ms));
}

function summary(results: readonly LoadResult[]): string {
  return `${JSON.stringify(outcomes(results))}, the slowest after ${Math.round(slowest(results))} ms`;
}
