import { execFile } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Something that is not built from a Go module but taken from the distribution. */
export interface SystemNeed {
  /** File name looked for in PATH, or an absolute path. */
  readonly file: string;
  /** Debian package that brings it. */
  readonly package: string;
}

/** For every world. */
export const worldNeeds: readonly SystemNeed[] = [
  { file: 'setpriv', package: 'util-linux' },
  { file: 'flock', package: 'util-linux' },
];

/** For a world with a node: namespaces, the image's only program, and what runc's cgo part is compiled with. */
export const nodeNeeds: readonly SystemNeed[] = [
  { file: 'unshare', package: 'util-linux' },
  { file: 'mount', package: 'mount' },
  { file: 'bash', package: 'bash' },
  { file: 'gcc', package: 'gcc' },
  { file: '/usr/include/stdlib.h', package: 'libc6-dev' },
  { file: 'pkg-config', package: 'pkg-config' },
  { file: '/usr/include/seccomp.h', package: 'libseccomp-dev' },
  // Debian's `busybox` is dynamically linked and would not start in an image that holds nothing else.
  { file: '/usr/share/doc/busybox-static', package: 'busybox-static' },
];

/**
 * Installs what is missing with apt-get where that is allowed.
 * @returns undefined when everything is there, else a sentence that says exactly what is missing and why it was not installed.
 */
export async function ensureSystem(needs: readonly SystemNeed[]): Promise<string | undefined> {
  const missing = await missingPackages(needs);
  if (missing.length === 0) return undefined;
  const command = `apt-get install -y --no-install-recommends ${missing.join(' ')}`;
  const sentence = `missing Debian packages: ${missing.join(' ')} (${command})`;
  if (process.getuid?.() !== 0) return `${sentence}; only root may install them`;
  if ((await find('apt-get')) === undefined) return `${sentence}; there is no apt-get here`;
  process.stderr.write(`installing ${missing.join(' ')}\n`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  try {
    await run('apt-get', ['update', '-q'], { env, maxBuffer: 1 << 24 });
    await run('apt-get', command.split(' ').slice(1), { env, maxBuffer: 1 << 24 });
  } catch (cause) {
    return `${sentence}; apt-get failed: ${cause instanceof Error ? cause.message : String(cause)}`;
  }
  const still = await missingPackages(needs);
  return still.length === 0 ? undefined : `still missing after apt-get: ${still.join(' ')}`;
}

/** The Debian packages that would bring what is not there. */
export async function missingPackages(needs: readonly SystemNeed[]): Promise<string[]> {
  const found = await Promise.all(needs.map(async (need) => (await find(need.file)) !== undefined));
  return [...new Set(needs.filter((_, index) => found[index] !== true).map((need) => need.package))];
}

/** Looks a file name up in PATH (and sbin, which a user's PATH lacks); an absolute path is checked as it is. */
export async function find(file: string): Promise<string | undefined> {
  const places = file.startsWith('/')
    ? [file]
    : [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/sbin'].map((place) => `${place}/${file}`);
  for (const place of places) {
    try {
      await access(place, file.startsWith('/') ? constants.R_OK : constants.X_OK);
      return place;
    } catch {
      // The next place.
    }
  }
  return undefined;
}
