import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { access, constants, mkdir, readdir, readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, relative } from 'node:path';
import { promisify } from 'node:util';

import {
  type BinaryGroup,
  type BinaryName,
  type BinaryRecipe,
  catalogue,
  groups,
  type ReleaseName,
  releaseRecipes,
} from './catalogue.ts';
import { ensureSystem, find, missingPackages, nodeNeeds, worldNeeds } from './debian.ts';

const run = promisify(execFile);

/** Paths of binaries by file name. Binaries of one module lie in one folder, with nothing else in it. */
export type Binaries<G extends BinaryGroup = 'control-plane'> = Readonly<
  Record<(typeof groups)[G][number], string>
>;

/**
 * Paths of the binaries of some groups, built on first use (minutes, with a line per binary on stderr) and cached outside the checkout.
 * Two processes may call it at once: one builds, the other waits.
 * @throws Error with the last lines of the build's output
 * @example const { etcd, kubectl } = await ensureBinaries('control-plane');
 */
export async function ensureBinaries<G extends BinaryGroup>(...wanted: readonly G[]): Promise<Binaries<G>> {
  const needs = wanted.includes('node' as G) ? [...worldNeeds, ...nodeNeeds] : worldNeeds;
  const missing = await ensureSystem(needs);
  if (missing !== undefined) throw new Error(missing);
  const names = wanted.flatMap((group): readonly BinaryName[] => groups[group]);
  const paths = await ensureBuilt(Object.fromEntries(names.map((name) => [name, catalogue[name]])));
  return paths;
}

/** Paths of the binaries of a Kubernetes release: all that differ from another's, or some of them. */
export async function ensureRelease<N extends ReleaseBinary = ReleaseBinary>(
  release: ReleaseName,
  ...names: readonly N[]
): Promise<Readonly<Record<N, string>>> {
  const all = Object.entries(releaseRecipes(release));
  const wanted = all.filter(([name]) => names.length === 0 || names.includes(name as N));
  return await ensureBuilt(Object.fromEntries(wanted));
}

export type ReleaseBinary = keyof ReturnType<typeof releaseRecipes>;

/** Builds what is not in the cache yet, one after the other: a Go build takes all cores. */
export async function ensureBuilt<N extends string>(
  recipes: Readonly<Record<N, BinaryRecipe>>,
): Promise<Readonly<Record<N, string>>> {
  const go = await goVersion();
  const paths: Record<string, string> = {};
  for (const [name, recipe] of Object.entries<BinaryRecipe>(recipes)) {
    paths[name] = await ensureBinary({ name, recipe, go });
  }
  return paths as Record<N, string>;
}

/**
 * Why a world of real binaries cannot run here, or undefined where it can.
 * Installs nothing and builds nothing, so that a list of tests can be made from it.
 */
export async function whyNot(options: { node?: boolean } = {}): Promise<string | undefined> {
  if (process.platform !== 'linux') return `real clusters need Linux, this is ${process.platform}`;
  if ((options.node ?? true) && process.getuid?.() !== 0) {
    return 'a node with real pods needs root (mounts, namespaces, cgroups)';
  }
  try {
    const [, major, minor] = /^go(\d+)\.(\d+)/.exec(await goVersion()) ?? [];
    const wanted = await goDirective('kubernetes');
    const [, wantedMajor, wantedMinor] = /^(\d+)\.(\d+)/.exec(wanted) ?? [];
    if (major !== wantedMajor || Number(minor) < Number(wantedMinor)) {
      return `Go ${wanted} or newer builds the Kubernetes binaries, this is Go ${major ?? '?'}.${minor ?? '?'}`;
    }
  } catch {
    return 'there is no Go to build the Kubernetes binaries with';
  }
  if (process.getuid?.() === 0) return undefined;
  const missing = await missingPackages(worldNeeds);
  return missing.length === 0 ? undefined : `only root may install ${missing.join(' ')}`;
}

/** The folder for everything that outlives a checkout. */
export function cacheDirectory(): string {
  return join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'cluster-gateway');
}

interface Wanted {
  readonly name: string;
  readonly recipe: BinaryRecipe;
  readonly go: string;
}

async function ensureBinary({ name, recipe, go }: Wanted): Promise<string> {
  const source = join(import.meta.dirname, recipe.module);
  const module = relative(join(import.meta.dirname, '..'), source)
    .replace(/^(?:kube|\.\.)\//, '')
    .replaceAll('/', '-');
  const folder = join(cacheDirectory(), 'binaries', `${module}-${await contentKey(source, recipe, go)}`);
  const path = join(folder, name);
  if (await isExecutable(path)) return path;
  const locks = join(cacheDirectory(), 'locks');
  await mkdir(locks, { recursive: true });
  await mkdir(folder, { recursive: true });
  const minutes = recipe.minutes < 1 ? 'under a minute' : `about ${recipe.minutes} min`;
  process.stderr.write(`building ${name} of ${module} (first use, ${minutes} on two cores)\n`);
  const started = Date.now();
  await build({ name, recipe, source, path, lock: join(locks, `${module}-${name}.lock`) });
  process.stderr.write(`built ${name} in ${Math.round((Date.now() - started) / 1000)} s\n`);
  return path;
}

/** What the result depends on: the pinned sources, ours among them, how they are built, and by which compiler. */
async function contentKey(source: string, recipe: BinaryRecipe, go: string): Promise<string> {
  const hash = createHash('sha256');
  const own = (await readdir(source, { recursive: true })).filter((file) => file.endsWith('.go'));
  for (const file of ['go.mod', 'go.sum', ...own.toSorted()]) {
    hash.update(await readFile(join(source, file))).update('\0');
  }
  hash.update([go, recipe.tags ?? '', recipe.ldflags, recipe.cgo === true ? 'cgo' : ''].join('\0'));
  if (recipe.test === true) hash.update('\0test');
  return hash.digest('hex').slice(0, 16);
}

interface Build {
  readonly name: string;
  readonly recipe: BinaryRecipe;
  readonly source: string;
  readonly path: string;
  readonly lock: string;
}

// flock is the kernel's: a killed builder leaves no stale lock. Inside it the result is looked for again (another process may have
// built it while we waited), and the rename makes sure that a half-written file never has the final name.
const lockedBuild = 'test -x "$0" || { "$@" && mv -f "$0.part" "$0"; }';

async function build({ name, recipe, source, path, lock }: Build): Promise<void> {
  const go = [
    'go',
    ...(recipe.test === true ? ['test', '-c'] : ['build']),
    '-trimpath',
    '-buildvcs=false',
    '-o',
    `${path}.part`,
    '-ldflags',
    recipe.ldflags,
  ];
  if (recipe.tags !== undefined) go.push('-tags', recipe.tags);
  go.push(recipe.package);
  const child = spawn('flock', [lock, 'sh', '-c', lockedBuild, path, ...go], {
    cwd: source,
    env: await goEnvironment(recipe.cgo === true ? '1' : '0'),
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let output = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output = (output + text).slice(-4000)));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject).once('close', resolve);
  });
  if (code !== 0) throw new Error(`building ${name} failed (go build ${recipe.package}):\n${output}`);
}

let version: Promise<string> | undefined;

function goVersion(): Promise<string> {
  version ??= goEnvironment('0').then(async (env) => {
    const { stdout } = await run('go', ['env', 'GOVERSION', 'GOOS', 'GOARCH'], { env });
    return stdout.trim().replaceAll('\n', ' ');
  });
  return version;
}

/** A mismatch of Go versions shall be an error, not a download of another Go. */
async function goEnvironment(cgo: '0' | '1'): Promise<NodeJS.ProcessEnv> {
  const env: NodeJS.ProcessEnv = { ...process.env, GOTOOLCHAIN: 'local', GOWORK: 'off', CGO_ENABLED: cgo };
  // The usual place of an installation from the archive of the Go project, which is in no PATH by itself.
  if ((await find('go')) === undefined) env['PATH'] = `${process.env['PATH'] ?? ''}:/usr/local/go/bin`;
  return env;
}

async function goDirective(module: string): Promise<string> {
  const text = await readFile(join(import.meta.dirname, module, 'go.mod'), 'utf8');
  return /^go (\S+)$/m.exec(text)?.[1] ?? '';
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
