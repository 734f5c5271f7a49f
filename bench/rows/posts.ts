import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { load } from '../load.ts';
import type { ProxyRow } from '../row.ts';

const bodyBytes = 64 * 1024;

/** Bodies on their way to the cluster. */
export const posts: ProxyRow = {
  number: 4,
  title: 'POST of 64 KiB, 20 at once',
  metrics: [
    { key: 'cpu', title: 'µs CPU/request' },
    { key: 'rate', title: 'requests/s' },
  ],
  async measure({ stage, peer, quick }) {
    const bodyFile = join(stage.directory, 'body.json');
    await writeFile(bodyFile, JSON.stringify({ data: 'x'.repeat(bodyBytes - '{"data":""}'.length) }));
    const all = {
      url: peer.url('/api/v1/namespaces/kube-system/configmaps'),
      ...{ token: stage.token, streams: 20, bodyFile },
    };
    await load({ ...all, seconds: quick ? 1 : 2 });
    const before = peer.figures().cpuSeconds;
    const { requests, requestsPerSecond } = await load({ ...all, seconds: quick ? 2 : 4 });
    return {
      cpu: ((peer.figures().cpuSeconds - before) / requests) * 1e6,
      rate: requestsPerSecond,
    };
  },
};
