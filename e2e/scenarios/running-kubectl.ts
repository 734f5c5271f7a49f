import type { ChildProcess } from 'node:child_process';
import { readFile } from 'node:fs/promises';

import type { KubectlOptions } from '../worlds/kubectl.ts';
import { childExit, type Exit } from '../worlds/process.ts';
import { until } from '../worlds/wait.ts';
import type { World } from './world.ts';

/** A kubectl that runs until somebody ends it, and what it has said so far. */
export interface RunningKubectl {
  readonly child: ChildProcess;
  readonly exited: Promise<Exit>;
  stdout(): string;
  stderr(): string;
  /** Each line of stdout with the time at which its end arrived (milliseconds of `performance.now`). */
  lines(): readonly { readonly text: string; readonly at: number }[];
  /** Waits until the output (both streams) matches. */
  says(pattern: RegExp, timeoutMs?: number): Promise<RegExpExecArray>;
  write(text: string): void;
  /** Kills it, if it still runs, and waits for the end. */
  kill(): Promise<void>;
}

/** Starts kubectl and collects what it says. */
export function runKubectl(
  world: Pick<World, 'spawnKubectl'>,
  args: readonly string[],
  options: KubectlOptions,
): RunningKubectl {
  const child = world.spawnKubectl(args, options);
  const exited = childExit(child);
  const said = { stdout: '', stderr: '' };
  const lines: { text: string; at: number }[] = [];
  child.stdin?.on('error', () => {});
  child.stderr?.on('data', (chunk: Buffer) => (said.stderr += chunk.toString()));
  child.stdout?.on('data', (chunk: Buffer) => {
    said.stdout += chunk.toString();
    const complete = said.stdout.split('\n').slice(0, -1);
    for (const text of complete.slice(lines.length)) lines.push({ text, at: performance.now() });
  });
  return {
    child,
    exited,
    stdout: () => said.stdout,
    stderr: () => said.stderr,
    lines: () => lines,
    says: (pattern, timeoutMs = 15_000) =>
      until(
        `kubectl ${args.join(' ')} to say ${String(pattern)}`,
        () => {
          const match = pattern.exec(said.stdout) ?? pattern.exec(said.stderr);
          if (match) return Promise.resolve(match);
          return Promise.reject(new Error(`it said: ${said.stdout.slice(-500)}\n${said.stderr.slice(-500)}`));
        },
        { timeoutMs },
      ),
    write: (text) => void child.stdin?.write(text),
    async kill() {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
      await exited;
    },
  };
}

/** The kubectl below script(1), which gives it a terminal: the last of its descendants. */
export async function lastDescendant(pid: number): Promise<number> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  const [child] = children.trim().split(' ').filter(Boolean);
  return child === undefined ? pid : lastDescendant(Number(child));
}
