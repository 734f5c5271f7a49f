import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

import { ensureSystem } from '../kube/debian.ts';

const run = promisify(execFile);

/** Runs a command to its end and gives what it printed. */
type Run = (command: string, ...args: readonly string[]) => Promise<string>;

export interface TcpConnectionsOptions {
  /** The process that has them. */
  readonly pid: number;
  /** The port that they lead to. */
  readonly port: number;
  /** In a network of its own; the machine's without it. */
  readonly run?: Run;
}

/** Local ports of a process's TCP connections that are open, to a port. */
export async function tcpConnections({
  pid,
  port,
  run: runIn = runHere,
}: TcpConnectionsOptions): Promise<readonly number[]> {
  const missing = await ensureSystem([{ file: 'ss', package: 'iproute2' }]);
  if (missing !== undefined) throw new Error(missing);
  const text = await runIn('ss', '-Htnp', 'state', 'established', `dport = :${port}`);
  return text
    .split('\n')
    .filter((line) => line.includes(`,pid=${pid},`))
    .map((line) => Number(/:(\d+)\s/.exec(line)?.[1]));
}

const runHere: Run = async (command, ...args) => (await run(command, args)).stdout;
