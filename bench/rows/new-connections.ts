import { load } from '../load.ts';
import type { ProxyRow } from '../row.ts';
import { smallPath } from './small-get.ts';

const connectionsPerSecond = 200;

/** Callers that come, ask once and go, such as kubectl: a full TLS handshake each (h2load resumes no session). */
export const newConnections: ProxyRow = {
  number: 7,
  title: `${connectionsPerSecond} new connections/s, a full handshake and a small GET each`,
  metrics: [
    { key: 'cpu', title: 'µs CPU/connection' },
    { key: 'p50', title: 'p50 ms', digits: 2 },
    { key: 'p99', title: 'p99 ms', digits: 2 },
  ],
  async measure({ stage, peer, quick }) {
    const perSecond = { url: peer.url(smallPath), token: stage.token, streams: 1, connectionsPerSecond };
    const some = (seconds: number): { connections: number; requests: number } => ({
      connections: connectionsPerSecond * seconds,
      requests: connectionsPerSecond * seconds,
    });
    await load({ ...perSecond, ...some(2) });
    const before = peer.figures().cpuSeconds;
    const result = await load({ ...perSecond, ...some(quick ? 2 : 6), logFolder: stage.directory });
    return {
      cpu: ((peer.figures().cpuSeconds - before) / result.requests) * 1e6,
      p50: result.p50,
      p99: result.p99,
    };
  },
};
