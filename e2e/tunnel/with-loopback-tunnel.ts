import { afterAll, afterEach, beforeAll } from 'vitest';

import type { IssuedCertificate } from '../../src/pki/issue.ts';
import { adminOf, proxyPath } from '../scenarios/registration-world.ts';
import type { Client } from '../scenarios/registration-client.ts';
import { describeWorld } from '../worlds/describe-world.ts';
import { type GatewayProcess, type KubectlOptions, type KubeWorld, startKubeWorld } from '../worlds/kube.ts';
import { registerCluster } from '../worlds/register.ts';
import { startAgent } from './agent.ts';
import { type Authority, createAuthority, reissuePort } from './authority.ts';
import type { TunnelCertificates } from './certificates.ts';
import type { Party } from './party.ts';
import { type ServerPlace, startServer, type TunnelServer } from './server.ts';
import { fixedPorts, openSite, type TunnelSite } from './site.ts';

/** The same for each port of the tunnel's server. */
export type PerPort<T> = Readonly<Record<keyof TunnelCertificates, T>>;

/**
 * A hub with the gateway behind it, and its cluster a, which runs pods, behind a tunnel on loopback, with mutual TLS on both
 * ports of the server. A test has the authorities of both.
 */
export interface LoopbackTunnel {
  readonly kube: KubeWorld;
  readonly gateway: GatewayProcess;
  readonly site: TunnelSite;
  readonly server: TunnelServer;
  readonly agent: Party;
  readonly authorities: PerPort<Authority>;
  /** Signed what the gateway shows to its callers. */
  readonly serving: Authority;
  /** Starts a second server for agents, with the certificates that there are by then: the agent looks for it all the time. */
  startSecond(): Promise<TunnelServer>;
  /** An administrator at the hub. */
  readonly hub: Client;
}

/** The cluster that the first agent leads to. */
export const tunnelled = 'tunnelled';

/** Flags that have an agent lead `name` to the API server of cluster a. */
export function leadsToA(kube: Pick<KubeWorld, 'a'>, name: string): string[] {
  return [`--destination-alias=${name}:443=127.0.0.1:${kube.a.port}`];
}

/** Registers cluster a as one that is behind the tunnel, by an agent that `leadsToA`. */
export async function registerBehindTunnel(
  kube: KubeWorld,
  name: string,
  user = 'cluster-gateway',
): Promise<void> {
  await registerCluster(kube, name, {
    cluster: kube.a,
    ...{ credential: 'X509Certificate', user, groups: ['system:masters'] },
    endpoint: `https://${name}:443`,
    labels: { 'cluster.core.oam.dev/cluster-endpoint-type': 'ClusterProxy' },
  });
}

/** How kubectl reaches a cluster through the hub. */
export function through({ hub }: Pick<KubeWorld, 'hub'>, name: string): KubectlOptions {
  return { kubeconfig: hub.kubeconfig, server: `${hub.url}${proxyPath(name)}` };
}

/** A `describe` with such a world of its own (needs root), whose logs are kept when a test failed. */
export async function withLoopbackTunnel(
  name: string,
  tests: (world: () => LoopbackTunnel) => void,
): Promise<void> {
  const scenarios = (): void => {
    let kube: KubeWorld | undefined;
    let site: TunnelSite | undefined;
    let world: LoopbackTunnel | undefined;
    let failed = false;
    beforeAll(async () => {
      [kube, site] = await Promise.all([startKubeWorld({ tunnel: false }), openSite()]);
      world = await startIn(kube, site);
    });
    afterEach(({ task }) => {
      failed ||= task.result?.state === 'fail';
    });
    afterAll(async () => {
      world?.hub.close();
      const keep = failed || world === undefined;
      await Promise.all([kube?.stop({ keep }), site?.end({ keep })]);
      if (keep)
        process.stderr.write(
          `logs of "${name}" are kept in ${kube?.directory ?? '?'} and ${site?.directory ?? '?'}\n`,
        );
    });
    tests(() => {
      if (world === undefined) throw new Error('the world has not started');
      return world;
    });
  };
  await describeWorld(name, scenarios, { node: true });
}

async function startIn(kube: KubeWorld, site: TunnelSite): Promise<LoopbackTunnel> {
  const [frontend, agents, serving] = await Promise.all([
    createAuthority('tunnel-ca frontend 1'),
    createAuthority('tunnel-ca agent 1'),
    createAuthority('cluster-gateway-ca'),
  ]);
  await reissuePort(site.certificates.frontend, frontend);
  await reissuePort(site.certificates.agent, agents);
  const [agentPort = 0, healthPort = 0, adminPort = 0] = await fixedPorts(3);
  const start = (place?: ServerPlace): Promise<TunnelServer> =>
    startServer({
      ...{ maker: 'ours', mode: 'grpc', frontend: 'mtls', site },
      ...(place === undefined ? {} : { place }),
    });
  const server = await start();
  const agent = await startAgent({
    ...{ maker: 'ours', site, identifiers: `host=${tunnelled}` },
    server: { ...server, host: `127.0.0.1,127.0.0.1:${agentPort}` },
    flags: leadsToA(kube, tunnelled),
  });
  await registerBehindTunnel(kube, tunnelled);
  const certificate = { ...(await issueServing(serving)), caPem: serving.certificatePem };
  const gateway = await kube.startGateway({ flags: gatewayFlags(server), certificate });
  return {
    ...{ kube, gateway, site, server, agent, serving },
    authorities: { frontend, agent: agents },
    startSecond: () => start({ agentPort, healthPort, adminPort }),
    hub: adminOf(kube, kube.hub),
  };
}

/** For what the gateway shows to its callers. */
export function issueServing(authority: Authority): Promise<IssuedCertificate> {
  return authority.server({
    commonName: 'cluster-gateway',
    dnsNames: ['cluster-gateway.vela-system.svc', 'localhost'],
  });
}

/** What the gateway is told of a server that it reaches by TLS. */
export function gatewayFlags(
  { mode, frontend }: Pick<TunnelServer, 'mode' | 'frontend'>,
  host = '127.0.0.1',
): string[] {
  if (frontend.type !== 'mtls') throw new Error('this server takes frontends at a Unix socket');
  const { port, certificates } = frontend;
  return [
    ...[`--proxy-host=${host}`, `--proxy-port=${port}`, `--proxy-mode=${mode}`],
    `--proxy-ca-cert=${certificates.caFile}`,
    `--proxy-cert=${certificates.clientCertificateFile}`,
    `--proxy-key=${certificates.clientKeyFile}`,
  ];
}
