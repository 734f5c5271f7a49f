import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { delimiter, isAbsolute, join } from 'node:path';
import { Failure } from '../base/failure.ts';

export interface PluginCommand {
  /** A name, found as the gateway's own PATH says, or an absolute path. */
  readonly command: string;
  readonly args: readonly string[];
  /** All of the environment. */
  readonly environment: Readonly<Record<string, string>>;
}

export interface PluginLimits {
  readonly timeoutMs: number;
  readonly maxOutputBytes: number;
}

/**
 * Runs a plugin to its end and gives its standard output. Standard error is thrown away, as it could hold what must be
 * neither shown nor logged. A plugin that takes too long, prints too much, or is no longer wanted is killed together
 * with what it started. Throws a Failure that repeats nothing of what was printed.
 */
export async function runPluginProcess(
  { command, args, environment }: PluginCommand,
  limits: PluginLimits,
  signal: AbortSignal,
): Promise<string> {
  // Not by the child's PATH: whoever writes the Secret would choose what a name means.
  const file = isAbsolute(command) ? command : await findExecutable(command);
  const shown = JSON.stringify(command.slice(0, 200));
  if (file === undefined) throw new Failure('refused', `exec: executable ${shown} not found`);
  if (signal.aborted) throw cancelled(shown);
  return outputOf(start(file, { args, environment, shown }), { shown, limits, signal });
}

interface Start extends Pick<PluginCommand, 'args' | 'environment'> {
  readonly shown: string;
}

function start(file: string, { args, environment, shown }: Start): ChildProcess {
  try {
    return spawn(file, args, {
      // Of nobody, and there in every container.
      cwd: '/',
      env: environment,
      // Its own process group, so that what it started ends with it.
      detached: true,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
  } catch {
    // Node's text repeats the argument that it does not take.
    throw new Failure('refused', `exec: cannot run ${shown}: an argument or a variable is not valid`);
  }
}

interface Waiting {
  readonly shown: string;
  readonly limits: PluginLimits;
  readonly signal: AbortSignal;
}

function outputOf(
  child: ChildProcess,
  { shown, limits: { timeoutMs, maxOutputBytes }, signal }: Waiting,
): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const chunks: Buffer[] = [];
  let size = 0;
  const fail = (failure: Failure) => {
    killGroup(child);
    child.stdout?.destroy();
    reject(failure);
  };
  const onAbort = () => fail(cancelled(shown));
  const onTimeout = () =>
    fail(new Failure('timeout', `exec: plugin ${shown} took longer than ${timeoutMs / 1000} s`));
  const timer = setTimeout(onTimeout, timeoutMs);
  signal.addEventListener('abort', onAbort, { once: true });
  child.stdout?.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    size += chunk.length;
    if (size > maxOutputBytes) fail(new Failure('refused', `exec: plugin ${shown} printed too much`));
  });
  // The error is no cause of ours, for it has the arguments as a member, and causes are logged.
  child.on('error', ({ code }: NodeJS.ErrnoException) => {
    const text =
      code === 'ENOENT' ? `executable ${shown} not found` : `cannot run ${shown} (${code ?? 'unknown'})`;
    fail(new Failure('refused', `exec: ${text}`));
  });
  child.once('close', (code, killedBy) => {
    if (code === 0) resolve(Buffer.concat(chunks).toString('utf8'));
    const how = code === null ? `signal ${String(killedBy)}` : `exit code ${code}`;
    reject(new Failure('refused', `exec: executable ${shown} failed with ${how}`));
  });
  return promise.finally(() => {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  });
}

const cancelled = (shown: string) => new Failure('cancelled', `exec: plugin ${shown} was ended`);

function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It is gone already.
  }
}

/** Empty members of PATH would mean the working directory, whose content says nothing. */
async function findExecutable(name: string): Promise<string | undefined> {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter).filter(isAbsolute)) {
    const path = join(folder, name);
    try {
      await access(path, constants.X_OK);
      if ((await stat(path)).isFile()) return path;
    } catch {
      // Not there.
    }
  }
  return undefined;
}
