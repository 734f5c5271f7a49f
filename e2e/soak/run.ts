/** `npm run soak -- --minutes N`: a world of its own under mixed load; fails when something grew, leaked or was lost. */
import { setTimeout as sleep } from 'node:timers/promises';

import { adminOf } from '../scenarios/registration-world.ts';
import { startKubeWorld } from '../worlds/kube.ts';
import { readArguments } from './arguments.ts';
import { runCareless } from './careless.ts';
import { registerClusters, runDisturbances } from './disturbances.ts';
import { sampleProcess } from './process-sample.ts';
import { runShortRequests } from './short-requests.ts';
import { createNotes, pause, type Soak } from './soak.ts';
import { slope } from './statistics.ts';
import { runStreams } from './streams.ts';
import { growthOf, problemsOf, type Sample, unexplained } from './verdict.ts';
import { runWrites } from './writes.ts';

const sampleMs = 10_000;
/** Longer than a caller's connection is kept open without a request. */
const settleMs = 20_000;

const { minutes } = readArguments(process.argv.slice(2));
const kube = await startKubeWorld({ node: true });
const end = new AbortController();
process.once('SIGINT', () => end.abort()).once('SIGTERM', () => end.abort());
try {
  const gateway = await kube.startGateway();
  const closeClusters = await registerClusters({ kube });
  const doors = [adminOf(kube, kube.hub), adminOf(kube, gateway)] as const;
  const { signal } = end;
  const ended = (): boolean => signal.aborted;
  const soak: Soak = { kube, gateway, doors, signal, ended, minutes, notes: createNotes() };
  await pause(soak, 5_000);
  const begun = performance.now();
  const metrics = async (): Promise<string> => (await doors[1].call('/metrics')).text;
  const sample = (): Promise<Sample> =>
    sampleProcess(gateway.pid, (performance.now() - begun) / 1000, metrics);
  const before = await sample();
  console.log(`before: ${textOf(before)}`);
  const timer = setTimeout(() => end.abort(), minutes * 60_000);
  const samples: Sample[] = [];
  const load = Promise.all(
    [runShortRequests, runWrites, runStreams, runCareless, runDisturbances].map((run) => run(soak)),
  );
  // What fails altogether ends the soak.
  load.catch(() => end.abort());
  while (!soak.ended()) {
    await pause(soak, sampleMs);
    samples.push(await sample());
    const unexpected = unexplained(soak.notes.failures, soak.notes.outages).length;
    if (samples.length % 6 === 0) console.log(`${textOf(samples.at(-1) ?? before)}, ${unexpected} failures`);
  }
  clearTimeout(timer);
  await load;
  doors[0].close();
  closeClusters();
  await sleep(settleMs);
  const after = await sample();
  doors[1].close();
  console.log(`after: ${textOf(after)}`);
  const { failures, outages, lost, counts } = soak.notes;
  for (const [what, count] of [...counts].toSorted()) console.log(`${what}: ${count}`);
  const perHour = slope(
    samples.slice(samples.length / 3).map(({ second, rssMiB }) => [second / 3600, rssMiB]),
  );
  console.log(
    `resident memory: ${growthOf(samples).toFixed(1)} MiB more late than early, ${perHour.toFixed(1)} MiB/h`,
  );
  console.log(
    `failures while their cluster was away: ${failures.length - unexplained(failures, outages).length}`,
  );
  const problems = problemsOf({ before, after, samples, lost, failures: unexplained(failures, outages) });
  for (const problem of problems.slice(0, 50)) console.log(`PROBLEM ${problem}`);
  console.log(problems.length === 0 ? 'passed' : `failed: ${problems.length} problems`);
  process.exitCode = problems.length === 0 ? 0 : 1;
} finally {
  await kube.stop({ keep: process.exitCode !== 0 });
}

function textOf({ second, rssMiB, heapMiB, externalMiB, files, sockets }: Sample): string {
  const memory = `${rssMiB.toFixed(1)} MiB (heap ${heapMiB.toFixed(1)}, external ${externalMiB.toFixed(1)})`;
  return `${second.toFixed(0)} s: ${memory}, ${files} files, ${sockets} sockets`;
}
