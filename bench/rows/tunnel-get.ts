import { load, type LoadResult } from '../load.ts';
import type { ProxyRow } from '../row.ts';
import { withTunnel } from '../tunnel/running-tunnel.ts';
import { prepareTunnelCluster, tunnelUrl } from '../tunnel/tunnel-cluster.ts';
import { smallPath } from './small-get.ts';

const streams = 20;
const steadyRate = 100;

/** What a request through a tunnel costs, to each who has to do with it and beside the same without a tunnel. */
export const tunnelGet: ProxyRow = {
  number: 2,
  title: `small GET over a tunnel, ${streams} streams, and ${steadyRate}/s; server and agent are not on the proxy's core`,
  metrics: [
    { key: 'cpu', title: 'µs CPU/request' },
    { key: 'all', title: 'with server and agent' },
    { key: 'direct', title: '÷ no tunnel', digits: 2, incomparable: true },
    { key: 'rate', title: 'requests/s' },
    { key: 'p50', title: 'p50 ms', digits: 2 },
    { key: 'p99', title: 'p99 ms', digits: 2 },
  ],
  peers: ['ours', 'go'],
  prepare: prepareTunnelCluster,
  async measure({ stage, peer, quick }) {
    const { token } = stage;
    const cpuOf = (): number => peer.figures().cpuSeconds;
    const plain = { url: peer.url(smallPath), token, streams };
    await load({ ...plain, seconds: quick ? 1 : 2 });
    return withTunnel(stage, { name: peer.name, core: undefined }, async ({ server, agent }) => {
      const all = { url: tunnelUrl(peer, smallPath), token };
      await load({ ...all, streams, seconds: quick ? 1 : 2 });
      // Before there are many: the Go gateway keeps a connection for each request.
      const { p50, p99 } = await load({
        ...{ ...all, connections: 10, streams: 10, requestsPerSecond: steadyRate },
        ...{ seconds: quick ? 3 : 6, logFolder: stage.directory },
      });
      const cpuBehind = (): number => server.figures().cpuSeconds + agent.figures().cpuSeconds;
      const before = cpuBehind();
      const full = await costOf(cpuOf, () => load({ ...all, streams, seconds: quick ? 2 : 5 }));
      const behind = ((cpuBehind() - before) / full.requests) * 1e6;
      // Last, so that it is not the one whose code is still being compiled.
      const direct = await costOf(cpuOf, () => load({ ...plain, seconds: quick ? 2 : 4 }));
      return {
        ...{ cpu: full.cpu, all: full.cpu + behind, direct: full.cpu / direct.cpu },
        ...{ rate: full.requestsPerSecond, p50, p99 },
      };
    });
  },
};

/** With µs of CPU for each request. */
async function costOf(
  cpuSeconds: () => number,
  run: () => Promise<LoadResult>,
): Promise<LoadResult & { readonly cpu: number }> {
  const before = cpuSeconds();
  const result = await run();
  return { ...result, cpu: ((cpuSeconds() - before) / result.requests) * 1e6 };
}
