import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { access, constants, mkdir, readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { type BinaryGroup, type BinaryName, type BinaryRecipe, catalogue, groups } from './catalogue.ts';
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
  const go = await goVersion();
  const paths = new Map<string, string>();
  for (const name of wanted.flatMap((group): readonly BinaryName[] => groups[group])) {
    paths.set(name, await ensureBinary(name, go));
  }
  return Object.fromEntries(paths) as Binaries<G>;
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

async function ensureBinary(name: BinaryName, go: string): Promise<string> {
  const recipe: BinaryRecipe = catalogue[name];
  const source = join(import.meta.dirname, recipe.module);
  const folder = join(
    cacheDirectory(),
    'binaries',
    `${recipe.module}-${await contentKey(source, recipe, go)}`,
  );
  const path = join(folder, name);
  if (await isExecutable(path)) return path;
  await mkdir(join(cacheDirectory(), 'locks'), { recursive: true });
  await mkdir(folder, { recursive: true });
  const minutes = recipe.minutes < 1 ? 'under a minute' : `about ${recipe.minutes} min`;
  process.stderr.write(`building ${name} (first use, ${minutes} on two cores)\n`);
  const started = Date.now();
  await build({ name, recipe, source, path });
  process.stderr.write(`built ${name} in ${Math.round((Date.now() - started) / 1000)} s\n`);
  return path;
}

/** What the result depends on: the pinned sources, how they are built, and by which compiler. */
async function contentKey(source: string, recipe: BinaryRecipe, go: string): Promise<string> {
  const hash = createHash('sha256');
  for (const file of ['go.mod', 'go.sum']) hash.update(await readFile(join(source, file))).update('\0');
  hash.update([go, recipe.tags ?? '', recipe.ldflags, recipe.cgo === true ? 'cgo' : ''].join('\0'));
  return hash.digest('hex').slice(0, 16);
}

interface Build {
  readonly name: BinaryName;
  readonly recipe: BinaryRecipe;
  readonly source: string;
  readonly path: string;
}

// flock is the kernel's: a killed builder leaves no stale lock. Inside it the result is looked for again (another process may have
// built it while we waited), and the rename makes sure that a half-written file never has the final name.
const lockedBuild = 'test -x "$0" || { "$@" && mv -f "$0.part" "$0"; }';

async function build({ name, recipe, source, path }: Build): Promise<void> {
  const go = [
    'go',
    'build',
    '-trimpath',
    '-buildvcs=false',
    '-o',
    `${path}.part`,
    '-ldflags',
    recipe.ldflags,
  ];
  if (recipe.tags !== undefined) go.push('-tags', recipe.tags);
  go.push(recipe.package);
  const lock = join(cacheDirectory(), 'locks', `${name}.lock`);
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
