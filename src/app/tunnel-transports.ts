import { randomUUID } from 'node:crypto';
import type { Registry } from 'prom-client';
import type { Log } from '../base/log.ts';
import { Failure } from '../base/failure.ts';
import { Scope } from '../base/scope.ts';
import type { Closable } from '../base/scope.ts';
import { denyAddresses, guardLiterals } from '../net/address-guard.ts';
import { createTransport } from '../net/create-transport.ts';
import type { Dial } from '../net/dial.ts';
import type { TransportFactory } from '../proxy/cluster-transports.ts';
import { createTunnelClientMetrics } from '../tunnel/client/client-metrics.ts';
import { createTunnelDial } from '../tunnel/client/tunnel-client.ts';
import { readTunnelTls } from '../tunnel/client/tunnel-tls.ts';
import { clientTlsOf, createDirectTransports } from './direct-transports.ts';
import type { InsideTunnelServer, TunnelOptions } from './gateway-options.ts';
import type { TunnelServerRoleOptions } from './tunnel-server-options.ts';

export interface GatewayTunnel extends Closable {
  readonly dial: Dial;
}

/**
 * The way through the tunnel, which all clusters behind it share. Certificates are read again as their files change.
 *
 * @throws Error when they cannot be read or used at the start.
 */
export async function createGatewayTunnel(
  { server, mode }: TunnelOptions,
  parts: { readonly userAgent: string; readonly metrics: Registry; readonly log: Log },
): Promise<GatewayTunnel> {
  const { userAgent, log } = parts;
  if (server.type === 'inside') return startInsideTunnel(server, parts);
  const scope = new Scope();
  const onError = (error: Error) =>
    log.error({ err: error }, 'the certificates of the tunnel cannot be used; the last ones are kept');
  const tls = server.type === 'tcp' ? scope.own(await readTunnelTls(server, { onError })) : undefined;
  const metrics = createTunnelClientMetrics(parts.metrics);
  const dial = scope.own(createTunnelDial({ mode, server, tls, userAgent, metrics, log }));
  return { dial, close: () => scope.close(), destroy: (reason) => scope.destroy(reason) };
}

/** Its metrics are among the gateway's own. */
async function startInsideTunnel(
  { host, port, certificates, identifierRule, serverCount }: InsideTunnelServer,
  { metrics, log }: { readonly metrics: Registry; readonly log: Log },
): Promise<GatewayTunnel> {
  // Most gateways have none.
  const { startTunnelServer } = await import('./tunnel-server.ts');
  const server = await startTunnelServer(
    {
      ...insideDefaults,
      serverId: randomUUID(),
      serverCount: { type: 'fixed', count: serverCount },
      agents: { address: { type: 'tcp', host, port }, certificates },
      identifierRule,
    },
    { log, registry: metrics },
  );
  return { dial: server.dial, close: () => server.stop(), destroy: () => server.destroy() };
}

type InsideOptions = 'serverId' | 'serverCount' | 'agents' | 'identifierRule';

/** As the defaults of `cluster-gateway tunnel-server`, but that the gateway waits for its own requests by itself. */
const insideDefaults: Omit<TunnelServerRoleOptions, InsideOptions> = {
  strategies: ['destHost'],
  frontend: undefined,
  agentTokens: undefined,
  kubeconfig: undefined,
  tlsMinVersion: 'TLSv1.2',
  tlsCipherSuites: [],
  dialTimeoutMs: 15_000,
  keepaliveMs: 30_000,
  frontendKeepaliveMs: 0,
  maxPendingDials: 10_000,
  maxHeldBytes: 256 * 1024 * 1024,
  shutdownGraceMs: 1_000,
  health: undefined,
  admin: undefined,
  verbosity: 0,
};

/** Makes transports by the type of a cluster's endpoint; neither clusters nor proxies must be at a denied address. */
export function createEndpointTransports(
  denied: readonly string[],
  tunnel: Dial | undefined,
): TransportFactory {
  const direct = createDirectTransports(denied);
  const throughTunnel = createTunnelTransports(denied, tunnel);
  return (cluster, credential) => {
    switch (cluster.endpoint.type) {
      case 'Const':
        return direct(cluster, credential);
      case 'ClusterProxy':
        return throughTunnel(cluster, credential);
    }
  };
}

/**
 * To clusters behind the tunnel: their TLS is their own, from end to end, so that neither the tunnel server nor another
 * cluster's agent reads what goes through.
 */
function createTunnelTransports(denied: readonly string[], tunnel: Dial | undefined): TransportFactory {
  // The name is looked up by the agent; one that is an address itself would lead there.
  const dial = tunnel && denied.length > 0 ? guardLiterals(denyAddresses(denied), tunnel) : tunnel;
  return (cluster, credential) => {
    const { host, port } = cluster.endpoint;
    if (!dial) throw new Failure('refused', 'the gateway has no tunnel');
    return createTransport({ address: { host, port }, dial, tls: clientTlsOf(cluster, credential) });
  };
}
