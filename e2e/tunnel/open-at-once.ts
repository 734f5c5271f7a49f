import type { Client } from '../scenarios/registration-client.ts';
import { type RunningKubectl, runKubectl } from '../scenarios/running-kubectl.ts';
import type { KubectlOptions } from '../worlds/kubectl.ts';
import type { KubeWorld } from '../worlds/kube.ts';
import { box } from '../worlds/node.ts';

/** How something that was open has ended at its caller; `at` is of `performance.now`. */
export interface Ended {
  readonly what: 'request' | 'watch' | 'upgrade';
  readonly at: number;
  /** A status, `cut` where bytes broke off, `ended` where they came to an end, or kubectl's exit code. */
  readonly how: string;
}

/** What callers have open at one moment. */
export interface OpenAtOnce {
  /** Of those that have ended so far. */
  readonly ended: readonly Ended[];
  /** Resolves with the end of the last one. */
  readonly all: Promise<unknown>;
  /** Ends what is still open. */
  kill(): Promise<void>;
}

/** Requests whose answers may take so long are callers' own choice. */
const patienceMs = 120_000;

/** Opens watches of a path; resolves when each has its first bytes. */
export async function openWatchesAt(client: Client, path: string, count: number): Promise<OpenAtOnce> {
  const ended: Ended[] = [];
  const opened = await Promise.all(
    Array.from({ length: count }, async () => {
      const response = await client.open(path, { timeoutMs: patienceMs });
      if (response.statusCode !== 200) throw new Error(`a watch was answered with ${response.statusCode}`);
      const closed = new Promise<void>((resolve) => {
        response
          .on('error', () => {})
          .once('close', () => {
            ended.push({ what: 'watch', at: performance.now(), how: response.complete ? 'ended' : 'cut' });
            resolve();
          });
      });
      await new Promise<void>((resolve) => response.once('data', () => resolve()));
      return { response, closed };
    }),
  );
  return {
    ended,
    all: Promise.all(opened.map(({ closed }) => closed)),
    async kill() {
      for (const { response, closed } of opened) {
        response.destroy();
        await closed;
      }
    },
  };
}

/** Sends requests that nobody answers yet. */
export function sendUnanswered(client: Client, path: string, count: number): OpenAtOnce {
  const ended: Ended[] = [];
  const all = Promise.all(
    Array.from({ length: count }, async () => {
      const how = await client.call(path, { timeoutMs: patienceMs }).then(
        ({ status, text }) => `${status} ${/"kind":"(\w+)"/.exec(text)?.[1] ?? 'no Status'}`,
        (error: unknown) => String(error),
      );
      ended.push({ what: 'request', at: performance.now(), how });
    }),
  );
  return {
    ended,
    all,
    async kill() {
      await all;
    },
  };
}

/** Opens `kubectl exec -i`, each of which has said a word and heard it. */
export async function openUpgrades(
  kube: Pick<KubeWorld, 'spawnKubectl'>,
  through: KubectlOptions,
  count: number,
): Promise<OpenAtOnce> {
  const ended: Ended[] = [];
  const runs: RunningKubectl[] = Array.from({ length: count }, () =>
    runKubectl(kube, ['exec', '-i', box.name, '--', 'cat'], through),
  );
  const all = Promise.all(
    runs.map(async ({ exited }) => {
      const { code } = await exited;
      ended.push({ what: 'upgrade', at: performance.now(), how: `code ${code ?? 'none'}` });
    }),
  );
  const kill = async (): Promise<void> => {
    await Promise.all(runs.map((run) => run.kill()));
  };
  try {
    await Promise.all(
      runs.map(async (run) => {
        run.write('here\n');
        await run.says(/^here$/m, 30_000);
      }),
    );
  } catch (error) {
    await kill();
    throw error;
  }
  return { ended, all, kill };
}

/** How often each end came: `watch: cut`. */
export function endsOf(groups: readonly OpenAtOnce[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { what, how } of groups.flatMap(({ ended }) => ended)) {
    const key = `${what}: ${how}`;
    counts[key] = (counts[key] ?? 0) + 1;
  }
  return counts;
}
