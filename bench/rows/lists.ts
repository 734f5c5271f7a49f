import { load } from '../load.ts';
import type { ProxyRow } from '../row.ts';

const mb = 1e6;

/** Large answers: how many MB a second get through, what they cost, and how much of them the proxy holds at once. */
function lists(megabytes: number, plan: { streams: number; requests: number }): ProxyRow {
  return {
    number: 3,
    title: `lists of ${megabytes} MB, ${plan.streams} at once`,
    metrics: [
      { key: 'rate', title: 'MB/s' },
      { key: 'cpu', title: 'ms CPU/MB', digits: 2 },
      { key: 'peak', title: 'peak RSS MB' },
      { key: 'grown', title: 'grown by MB' },
    ],
    async measure({ stage, peer, quick }) {
      const all = {
        url: peer.url(`/api/v1/configmaps?bytes=${megabytes * mb}`),
        token: stage.token,
        streams: plan.streams,
      };
      const requests = quick ? Math.ceil(plan.requests / 4) : plan.requests;
      await load({ ...all, requests: Math.ceil(requests / 2) });
      peer.resetPeak();
      const before = peer.figures();
      const result = await load({ ...all, requests });
      const after = peer.figures();
      return {
        rate: result.bytes / mb / result.seconds,
        cpu: ((after.cpuSeconds - before.cpuSeconds) * 1000) / (result.bytes / mb),
        peak: after.peakRss / mb,
        grown: (after.rss - before.rss) / mb,
      };
    },
  };
}

export const smallLists = lists(1, { streams: 4, requests: 800 });

export const largeLists = lists(50, { streams: 1, requests: 20 });
