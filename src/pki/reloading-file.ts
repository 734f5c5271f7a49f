import { watch } from 'node:fs';
import type { FSWatcher } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import type { Closable } from '../base/scope.ts';

export interface ReloadOptions {
  /** Milliseconds between two readings, 30 000 unless told; kube-apiserver promises to see a change within a minute. */
  readonly intervalMs?: number;
  /** Hears why a new value was not taken. The last good one stays; the same error is told once. */
  readonly onError: (error: Error) => void;
}

/** A value read from files, kept up to date. */
export interface Reloading<T> extends Closable {
  /** The last good value. */
  current(): T;
  /** Calls the listener after each change of the value; gives back what ends that. */
  onChange(listener: (value: T) => void): () => void;
  /** Reads now. Does not throw: what is wrong goes to `onError`. */
  reload(): Promise<void>;
}

/** A text file, such as a bundle of authorities. */
export type ReloadingFile = Reloading<string>;

/**
 * Reads a text file and goes on reading it. `check` throws on a content that must not replace the one before.
 *
 * @throws Error when the file cannot be read or its first content does not pass the check.
 */
export function createReloadingFile(
  path: string,
  options: ReloadOptions & { readonly check?: (content: string) => void },
): Promise<ReloadingFile> {
  return createReloading([path], {
    ...options,
    parse: ([content = '']) => {
      options.check?.(content);
      return content;
    },
  });
}

export interface ReloadingOptions<T> extends ReloadOptions {
  /** Makes the value of the contents, in the order of the paths; throws when they make none. */
  readonly parse: (contents: readonly string[]) => T;
}

/** As `createReloadingFile`, for a value that several files make together. */
export async function createReloading<T>(
  paths: readonly string[],
  options: ReloadingOptions<T>,
): Promise<Reloading<T>> {
  const contents = await readAll(paths);
  const reloading = new FileReloading(paths, options, { contents, value: options.parse(contents) });
  reloading.start();
  return reloading;
}

const defaultIntervalMs = 30_000;
/** Several files of one change are seldom written at once: read when they have been left alone for this long. */
const settleMs = 50;

interface Reading<T> {
  readonly contents: readonly string[];
  readonly value: T;
}

class FileReloading<T> implements Reloading<T> {
  readonly #paths: readonly string[];
  readonly #options: ReloadingOptions<T>;
  readonly #listeners = new Set<(value: T) => void>();
  readonly #watchers: FSWatcher[] = [];
  #good: Reading<T>;
  #lastProblem = '';
  #interval: NodeJS.Timeout | undefined;
  #settling: NodeJS.Timeout | undefined;
  #reading: Promise<void> | undefined;
  #ended = false;

  constructor(paths: readonly string[], options: ReloadingOptions<T>, first: Reading<T>) {
    this.#paths = paths;
    this.#options = options;
    this.#good = first;
  }

  start(): void {
    this.#interval = setInterval(() => void this.reload(), this.#options.intervalMs ?? defaultIntervalMs);
    this.#interval.unref();
    // The directories, not the files: a mounted Secret is changed by pointing the link `..data` elsewhere, and an
    // editor puts a new file in the place of the old, after which a watch of the old one would stay silent.
    for (const directory of new Set(this.#paths.map((path) => dirname(path)))) this.#watch(directory);
  }

  current(): T {
    return this.#good.value;
  }

  onChange(listener: (value: T) => void): () => void {
    // Wrapped, so that a function that is given twice is called twice and ended one by one.
    const entry = (value: T) => listener(value);
    this.#listeners.add(entry);
    return () => void this.#listeners.delete(entry);
  }

  async reload(): Promise<void> {
    // A reading that is under way may have passed a file before it changed, so it is not joined but followed.
    await this.#reading;
    if (this.#ended) return;
    this.#reading ??= this.#read().finally(() => (this.#reading = undefined));
    await this.#reading;
  }

  async close(): Promise<void> {
    this.destroy();
    await this.#reading;
  }

  destroy(): void {
    this.#ended = true;
    clearInterval(this.#interval);
    clearTimeout(this.#settling);
    for (const watcher of this.#watchers.splice(0)) watcher.close();
    this.#listeners.clear();
  }

  async #read(): Promise<void> {
    try {
      const contents = await readAll(this.#paths);
      const changed = contents.some((content, index) => content !== this.#good.contents[index]);
      const value = changed ? this.#options.parse(contents) : this.#good.value;
      this.#lastProblem = '';
      if (!changed || this.#ended) return;
      this.#good = { contents, value };
    } catch (error) {
      this.#report(error);
      return;
    }
    for (const listener of [...this.#listeners]) this.#tell(listener);
  }

  #tell(listener: (value: T) => void): void {
    try {
      listener(this.#good.value);
    } catch (error) {
      this.#options.onError(asError(error));
    }
  }

  /** Each problem once and not every half minute, until it has changed or was gone. */
  #report(error: unknown): void {
    const problem = asError(error);
    if (this.#ended || problem.message === this.#lastProblem) return;
    this.#lastProblem = problem.message;
    this.#options.onError(problem);
  }

  /** Best effort: some file systems offer no notices, and the readings in between find every change in time. */
  #watch(directory: string): void {
    const names = new Set(this.#paths.map((path) => basename(path)));
    try {
      const watcher = watch(directory, { persistent: false }, (_, name) => {
        if (name === null || names.has(name) || name.startsWith('..')) this.#readSoon();
      });
      watcher.on('error', () => watcher.close());
      this.#watchers.push(watcher);
    } catch {
      // The interval remains.
    }
  }

  #readSoon(): void {
    if (this.#ended) return;
    clearTimeout(this.#settling);
    this.#settling = setTimeout(() => void this.reload(), settleMs);
    this.#settling.unref();
  }
}

function readAll(paths: readonly string[]): Promise<string[]> {
  return Promise.all(paths.map((path) => readFile(path, 'utf8')));
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
