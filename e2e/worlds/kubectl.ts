import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import type { ReleaseName } from '../kube/catalogue.ts';
import { boundToParent, childExit } from './process.ts';

export interface KubectlOptions {
  /** Path. */
  readonly kubeconfig: string;
  /** Instead of the kubeconfig's server. */
  readonly server?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Runs it on a pseudo terminal of its own (for `exec -t`), by way of script(1). */
  readonly tty?: boolean;
}

export interface KubectlRun extends KubectlOptions {
  readonly stdin?: string | Buffer;
  /** Then it is killed, with the code 124. Default 30 s: many kubectl commands never end when a server is gone. */
  readonly timeoutMs?: number;
}

export interface KubectlResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Kubectl {
  /** Runs kubectl to its end. Never throws because of its exit code. */
  run(args: readonly string[], options: KubectlRun): Promise<KubectlResult>;
  /** Starts kubectl with pipes (`logs -f`, `port-forward`); whoever starts it ends it. */
  spawn(args: readonly string[], options: KubectlOptions): ChildProcess;
}

/** Which kubectl it is. */
export interface KubectlProgram {
  /** Path. */
  readonly binary: string;
  readonly release: ReleaseName;
  /** Words in front of it, by which it runs in another network. */
  readonly enter?: readonly string[];
}

/** The real kubectl with a home and caches of its own below `directory`, and nothing of the caller's environment but PATH. */
export async function createKubectl(
  { binary, release, enter = [] }: KubectlProgram,
  directory: string,
): Promise<Kubectl> {
  const home = join(directory, 'home');
  await mkdir(home, { recursive: true });
  const start = (args: readonly string[], options: KubectlOptions): ChildProcess => {
    const sent = isBefore34(release) ? withServerPath(args, options.server) : args;
    const all = ['--kubeconfig', options.kubeconfig, ...sent];
    if (options.server !== undefined) all.unshift('--server', options.server);
    const command =
      options.tty === true
        ? ['script', '-qefc', [...enter, binary, ...all].map(quote).join(' '), '/dev/null']
        : [...enter, binary, ...all];
    return spawn('setpriv', boundToParent(command[0] ?? binary, command.slice(1)), {
      env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', HOME: home, TERM: 'xterm', ...options.env },
      cwd: options.cwd ?? home,
      stdio: ['pipe', 'pipe', 'pipe'],
    });
  };
  return { spawn: start, run: (args, options) => finish(start(args, options), options) };
}

function isBefore34(release: ReleaseName): boolean {
  return Number(release.split('.')[1]) < 34;
}

/** Before 1.34 `--raw` replaced the path of the server's address instead of continuing it: it left the cluster and asked the hub. */
function withServerPath(args: readonly string[], server: string | undefined): readonly string[] {
  const raw = args.indexOf('--raw');
  if (raw === -1 || server === undefined) return args;
  const path = new URL(server).pathname.replace(/\/$/, '');
  return args.with(raw + 1, path + (args[raw + 1] ?? ''));
}

async function finish(child: ChildProcess, options: KubectlRun): Promise<KubectlResult> {
  const stdout = collect(child.stdout);
  const stderr = collect(child.stderr);
  // kubectl may end without reading all of its input.
  child.stdin?.on('error', () => {});
  child.stdin?.end(options.stdin);
  const timeoutMs = options.timeoutMs ?? 30_000;
  const limit = AbortSignal.timeout(timeoutMs);
  limit.addEventListener('abort', () => child.kill('SIGKILL'));
  const { code } = await childExit(child);
  if (limit.aborted && code === null) {
    const note = `\nkubectl was killed: it had not ended after ${timeoutMs} ms`;
    return { code: 124, stdout: stdout(), stderr: stderr() + note };
  }
  return { code: code ?? 137, stdout: stdout(), stderr: stderr() };
}

function collect(stream: NodeJS.ReadableStream | null): () => string {
  const chunks: Buffer[] = [];
  stream?.on('data', (chunk: Buffer) => chunks.push(chunk));
  return () => Buffer.concat(chunks).toString('utf8');
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
