import { execFile } from 'node:child_process';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { quantile } from './statistics.ts';

const run = promisify(execFile);

/** What h2load shall do. */
export interface Load {
  readonly url: string;
  /** Bearer token of the caller. */
  readonly token: string;
  /** Default 1. */
  readonly connections?: number;
  /** Requests at once on each connection. */
  readonly streams: number;
  /** How much: for so many seconds, or so many requests in all. */
  readonly seconds?: number;
  readonly requests?: number;
  /** Over all connections together; without it as many as get through. */
  readonly requestsPerSecond?: number;
  /** Connections that are opened in a second; each sends its share of `requests`. */
  readonly connectionsPerSecond?: number;
  /** File that is sent as body of a POST. */
  readonly bodyFile?: string;
  /** Folder for the log of requests; without it there are no quantiles. */
  readonly logFolder?: string;
}

/** What h2load saw. */
export interface LoadResult {
  readonly requests: number;
  readonly seconds: number;
  readonly requestsPerSecond: number;
  /** Bytes of bodies. */
  readonly bytes: number;
  /** Milliseconds of each request, when a log was asked for; NaN without. */
  readonly p50: number;
  readonly p99: number;
}

/**
 * Runs h2load (Debian: nghttp2-client) on this process' cores.
 * @throws Error when a request fails or is answered other than 2xx
 */
export async function load(options: Load): Promise<LoadResult> {
  const log = options.logFolder === undefined ? undefined : join(options.logFolder, 'h2load.log');
  const { stdout } = await run('h2load', argumentsOf(options, log), { maxBuffer: 1 << 20 });
  const result = parseReport(stdout);
  if (log === undefined) return { ...result, p50: Number.NaN, p99: Number.NaN };
  const milliseconds = parseLog(await readFile(log, 'utf8'));
  await rm(log);
  return { ...result, p50: quantile(milliseconds, 0.5), p99: quantile(milliseconds, 0.99) };
}

/** The arguments of h2load, whose rates are per connection. */
export function argumentsOf(options: Load, log?: string): string[] {
  const { connections = 1, seconds, requests, requestsPerSecond, connectionsPerSecond, bodyFile } = options;
  const perConnection = requestsPerSecond === undefined ? undefined : requestsPerSecond / connections;
  return [
    ...['-c', String(connections), '-m', String(options.streams)],
    ...given('-D', seconds),
    ...given('-n', requests),
    ...given('--rps', perConnection),
    ...given('-r', connectionsPerSecond),
    ...given('-d', bodyFile),
    ...(bodyFile === undefined ? [] : ['-H', 'content-type: application/json']),
    ...given('--log-file', log),
    ...['-H', `authorization: Bearer ${options.token}`],
    options.url,
  ];
}

function given(flag: string, value: string | number | undefined): string[] {
  return value === undefined ? [] : [flag, String(value)];
}

/**
 * Reads what h2load prints.
 * @throws Error when a request failed or was answered other than 2xx
 */
export function parseReport(text: string): Omit<LoadResult, 'p50' | 'p99'> {
  const seconds = secondsOf(/^finished in ([\d.]+(?:us|ms|s|m))/m.exec(text)?.[1] ?? '');
  const number = (pattern: RegExp): number => Number(pattern.exec(text)?.[1] ?? Number.NaN);
  const succeeded = number(/, (\d+) succeeded,/);
  const failed = number(/, (\d+) failed,/) + number(/, (\d+) errored,/);
  const [codes = '', good] = /^status codes: (\d+) 2xx, 0 3xx, 0 4xx, 0 5xx$/m.exec(text) ?? [];
  // At the end of a timed run some have their status but not all of their body.
  if (!(succeeded > 0) || failed !== 0 || codes === '' || Number(good) < succeeded) {
    const said = text.match(/^(?:requests|status codes): .*$/gm) ?? [text.slice(-500)];
    throw new Error(`not all requests succeeded: ${said.join('; ')}`);
  }
  return {
    requests: succeeded,
    seconds,
    requestsPerSecond: succeeded / seconds,
    bytes: number(/^traffic: .* \((\d+)\) data$/m),
  };
}

/** Milliseconds of each request: the third column of h2load's log is microseconds. */
export function parseLog(text: string): number[] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => Number(line.split('\t')[2]) / 1000);
}

const secondsPerUnit: Readonly<Record<string, number>> = { us: 1e-6, ms: 1e-3, s: 1, m: 60 };

function secondsOf(text: string): number {
  const [, number, unit] = /^([\d.]+)(us|ms|s|m)$/.exec(text) ?? [];
  return Number(number) * (secondsPerUnit[unit ?? ''] ?? Number.NaN);
}
