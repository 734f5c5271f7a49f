import { readFile } from 'node:fs/promises';

/** An agent of ours that could not connect to a server, as its log has it. */
export interface RefusedTry {
  /** Milliseconds since the epoch, by its own clock. */
  readonly at: number;
  readonly message: string;
}

interface LogLine {
  readonly time?: string;
  readonly msg?: string;
  readonly err?: { readonly message?: string };
}

/** Lines of a log of ours: a JSON object each. What a process is writing just now is left out. */
async function logLines(path: string): Promise<readonly LogLine[]> {
  const lines = (await readFile(path, 'utf8')).split('\n').slice(0, -1);
  return lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as LogLine);
}

/** All tries in vain so far. */
export async function refusedTries(log: string): Promise<readonly RefusedTry[]> {
  return (await logLines(log))
    .filter(({ msg }) => msg === 'a server could not be connected to')
    .map(({ time = '', err }) => ({ at: Date.parse(time), message: err?.message ?? '' }));
}

/** How often a message was logged. */
export async function countLogged(log: string, message: string): Promise<number> {
  return (await logLines(log)).filter(({ msg }) => msg === message).length;
}
