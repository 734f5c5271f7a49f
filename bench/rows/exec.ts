import { once } from 'node:events';
import type { TLSSocket } from 'node:tls';

import type { ProxyRow } from '../row.ts';
import { quantile } from '../statistics.ts';
import { openUpgrade } from '../upgrade-driver.ts';

const mb = 1e6;
const stdoutBytes = 512 * mb;

/** Upgraded connections, such as those of exec: one byte there and back, and a large output. */
export const exec: ProxyRow = {
  number: 6,
  title: `upgraded connection: one byte there and back, and ${stdoutBytes / mb} MB of output (--quick: a quarter)`,
  metrics: [
    { key: 'p50', title: 'p50 ms', digits: 3 },
    { key: 'p99', title: 'p99 ms', digits: 3 },
    { key: 'rate', title: 'MB/s' },
    { key: 'cpu', title: 'ms CPU/MB', digits: 2 },
  ],
  // The others carry HTTP/2 alone, or WebSocket alone: kubectl's SPDY ends in a 502 or a closed connection there.
  peers: ['ours', 'go'],
  async measure({ stage: { caPem, token }, peer, quick }) {
    const path = '/api/v1/namespaces/default/pods/box/exec?command=cat&stdin=true&stdout=true';
    const echo = await openUpgrade({ url: peer.url(path), caPem, token });
    await roundTrips(echo, 200);
    const times = await roundTrips(echo, quick ? 1000 : 4000);
    echo.destroy();

    const bytes = quick ? stdoutBytes / 4 : stdoutBytes;
    await readAll(await openUpgrade({ url: `${peer.url(path)}&bytes=${16 * mb}`, caPem, token }));
    const before = peer.figures().cpuSeconds;
    const started = performance.now();
    const read = await readAll(await openUpgrade({ url: `${peer.url(path)}&bytes=${bytes}`, caPem, token }));
    const seconds = (performance.now() - started) / 1000;
    if (read !== bytes) throw new Error(`${read} bytes of ${bytes} came`);
    return {
      p50: quantile(times, 0.5),
      p99: quantile(times, 0.99),
      rate: bytes / mb / seconds,
      cpu: ((peer.figures().cpuSeconds - before) * 1000) / (bytes / mb),
    };
  },
};

/** Milliseconds of each. */
async function roundTrips(socket: TLSSocket, count: number): Promise<number[]> {
  socket.resume();
  const times: number[] = [];
  for (let i = 0; i < count; i += 1) {
    const started = performance.now();
    const back = once(socket, 'data');
    socket.write('x');
    await back;
    times.push(performance.now() - started);
  }
  return times;
}

async function readAll(socket: TLSSocket): Promise<number> {
  let bytes = 0;
  socket.on('data', (part: Buffer) => (bytes += part.length));
  socket.resume();
  await once(socket, 'end');
  socket.destroy();
  return bytes;
}
