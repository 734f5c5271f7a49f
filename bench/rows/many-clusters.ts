import { load } from '../load.ts';
import type { ProxyRow } from '../row.ts';
import type { Stage } from '../stage.ts';
import { smallPath } from './small-get.ts';

const mb = 1e6;
const steadyRate = 1500;
const atOnce = 20;
/** Made so far: the sizes grow from row to row. */
let made = 1;

/** What it costs to know many clusters, whoever asks for which. */
function knowing(count: number): ProxyRow {
  return {
    number: 8,
    title: `${count} clusters known, small GET ${steadyRate}/s`,
    metrics: [
      { key: 'start', title: 'start s', digits: 2 },
      { key: 'rss', title: 'RSS MB' },
      { key: 'p99', title: 'p99 ms', digits: 2 },
    ],
    // A proxy of one target knows none.
    peers: ['ours', 'go'],
    prepare: (stage) => registerUpTo(stage, count),
    async measure({ stage, peer, quick }) {
      const all = {
        ...{ url: peer.url(smallPath), token: stage.token, connections: 10, streams: 10 },
        requestsPerSecond: steadyRate,
      };
      await load({ ...all, seconds: 2 });
      const result = await load({ ...all, seconds: quick ? 2 : 4, logFolder: stage.directory });
      return { start: peer.startSeconds, rss: peer.figures().rss / mb, p99: result.p99 };
    },
  };
}

async function registerUpTo({ world, target, namespace }: Stage, count: number): Promise<void> {
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  const endpoint = base64(`https://127.0.0.1:${target.port}`);
  const ca = base64(target.caPem);
  const worker = async (): Promise<void> => {
    while (made < count) {
      const name = `cluster-${made}`;
      made += 1;
      await world.hub.api.expect(`/api/v1/namespaces/${namespace}/secrets`, {
        method: 'POST',
        body: {
          metadata: {
            name,
            labels: { 'cluster.core.oam.dev/cluster-credential-type': 'ServiceAccountToken' },
          },
          data: { endpoint, 'ca.crt': ca, token: base64(`token-of-${name}`) },
        },
      });
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

export const manyClusters: readonly ProxyRow[] = [10, 1_000, 10_000].map(knowing);
