import { join } from 'node:path';

import { createApiClient } from '../../e2e/worlds/api.ts';
import { freePorts } from '../../e2e/worlds/ports.ts';
import { createProcessGroup, mustRun } from '../../e2e/worlds/process.ts';
import { until } from '../../e2e/worlds/wait.ts';
import { type ProcessFigures, figuresOf, resetPeak } from '../process-figures.ts';
import type { Stage } from '../stage.ts';
import type { PeerCommand, PeerName, PreparedPeer } from './peer.ts';

/** A peer's process. */
export interface RunningPeer {
  readonly name: PeerName;
  readonly port: number;
  /** From the start of the process until a request came through to the cluster. */
  readonly startSeconds: number;
  /** URL of a path at the cluster. */
  url(path: string): string;
  figures(): ProcessFigures;
  resetPeak(): void;
  /** Kills it. */
  stop(): Promise<void>;
}

interface Start {
  readonly name: PeerName;
  readonly prepared: PreparedPeer;
}

/** Starts a peer on its core and waits until a request comes through. @throws Error with the end of its log */
export async function startPeer(stage: Stage, { name, prepared }: Start): Promise<RunningPeer> {
  const [port = 0] = await freePorts(1);
  const group = createProcessGroup(stage.directory);
  const started = performance.now();
  const child = await group.start({
    name,
    ...pinned(prepared.command(port), stage.proxyCore),
    log: join(stage.directory, `peer-${name.replace(' ', '-')}.log`),
    cwd: stage.directory,
  });
  const origin = `https://127.0.0.1:${port}`;
  const { token, caPem } = stage;
  const api = createApiClient({ url: origin, caPem, token });
  const through = async (): Promise<true | undefined> => {
    const { status } = await api.call(`${prepared.prefix}/api/v1/namespaces/bench`);
    return status === 200 ? true : undefined;
  };
  const check = (): Promise<void> => mustRun(child);
  try {
    await until(`${name} to serve`, through, { timeoutMs: 120_000, intervalMs: 10, check });
  } catch (error) {
    await child.end();
    throw error;
  } finally {
    api.close();
  }
  return {
    name,
    port,
    startSeconds: (performance.now() - started) / 1000,
    url: (path) => `${origin}${prepared.prefix}${path}`,
    figures: () => figuresOf(child.pid),
    resetPeak: () => resetPeak(child.pid),
    async stop() {
      await child.end();
    },
  };
}

/**
 * A command that runs on one core, or on those of this process.
 * taskset and env replace themselves by the command, so the child's pid is the peer's.
 */
export function pinned(
  { command, args, env = {} }: PeerCommand,
  core: string | undefined,
): Pick<PeerCommand, 'command' | 'args'> {
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  const taskset = core === undefined ? [] : ['taskset', '-c', core];
  return { command: 'env', args: [...variables, ...taskset, command, ...args] };
}
