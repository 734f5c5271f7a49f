import { type ChildProcess, spawn } from 'node:child_process';
import { open, readFile } from 'node:fs/promises';

/** How a process ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A process of a world. It writes its output to a file and ends when we end, however we end. */
export interface WorldProcess {
  readonly name: string;
  readonly pid: number;
  /** Path of the file with its stdout and stderr. */
  readonly log: string;
  /** Set once it has ended. */
  readonly exit: Exit | undefined;
  readonly exited: Promise<Exit>;
  /** Sends a signal (KILL by default) and waits for the end. Nothing happens when it has ended already. */
  end(signal?: NodeJS.Signals): Promise<Exit>;
}

export interface ProcessOptions {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  /** File that the output is appended to. */
  readonly log: string;
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
}

/** All processes of one world: they get the same environment, and can be ended together. */
export interface ProcessGroup {
  start(options: Omit<ProcessOptions, 'env'>): Promise<WorldProcess>;
  /** KILLs whatever still runs and waits for the ends. */
  endAll(): Promise<void>;
}

/** Processes that see nothing of our environment: a proxy or a KUBECONFIG there must not change what a world does. */
export function createProcessGroup(home: string, path: readonly string[] = []): ProcessGroup {
  const processes: WorldProcess[] = [];
  const env = {
    PATH: [...path, process.env['PATH'] ?? '', '/usr/sbin:/usr/bin:/sbin:/bin'].join(':'),
    HOME: home,
  };
  return {
    async start(options) {
      const started = await startProcess({ ...options, env });
      processes.push(started);
      return started;
    },
    async endAll() {
      await Promise.all(processes.map((one) => one.end()));
    },
  };
}

/** Starts a process that dies with this one: the kernel sends it KILL, even when we are killed with -9. */
async function startProcess(options: ProcessOptions): Promise<WorldProcess> {
  const { name, log } = options;
  const file = await open(log, 'a');
  const child = spawn('setpriv', boundToParent(options.command, options.args), {
    stdio: ['ignore', file.fd, file.fd],
    env: options.env,
    cwd: options.cwd,
    // A session of its own: Ctrl-C in a terminal reaches us alone, and we end the world in our own order.
    detached: true,
  });
  const spawned = new Promise<number>((resolve, reject) => {
    child.once('error', reject).once('spawn', () => resolve(child.pid ?? 0));
  });
  let exit: Exit | undefined;
  const exited = new Promise<Exit>((resolve) => {
    child.once('exit', (code, signal) => {
      exit = { code, signal };
      resolve(exit);
    });
  });
  const pid = await spawned.finally(() => file.close());
  return {
    name,
    pid,
    log,
    get exit() {
      return exit;
    },
    exited,
    end(signal = 'SIGKILL') {
      if (exit === undefined) child.kill(signal);
      return exited;
    },
  };
}

/**
 * Arguments for setpriv. The signal comes when the spawning *thread* ends: never call this from a worker thread.
 * setpriv replaces itself by the command, so the child's pid is the command's.
 */
export function boundToParent(command: string, args: readonly string[]): string[] {
  return ['--pdeathsig', 'KILL', '--', command, ...args];
}

/** Throws, with the end of its log, when a process has ended that should be running. */
export async function mustRun(process: WorldProcess): Promise<void> {
  if (process.exit === undefined) return;
  const { code, signal } = process.exit;
  throw new ProcessEnded(
    `${process.name} ended (${code === null ? (signal ?? '?') : `code ${code}`}); end of ${process.log}:\n${await tail(process.log)}`,
  );
}

/** A process ended that should be running; the message has the end of its log. */
export class ProcessEnded extends Error {
  override readonly name = 'ProcessEnded';
}

/** The last lines of a file, or an empty text. */
export async function tail(path: string, lines = 30): Promise<string> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text.trimEnd().split('\n').slice(-lines).join('\n');
}

/** Waits for the end of a child. */
export function childExit(child: ChildProcess): Promise<Exit> {
  return new Promise((resolve, reject) => {
    child.once('error', reject).once('close', (code, signal) => resolve({ code, signal }));
  });
}
