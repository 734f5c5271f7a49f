import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { ensureSystem } from '../kube/debian.ts';
import { mustRun, type ProcessGroup } from '../worlds/process.ts';
import { until } from '../worlds/wait.ts';

const run = promisify(execFile);

/** A network namespace: it has a loopback, and what else a test puts into it. It goes with its last process. */
export interface NetworkNamespace {
  /** Starts processes in it. They end with the group that it was opened for. */
  readonly processes: ProcessGroup;
  /** The pid of the process that holds it open. */
  readonly pid: number;
  /** Words in front of a command that is to run in it. */
  readonly enter: readonly string[];
  /** Runs a command in it to its end and gives what it printed. */
  run(command: string, ...args: readonly string[]): Promise<string>;
  /** Makes Unix sockets that lead to ports of its loopback, or to `address:port`; gives their paths. */
  relay(...targets: readonly Target[]): Promise<(target: Target) => string>;
}

/** A port of the loopback, or `address:port`. */
export type Target = number | string;

export interface NamespaceOptions {
  readonly name: string;
  readonly directory: string;
  readonly processes: ProcessGroup;
}

/** Makes a network namespace (needs root). */
export async function openNamespace(options: NamespaceOptions): Promise<NetworkNamespace> {
  const { name, directory, processes } = options;
  const missing = await ensureSystem([
    { file: 'ip', package: 'iproute2' },
    { file: 'nsenter', package: 'util-linux' },
  ]);
  if (missing !== undefined) throw new Error(missing);
  const log = join(directory, `${name}-namespace.log`);
  const holder = await processes.start({
    name: `the namespace ${name}`,
    command: 'unshare',
    args: ['--net', '--', 'sh', '-c', 'ip link set lo up && echo up && exec sleep infinity'],
    log,
    cwd: directory,
  });
  const up = async (): Promise<true | undefined> => (await readFile(log, 'utf8')).includes('up') || undefined;
  await until(`the namespace ${name}`, up, { timeoutMs: 5000, intervalMs: 10, check: () => mustRun(holder) });
  const enter = [`--net=/proc/${holder.pid}/ns/net`, '--'];
  const inside: ProcessGroup = {
    start: (process) =>
      processes.start({
        ...process,
        command: 'nsenter',
        args: [...enter, process.command, ...process.args],
      }),
    endAll: () => processes.endAll(),
  };
  return {
    processes: inside,
    pid: holder.pid,
    enter: ['nsenter', ...enter],
    async run(command, ...args) {
      const { stdout } = await run('nsenter', [...enter, command, ...args], { timeout: 10_000 });
      return stdout;
    },
    async relay(...targets) {
      const path = (target: Target): string => join(directory, `${name}-${target}.sock`);
      await inside.start({
        name: `the relay of ${name}`,
        command: process.execPath,
        args: [
          join(import.meta.dirname, 'socket-relay.ts'),
          ...targets.map((target) => `${path(target)}=${target}`),
        ],
        log: join(directory, `${name}-relay.log`),
        cwd: directory,
      });
      return path;
    },
  };
}

/** Joins two namespaces by a pair of interfaces, each called `tunnel`, which is in no other namespace at any time. */
export async function joinNamespaces(
  first: { readonly namespace: NetworkNamespace; readonly address: string },
  second: { readonly namespace: NetworkNamespace; readonly address: string },
): Promise<void> {
  const peer = ['peer', 'name', 'tunnel', 'netns', String(second.namespace.pid)];
  await first.namespace.run('ip', 'link', 'add', 'tunnel', 'type', 'veth', ...peer);
  for (const { namespace, address } of [first, second]) {
    await namespace.run('ip', 'address', 'add', `${address}/30`, 'dev', 'tunnel');
    await namespace.run('ip', 'link', 'set', 'tunnel', 'up');
  }
}
