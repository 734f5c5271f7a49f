import { once } from 'node:events';
import http2 from 'node:http2';
import { setTimeout as sleep } from 'node:timers/promises';

export interface VictimReport {
  readonly requests: number;
  readonly failed: number;
  readonly slowestMs: number;
  readonly medianMs: number;
}

/**
 * Somebody else, who calls over a connection of their own all the time that `attack` takes: none of their requests may
 * fail, and none may wait for long.
 */
export async function withVictim(port: number, attack: () => Promise<void>): Promise<VictimReport> {
  const session = http2.connect(`https://localhost:${port}`, { rejectUnauthorized: false });
  session.on('error', () => {});
  const times: number[] = [];
  let failed = 0;
  const state = { over: false };
  const calls = (async () => {
    while (!state.over) {
      const started = performance.now();
      if ((await statusOf(session)) === 200) times.push(performance.now() - started);
      else failed += 1;
      await sleep(5);
    }
  })();
  try {
    while (times.length + failed === 0) await sleep(5);
    await attack();
    await sleep(50);
  } finally {
    state.over = true;
    await calls;
    session.destroy();
  }
  const sorted = times.toSorted((one, other) => one - other);
  return {
    requests: times.length + failed,
    failed,
    slowestMs: sorted.at(-1) ?? NaN,
    medianMs: sorted[Math.floor(sorted.length / 2)] ?? NaN,
  };
}

async function statusOf(session: http2.ClientHttp2Session): Promise<number> {
  try {
    const stream = session.request({ ':path': '/victim' });
    stream.on('error', () => {});
    stream.resume();
    const [headers] = (await once(stream, 'response', { signal: AbortSignal.timeout(5_000) })) as [
      http2.IncomingHttpHeaders,
    ];
    return Number(headers[':status']);
  } catch {
    return 0;
  }
}
