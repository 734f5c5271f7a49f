import { load } from '../load.ts';
import type { ProxyRow } from '../row.ts';
import { withTunnel } from '../tunnel/running-tunnel.ts';
import { prepareTunnelCluster, tunnelUrl } from '../tunnel/tunnel-cluster.ts';

const mb = 1e6;
const megabytes = 50;

/** Bulk: what gets through a tunnel, and what each second of server and of agent carries. */
export const tunnelLists: ProxyRow = {
  number: 2,
  title: `lists of ${megabytes} MB over a tunnel, one at a time; server and agent are not on the proxy's core`,
  metrics: [
    { key: 'rate', title: 'MB/s' },
    { key: 'cpu', title: 'ms CPU/MB', digits: 2 },
    { key: 'server', title: 'server MB/CPU-s' },
    { key: 'agent', title: 'agent MB/CPU-s' },
    { key: 'peak', title: 'peak RSS MB' },
    { key: 'serverPeak', title: 'server' },
    { key: 'agentPeak', title: 'agent' },
  ],
  peers: ['ours', 'go'],
  prepare: prepareTunnelCluster,
  measure: ({ stage, peer, quick }) =>
    withTunnel(stage, { name: peer.name, core: undefined }, async ({ server, agent }) => {
      const parts = [peer, server, agent];
      const requests = quick ? 5 : 20;
      const url = tunnelUrl(peer, `/api/v1/configmaps?bytes=${megabytes * mb}`);
      const all = { url, token: stage.token, streams: 1 };
      await load({ ...all, requests: quick ? 3 : 5 });
      for (const part of parts) part.resetPeak();
      const before = parts.map((part) => part.figures().cpuSeconds);
      const { bytes, seconds } = await load({ ...all, requests });
      const after = parts.map((part) => part.figures());
      const [cpu = 0, serverCpu = 0, agentCpu = 0] = after.map(
        (one, at) => one.cpuSeconds - (before[at] ?? 0),
      );
      const [peak = 0, serverPeak = 0, agentPeak = 0] = after.map(({ peakRss }) => peakRss / mb);
      return {
        ...{ rate: bytes / mb / seconds, cpu: (cpu * 1000) / (bytes / mb) },
        ...{ server: bytes / mb / serverCpu, agent: bytes / mb / agentCpu },
        ...{ peak, serverPeak, agentPeak },
      };
    }),
};
