import { spawn } from 'node:child_process';
import { open } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

import { z } from 'zod';

import { boundToParent, childExit, tail } from '../worlds/process.ts';
import { until } from '../worlds/wait.ts';

const reportLine = z.object({
  type: z.enum(['ADDED', 'MODIFIED', 'DELETED', 'SYNCED', 'ERROR']),
  name: z.string().optional(),
  labels: z.record(z.string(), z.string()).nullish(),
  names: z.array(z.string()).nullish(),
});

/** What a client saw: an event of a watch; or with SYNCED the names that its first list gave; or with ERROR what is no report. */
export type ReportLine = z.infer<typeof reportLine>;

/** A client in a process of its own, which lists and watches one resource and reports each event. */
export interface ReportingClient {
  readonly lines: readonly ReportLine[];
  /** Waits for a line among all so far. Throws, with the end of the client's log, when none came in time. */
  reports(what: string, wanted: (line: ReportLine) => boolean): Promise<ReportLine>;
  end(): Promise<void>;
}

export interface ReportingOptions {
  readonly command: string;
  readonly args: readonly string[];
  /** File for its stderr. */
  readonly log: string;
  /** Folder for its files and caches. */
  readonly home: string;
  /** Makes a line of stdout a report; default it is the JSON of one. */
  readonly translate?: (line: string) => unknown;
  /** Whether it is started again when it has ended: for a client that ends with its watch. */
  readonly again?: boolean;
}

/** How long a client may take to start, to hear of a change, or to come back after a cut: client-go's pauses between tries grow to 30 s. */
const patienceMs = 45_000;

/** Starts a client. It sees nothing of our environment but PATH, and dies with us. */
export async function startReporting(options: ReportingOptions): Promise<ReportingClient> {
  const { log, translate = (line: string): unknown => JSON.parse(line) } = options;
  const lines: ReportLine[] = [];
  const stderr = await open(log, 'a');
  const ending = new AbortController();
  const runOnce = async (): Promise<void> => {
    const child = spawn('setpriv', boundToParent(options.command, options.args), {
      stdio: ['ignore', 'pipe', stderr.fd],
      env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', HOME: options.home },
      cwd: options.home,
      signal: ending.signal,
      killSignal: 'SIGKILL',
    });
    const { stdout } = child;
    if (stdout !== null) {
      createInterface({ input: stdout }).on('line', (line) => lines.push(readReport(line, translate)));
    }
    await childExit(child);
  };
  const running = (async (): Promise<void> => {
    do {
      // An abort is reported as an error of the child.
      await runOnce().catch(() => {});
      await sleep(250);
    } while (options.again === true && !ending.signal.aborted);
  })();
  let stopped = false;
  void running.then(() => (stopped = true));
  return {
    lines,
    reports: (what, wanted) =>
      until(what, () => Promise.resolve(lines.find(wanted)), {
        timeoutMs: patienceMs,
        check: () => {
          if (stopped && !lines.some(wanted)) throw new Error('the client has ended');
        },
      }).catch(async (cause: unknown) => {
        const said = lines.map((line) => JSON.stringify(line)).join('\n');
        throw new Error(`no ${what}; it reported:\n${said}\nand its log ends:\n${await tail(log)}`, {
          cause,
        });
      }),
    async end() {
      ending.abort();
      await running;
      await stderr.close();
    },
  };
}

function readReport(line: string, translate: (line: string) => unknown): ReportLine {
  try {
    return reportLine.parse(translate(line));
  } catch {
    return { type: 'ERROR', name: line };
  }
}
