/**
 * `npm run bench`: what requests through the gateway cost, beside what they cost through others, with authentication
 * (TokenReview) and authorization (SubjectAccessReview) on and their answers cached. CONTRIBUTING.md says what it needs.
 */
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { availableParallelism, loadavg } from 'node:os';
import { promisify } from 'node:util';

import { ensureBinaries } from '../e2e/kube/binaries.ts';
import { ensureSystem } from '../e2e/kube/debian.ts';
import { type BenchArguments, readArguments } from './arguments.ts';
import type { PeerName, PreparedPeer } from './peers/peer.ts';
import { peers } from './peers/peers.ts';
import { startPeer } from './peers/running.ts';
import type { ProxyRow, Row, Sample } from './row.ts';
import { type PeerResult, runRounds } from './rounds.ts';
import { rows } from './rows/rows.ts';
import { type Stage, startStage } from './stage.ts';
import { formatRow, type RowResult } from './table.ts';

const run = promisify(execFile);
const usualLimitSeconds = 180;

await main(readArguments(process.argv.slice(2)));

async function main(options: BenchArguments): Promise<void> {
  const chosen = rows.filter(({ number }) => options.rows.length === 0 || options.rows.includes(number));
  if (chosen.length === 0) throw new Error(`there are rows ${rows.map(({ number }) => number).join(', ')}`);
  const missing = await ensureSystem([
    { file: 'h2load', package: 'nghttp2-client' },
    { file: 'taskset', package: 'util-linux' },
  ]);
  if (missing !== undefined) throw new Error(missing);
  // Built before this process is bound to one core.
  await ensureBinaries('control-plane');
  const environment = { cores: availableParallelism(), node: process.version, loadAverage: loadavg() };
  const proxyCore = await takeCores(environment.cores);
  const stage = await startStage({ proxyCore, nodeFlags: options.nodeFlags });
  try {
    const { prepared, skipped } = await preparePeers(stage, options);
    console.log(describe(environment, options));
    const results: RowResult[] = [];
    for (const row of chosen) {
      const measured = await runRow(row, { stage, options, prepared });
      // Nothing was skipped where there is no proxy.
      const result =
        row.kind === 'tunnel' ? measured : { ...measured, peers: [...measured.peers, ...skipped] };
      results.push(result);
      console.log(`\n${formatRow(result)}`);
      // After each row: a long run that is cut short has not run for nothing.
      if (options.json !== undefined) {
        await writeFile(options.json, `${JSON.stringify({ ...environment, rows: results }, undefined, 2)}\n`);
      }
    }
  } finally {
    await stage.stop();
  }
}

/** This process, and with it hub, target and load, leave the first core to the proxy. */
async function takeCores(cores: number): Promise<string | undefined> {
  if (cores < 2) return undefined;
  await run('taskset', ['-a', '-p', '-c', `1-${cores - 1}`, String(process.pid)]);
  return '0';
}

interface Prepared {
  readonly prepared: ReadonlyMap<PeerName, PreparedPeer>;
  readonly skipped: readonly PeerResult[];
}

async function preparePeers(stage: Stage, { peers: names }: BenchArguments): Promise<Prepared> {
  const prepared = new Map<PeerName, PreparedPeer>();
  const skipped: PeerResult[] = [];
  for (const peer of peers) {
    if (names.length > 0 && !names.includes(peer.name)) continue;
    const result = await peer.prepare(stage);
    if ('skipped' in result) skipped.push({ name: peer.name, samples: [], trouble: result.skipped });
    else prepared.set(peer.name, result);
  }
  return { prepared, skipped };
}

interface RowRun {
  readonly stage: Stage;
  readonly options: BenchArguments;
  readonly prepared: ReadonlyMap<PeerName, PreparedPeer>;
}

async function runRow(row: Row, { stage, options, prepared }: RowRun): Promise<RowResult> {
  const { number, title, metrics } = row;
  const names = namesOf(row, { options, prepared });
  const trouble = await row.prepare?.(stage).then(() => undefined, messageOf);
  if (trouble !== undefined) {
    return { number, title, metrics, peers: names.map((name) => ({ name, samples: [], trouble })) };
  }
  const { quick } = options;
  const measure = (name: PeerName): Promise<Sample> =>
    row.kind === 'tunnel'
      ? within(limitOf(row), row.measure({ stage, name, quick }))
      : measureProxy(row, name, { stage, options, prepared });
  const results = await runRounds({
    ...{ names, rounds: options.rounds },
    measure,
    progress: (name, round) => process.stderr.write(`row ${number}, round ${round + 1}: ${name}\n`),
  });
  return { number, title, metrics, peers: results };
}

function namesOf(row: Row, { options, prepared }: Pick<RowRun, 'options' | 'prepared'>): PeerName[] {
  if (row.kind !== 'tunnel') return [...prepared.keys()].filter((name) => row.peers?.includes(name) ?? true);
  return row.peers.filter((name) => options.peers.length === 0 || options.peers.includes(name));
}

async function measureProxy(
  row: ProxyRow,
  name: PeerName,
  { stage, options, prepared }: RowRun,
): Promise<Sample> {
  const peerOf = prepared.get(name);
  if (peerOf === undefined) throw new Error(`${name} is not prepared`);
  // Anew for each round: the Go gateway slows down as it leaks.
  const peer = await startPeer(stage, { name, prepared: peerOf });
  try {
    return await within(limitOf(row), row.measure({ stage, peer, quick: options.quick }));
  } finally {
    await peer.stop();
  }
}

function limitOf({ limitSeconds = usualLimitSeconds }: Row): number {
  return limitSeconds;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** A peer that hangs shall fail alone. */
function within<T>(seconds: number, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no result within ${seconds} s`)), seconds * 1000);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

function describe(
  { cores, node, loadAverage }: { cores: number; node: string; loadAverage: readonly number[] },
  { rounds, quick }: BenchArguments,
): string {
  const load = loadAverage.map((value) => value.toFixed(2)).join(' ');
  const pinning = cores < 2 ? 'one core for everything' : `the proxy alone on core 0 of ${cores}`;
  return [
    `${rounds} rounds${quick ? ', quick' : ''}; ${pinning}; Node ${node}; load average at the start ${load}`,
    'each figure: median (least–most), and the median of its ratio to the Go gateway in the same round',
    ...peers.map(({ name, what }) => `  ${name.padEnd(8)} ${what}`),
  ].join('\n');
}
