import { setTimeout as sleep } from 'node:timers/promises';

import { createHttp2Driver, type Http2Driver } from '../http2-driver.ts';
import type { ProxyRow } from '../row.ts';
import { quantile } from '../statistics.ts';
import { sentAt } from '../target-events.ts';

/** Below what one user may have of ours by default (--max-inflight-share-per-user of --max-longrunning-requests-inflight). */
const watches = 5_000;
const quickWatches = 1_000;
const connections = 50;
const openingAtOnce = 50;
const settleSeconds = 3;

/** Watches at which little happens: what each holds, and how long its one event a second takes. */
export const idleWatches: ProxyRow = {
  number: 5,
  title: `${watches} watches on ${connections} connections, one event a second each (--quick: ${quickWatches})`,
  metrics: [
    { key: 'bytes', title: 'KB/watch', digits: 1 },
    { key: 'cpu', title: 'µs CPU/event' },
    { key: 'p50', title: 'p50 ms', digits: 2 },
    { key: 'p99', title: 'p99 ms', digits: 2 },
  ],
  async measure({ stage, peer, quick }) {
    const count = quick ? quickWatches : watches;
    const { pathname, search } = new URL(peer.url('/api/v1/namespaces/default/configmaps?watch=true'));
    const { token, caPem } = stage;
    const driver = await createHttp2Driver({ url: peer.url(''), caPem, token, connections });
    try {
      // What one watch needs that all of them share is there before it is counted.
      const latencies: number[] = [];
      await openWatches(driver, { path: pathname + search, count: connections, latencies });
      await sleep(1000);
      const before = peer.figures().rss;
      await openWatches(driver, { path: pathname + search, count: count - connections, latencies });
      await sleep(settleSeconds * 1000);
      latencies.length = 0;
      const started = peer.figures();
      await sleep((quick ? 3 : 6) * 1000);
      const ended = peer.figures();
      if (latencies.length < count)
        throw new Error(`only ${latencies.length} events of ${count} watches came`);
      return {
        bytes: (ended.rss - before) / (count - connections) / 1000,
        cpu: ((ended.cpuSeconds - started.cpuSeconds) / latencies.length) * 1e6,
        p50: quantile(latencies, 0.5),
        p99: quantile(latencies, 0.99),
      };
    } finally {
      driver.close();
    }
  },
};

interface Watches {
  readonly path: string;
  readonly count: number;
  /** Milliseconds of each event from the target to here are added. */
  readonly latencies: number[];
}

async function openWatches(driver: Http2Driver, { path, count, latencies }: Watches): Promise<void> {
  let left = count;
  const worker = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      const stream = await driver.open(path);
      stream.on('error', () => {});
      stream.on('data', (part: Buffer) => {
        const sent = sentAt(part);
        if (sent !== undefined) latencies.push(Number(process.hrtime.bigint() - sent) / 1e6);
      });
    }
  };
  await Promise.all(Array.from({ length: openingAtOnce }, worker));
}
