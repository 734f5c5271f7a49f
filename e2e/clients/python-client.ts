import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { access, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { cacheDirectory } from '../kube/binaries.ts';

const run = promisify(execFile);
const requirements = join(import.meta.dirname, 'python/requirements.txt');

/** Why no Python client can run here, or undefined. Installs nothing. */
export async function whyNoPython(): Promise<string | undefined> {
  try {
    await run('python3', ['-c', 'import sys, venv, ensurepip; assert sys.version_info >= (3, 10)']);
    return undefined;
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    return missing ? 'there is no python3' : 'python3 is older than 3.10 or has no venv';
  }
}

/**
 * The Python of a virtual environment with the pinned packages, made on first use (some 20 s) and cached outside the checkout.
 * Two processes may call it at once: one installs, the other waits.
 * @throws Error with the end of pip's output when the packages cannot be had
 */
export async function ensurePython(): Promise<string> {
  const { stdout: version } = await run('python3', ['-c', 'import sys; print(sys.version, sys.prefix)']);
  const key = createHash('sha256')
    .update(await readFile(requirements))
    .update(version);
  const folder = join(cacheDirectory(), 'python', key.digest('hex').slice(0, 16));
  const locks = join(cacheDirectory(), 'locks');
  await mkdir(locks, { recursive: true });
  await mkdir(join(cacheDirectory(), 'python'), { recursive: true });
  const installed = join(folder, 'installed');
  try {
    await access(installed);
  } catch {
    process.stderr.write("installing Python's kubernetes client (first use, under a minute)\n");
    await run('flock', [join(locks, 'python.lock'), 'sh', '-euc', install, installed, folder, requirements]);
  }
  return join(folder, 'bin/python');
}

// An environment knows its own path and cannot be moved into place, so a file says that it is complete. Wheels only: a source
// package would run its build script here.
const install = `
  test ! -e "$0" || exit 0
  rm -rf "$1"
  python3 -m venv "$1"
  "$1/bin/pip" install --quiet --disable-pip-version-check --only-binary=:all: --no-deps --requirement "$2"
  touch "$0"`;
