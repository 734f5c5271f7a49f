import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { KubeWorld } from '../worlds/kube.ts';
import { registerCluster, writeExecCredential } from '../worlds/register.ts';
import { requestToken } from '../worlds/token.ts';

/** A credential plugin that does what it is told, and takes note of how it was started. */
const source = `#!/bin/sh
echo "$$" >> "$STATE/pids"
env > "$STATE/environment"
. "$STATE/first"
cat "$STATE/credential"
`;

export interface Plugin {
  /** Process ids of its runs, in their order. */
  pids(): Promise<readonly number[]>;
  /** Its environment in the last run. */
  environment(): Promise<Readonly<Record<string, string>>>;
  /** What it prints from now on: a token of this service account of cluster a, an administrator unless said. */
  prints(options?: { account?: string; lifeMs?: number; token?: string }): Promise<void>;
  /** Shell code that it runs before it prints. */
  first(script: string): Promise<void>;
}

/** Writes the plugin into a folder and gives its path: the command that Secrets name. */
export async function writePlugin(folder: string): Promise<string> {
  const path = join(folder, 'plugin');
  await writeFile(path, source);
  await chmod(path, 0o755);
  return path;
}

export interface PluginOptions {
  readonly command: string;
  /** A folder of its own. */
  readonly state: string;
  readonly env?: readonly { readonly name: string; readonly value: string }[];
  readonly more?: object;
}

/** Registers cluster a with the plugin as its credential. */
export async function registerPlugin(
  kube: KubeWorld,
  name: string,
  { command, state, env = [], more = {} }: PluginOptions,
): Promise<Plugin> {
  await rm(state, { recursive: true, force: true });
  await mkdir(state, { recursive: true });
  const file = (each: string): string => join(state, each);
  const plugin: Plugin = {
    pids: async () => {
      const text = await readFile(file('pids'), 'utf8').catch(() => '');
      return text.split('\n').filter(Boolean).map(Number);
    },
    environment: async () => {
      const lines = (await readFile(file('environment'), 'utf8')).split('\n').filter(Boolean);
      return Object.fromEntries(lines.map((line) => [line.split('=')[0] ?? '', line.replace(/^[^=]*=/, '')]));
    },
    prints: async ({ account = 'cluster-gateway', lifeMs, token } = {}) => {
      const printed =
        token ?? (await requestToken(kube.a, { namespace: 'kube-system', name: account, seconds: 3600 }));
      const expires = lifeMs === undefined ? undefined : new Date(Date.now() + lifeMs);
      await writeExecCredential(file('credential'), printed, expires);
    },
    first: (script) => writeFile(file('first'), `${script}\n`),
  };
  await plugin.first('');
  const exec = {
    apiVersion: 'client.authentication.k8s.io/v1',
    command,
    args: ['get-token'],
    env: [{ name: 'STATE', value: state }, ...env],
    interactiveMode: 'Never',
    ...more,
  };
  // Makes the service account, too.
  await registerCluster(kube, name, {
    cluster: kube.a,
    credential: 'Dynamic',
    data: { exec: JSON.stringify(exec) },
  });
  await plugin.prints();
  return plugin;
}

/** Whether a process is there, and is no zombie. */
export async function isRunning(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  return stat !== undefined && !/\) Z/.test(stat);
}
