import { readdir, readFile } from 'node:fs/promises';
import { get } from 'node:http';
import { join } from 'node:path';

import { mustRun, type ProcessGroup, type WorldProcess } from '../worlds/process.ts';
import { until } from '../worlds/wait.ts';

/** Whose program it is: this project's, or the one of apiserver-network-proxy. */
export type Maker = 'ours' | 'Go';

/** A server or an agent that runs as a process of its own. */
export interface Party {
  readonly maker: Maker;
  /** Of the present process: `restart` gives another. */
  readonly pid: number;
  /** Path of the file with its output. */
  readonly log: string;
  /** The sum of a metric's series, 0 without any. @example await agent.metric('konnectivity_network_proxy_agent_open_endpoint_connections') */
  metric(name: string): Promise<number>;
  /** Waits until it is connected to its other side. */
  connected(timeoutMs?: number): Promise<void>;
  /** Kills it, or sends it another signal, and waits for its end. */
  stop(signal?: NodeJS.Signals): Promise<void>;
  /** Starts it again, with the same arguments; does not wait for the other side. */
  start(): Promise<void>;
  /** Stops the process where it is, and waits until it stands: it says nothing more, and its connections stay open. */
  freeze(): Promise<void>;
  thaw(): void;
}

export interface PartyOptions {
  readonly maker: Maker;
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly directory: string;
  readonly processes: ProcessGroup;
  /** Gives the text of a path of its health port, and the status. */
  readonly health: (path: string) => Promise<{ readonly status: number; readonly text: string }>;
}

/** Starts a process and waits until its health port answers. @throws Error with the end of its log */
export async function startParty(options: PartyOptions): Promise<Party> {
  const { name, directory, health } = options;
  const log = join(directory, `${name}.log`);
  const launch = (): Promise<WorldProcess> =>
    options.processes.start({ name, command: options.command, args: options.args, log, cwd: directory });
  let running = await launch();
  const answers = async (path: string, timeoutMs: number): Promise<void> => {
    const ok = async (): Promise<true | undefined> =>
      (await health(path)).status === 200 ? true : undefined;
    await until(`${name} to answer ${path}`, ok, { timeoutMs, check: () => mustRun(running) });
  };
  await answers('/healthz', 20_000);
  return {
    maker: options.maker,
    get pid() {
      return running.pid;
    },
    log,
    metric: async (metric) => sumOf((await health('/metrics')).text, metric),
    connected: (timeoutMs = 20_000) => answers('/readyz', timeoutMs),
    async stop(signal) {
      await running.end(signal);
    },
    async start() {
      running = await launch();
      await answers('/healthz', 20_000);
    },
    async freeze() {
      process.kill(running.pid, 'SIGSTOP');
      const stands = async (): Promise<true | undefined> => (await isStopped(running.pid)) || undefined;
      await until(`${name} to stand`, stands, { timeoutMs: 5000, intervalMs: 5 });
    },
    thaw: () => process.kill(running.pid, 'SIGCONT'),
  };
}

/** Whether all threads of a process are stopped: the signal reaches them one after the other. */
async function isStopped(pid: number): Promise<boolean> {
  const threads = await readdir(`/proc/${pid}/task`);
  const states = await Promise.all(
    threads.map(async (thread) => {
      const stat = await readFile(`/proc/${pid}/task/${thread}/stat`, 'utf8');
      // Behind the name of the command, which may hold anything.
      return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3);
    }),
  );
  return states.every((state) => state === 'T');
}

/** Adds up the series of a metric in Prometheus' text format. */
export function sumOf(text: string, metric: string): number {
  let sum = 0;
  for (const line of text.split('\n')) {
    if (!line.startsWith(metric)) continue;
    const [, value] = /^(?:\{.*\})? (\S+)/.exec(line.slice(metric.length)) ?? [];
    if (value !== undefined) sum += Number(value);
  }
  return sum;
}

/** A health port of this machine's loopback, or one that a Unix socket leads to. */
export function healthAt(port: number, socketPath?: string): PartyOptions['health'] {
  return (path) =>
    new Promise((resolve, reject) => {
      // A connection for each: one that was kept may be closed by the other side in the moment in which it is used again.
      const options = { timeout: 5000, agent: false, ...(socketPath === undefined ? {} : { socketPath }) };
      const sent = get(`http://127.0.0.1:${port}${path}`, options, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        response.once('error', reject);
        response.once('end', () => resolve({ status: response.statusCode ?? 0, text }));
      });
      sent.once('error', reject);
      sent.once('timeout', () => sent.destroy(new Error(`no answer to ${path} in time`)));
    });
}
