import { load } from '../load.ts';
import type { ProxyRow } from '../row.ts';

/** The namespace that the gateways' URLs of this row lead to. */
export const smallPath = '/api/v1/namespaces/kube-system';
const steadyRate = 1500;

/** What a request costs when there are as many as get through, and how long it takes when there are not. */
export const smallGet: ProxyRow = {
  number: 1,
  title: `small GET, 50 streams on one connection, then ${steadyRate}/s on ten`,
  metrics: [
    { key: 'cpu', title: 'µs CPU/request' },
    { key: 'rate', title: 'requests/s' },
    { key: 'steadyCpu', title: 'µs CPU/request steady' },
    { key: 'p50', title: 'p50 ms', digits: 2 },
    { key: 'p99', title: 'p99 ms', digits: 2 },
  ],
  async measure({ stage, peer, quick }) {
    const all = { url: peer.url(smallPath), token: stage.token };
    await load({ ...all, streams: 50, seconds: quick ? 2 : 4 });
    const idle = peer.figures().cpuSeconds;
    const full = await load({ ...all, streams: 50, seconds: quick ? 2 : 5 });
    const saturated = peer.figures().cpuSeconds;
    const steady = await load({
      ...all,
      ...{ connections: 10, streams: 10, seconds: quick ? 2 : 5, requestsPerSecond: steadyRate },
      logFolder: stage.directory,
    });
    const end = peer.figures().cpuSeconds;
    return {
      cpu: ((saturated - idle) / full.requests) * 1e6,
      rate: full.requestsPerSecond,
      steadyCpu: ((end - saturated) / steady.requests) * 1e6,
      p50: steady.p50,
      p99: steady.p99,
    };
  },
};
