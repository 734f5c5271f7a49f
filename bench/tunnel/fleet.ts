import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

import { ensureBuilt } from '../../e2e/kube/binaries.ts';
import type { PortCertificates } from '../../e2e/tunnel/certificates.ts';
import { boundToParent } from '../../e2e/worlds/process.ts';

/** Agents of one server that get no dial, all in one process. */
export interface Fleet {
  /** Sees to it that there are so many, and waits until all are connected. @returns seconds */
  grow(count: number, limitSeconds: number): Promise<number>;
  /** Waits until each was lost and is connected again. @returns seconds */
  returned(limitSeconds: number): Promise<number>;
  /** How often an agent has tried in vain so far. */
  failures(): number;
  end(): void;
}

/** What the process prints, as a line of JSON, whenever it has changed. */
interface FleetLine {
  /** Agents that are connected now. */
  readonly ready: number;
  /** How often one of them was not any more. */
  readonly losses: number;
  readonly failures: number;
}

export interface FleetOptions {
  /** Of 127.0.0.1, for agents. */
  readonly port: number;
  readonly certificates: PortCertificates;
}

/** Builds it if need be. In Go, for a handshake costs a third there of what it costs in Node, where a fleet keeps its server waiting. */
export async function ensureFleet(): Promise<string> {
  const { 'go-fleet': path } = await ensureBuilt({
    'go-fleet': { module: '../../bench/tunnel/go-fleet', package: '.', ldflags: '-s -w', minutes: 0.3 },
  });
  return path;
}

/** Starts the process on the cores of this one, as yet without agents. */
export async function startFleet({ port, certificates }: FleetOptions): Promise<Fleet> {
  const args = [
    `-server=127.0.0.1:${port}`,
    `-ca=${certificates.caFile}`,
    `-cert=${certificates.clientCertificateFile}`,
    `-key=${certificates.clientKeyFile}`,
  ];
  const child = spawn('setpriv', boundToParent(await ensureFleet(), args), {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let line: FleetLine = { ready: 0, losses: 0, failures: 0 };
  createInterface({ input: child.stdout }).on('line', (text) => (line = JSON.parse(text) as FleetLine));
  let count = 0;
  const until = async (isDone: () => boolean, limitSeconds: number): Promise<number> => {
    const started = performance.now();
    for (;;) {
      const seconds = (performance.now() - started) / 1000;
      if (isDone()) return seconds;
      if (seconds > limitSeconds)
        throw new Error(`${line.ready} of ${count} agents were connected after ${limitSeconds} s`);
      await sleep(10);
    }
  };
  return {
    grow(wanted, limitSeconds) {
      count = wanted;
      child.stdin.write(`${wanted}\n`);
      return until(() => line.ready === wanted, limitSeconds);
    },
    returned: (limitSeconds) => until(() => line.losses >= count && line.ready === count, limitSeconds),
    failures: () => line.failures,
    end: () => void child.kill('SIGKILL'),
  };
}
