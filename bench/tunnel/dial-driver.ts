/** A client of a tunnel, in a process of its own: opens connections and sends one byte on each that comes back. */
import { once } from 'node:events';
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';

import { startGoClient } from '../../e2e/tunnel/go-client.ts';
import { startOurClient } from '../../e2e/tunnel/our-client.ts';
import { createProcessGroup } from '../../e2e/worlds/process.ts';
import type { DialPlan, DialTimes } from './dial-plan.ts';

/** Of opening a connection, of the byte that comes back, and of the end each. */
const stepMs = 60_000;
const plan = JSON.parse(process.argv[2] ?? '') as DialPlan;
const client = await startClient();
await sequential(plan.warmUp);
const times: DialTimes =
  plan.order === 'sequential'
    ? { milliseconds: await sequential(plan.count), openSeconds: 0, seconds: 0 }
    : { milliseconds: [], ...(await atOnce(plan.count)) };
console.log(JSON.stringify(times));
process.exit();

async function startClient(): ReturnType<typeof startGoClient> {
  const { client: name, frontend, site } = plan;
  if (name === 'ours') return startOurClient({ mode: 'grpc', frontend });
  // Each run counts its relays anew, and a relay that was killed leaves its socket behind.
  const directory = await mkdtemp(join(site.directory, 'dials-'));
  // Its processes end with this one.
  const processes = createProcessGroup(directory);
  return startGoClient({ ...site, directory, processes }, frontend, { reuse: name === 'go reuse' });
}

function dial(): Promise<Duplex> {
  return client.dial({ host: '127.0.0.1', port: plan.port }, AbortSignal.timeout(stepMs));
}

async function echo(socket: Duplex): Promise<void> {
  const back = step(socket, 'data');
  socket.resume().write('x');
  await back;
}

async function end(socket: Duplex): Promise<void> {
  socket.end();
  socket.resume();
  if (!socket.readableEnded) await step(socket, 'end');
  socket.destroy();
}

function step(socket: Duplex, event: 'data' | 'end'): Promise<unknown> {
  const late = new Error(`no ${event} within ${stepMs} ms`);
  return once(socket, event, { signal: AbortSignal.timeout(stepMs) }).catch((error: unknown) => {
    throw error instanceof Error && error.name === 'AbortError' ? late : error;
  });
}

async function sequential(count: number): Promise<number[]> {
  const milliseconds: number[] = [];
  for (let at = 0; at < count; at += 1) {
    const started = performance.now();
    const socket = await dial();
    await echo(socket);
    milliseconds.push(performance.now() - started);
    await end(socket);
  }
  return milliseconds;
}

async function atOnce(count: number): Promise<Pick<DialTimes, 'openSeconds' | 'seconds'>> {
  const started = performance.now();
  const since = (): number => (performance.now() - started) / 1000;
  const sockets = await Promise.all(Array.from({ length: count }, dial));
  const openSeconds = since();
  await Promise.all(sockets.map(echo));
  await Promise.all(sockets.map(end));
  return { openSeconds, seconds: since() };
}
