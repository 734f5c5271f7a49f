import { mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Makes the cgroup that a node's pods live under, in every hierarchy: the kubelet does not create its own root. */
export async function makeCgroups(name: string): Promise<void> {
  for (const hierarchy of await hierarchies()) {
    if (hierarchy.unified) await enableControllers(hierarchy.path);
    await mkdir(join(hierarchy.path, name), { recursive: true });
  }
}

/** Removes a cgroup with all below it, waiting a little for its killed tasks to be gone. */
export async function removeCgroups(name: string): Promise<void> {
  await Promise.all((await hierarchies()).map((hierarchy) => removeTree(join(hierarchy.path, name))));
}

interface Hierarchy {
  readonly path: string;
  readonly unified: boolean;
}

async function hierarchies(): Promise<Hierarchy[]> {
  const mounts = (await readFile('/proc/mounts', 'utf8')).split('\n').map((line) => line.split(' '));
  return mounts.flatMap(([, path, type]) =>
    path !== undefined && (type === 'cgroup' || type === 'cgroup2')
      ? [{ path, unified: type === 'cgroup2' }]
      : [],
  );
}

/** Version 2 hands a controller down only where the parent says so; beside version 1 there may be none to hand down. */
async function enableControllers(root: string): Promise<void> {
  const controllers = (await readFile(join(root, 'cgroup.controllers'), 'utf8')).trim();
  if (controllers === '') return;
  const wanted = controllers.split(' ').map((controller) => `+${controller}`);
  await writeFile(join(root, 'cgroup.subtree_control'), wanted.join(' '));
}

async function removeTree(path: string): Promise<void> {
  const entries = await readdir(path, { withFileTypes: true }).catch(() => undefined);
  if (entries === undefined) return;
  for (const entry of entries) if (entry.isDirectory()) await removeTree(join(path, entry.name));
  for (let attempt = 0; attempt < 100; attempt += 1) {
    try {
      await rmdir(path);
      return;
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return;
      await sleep(10);
    }
  }
}
