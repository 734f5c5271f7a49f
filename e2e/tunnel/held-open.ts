import { runKubectl } from '../scenarios/running-kubectl.ts';
import type { KubectlOptions } from '../worlds/kubectl.ts';
import type { KubeWorld } from '../worlds/kube.ts';
import { box } from '../worlds/node.ts';
import { until } from '../worlds/wait.ts';

/** Two streams to a pod that stay open: an upgrade (`exec`) that says what it hears, and `logs -f`. */
export interface HeldOpen {
  /** Says a word of its own to the upgrade and waits for it; then waits for one more line of the log. */
  flows(timeoutMs?: number): Promise<void>;
  /** Lines of the log so far, which it must have written one after the other. */
  ticks(): readonly number[];
  /** Ends the upgrade in good order and gives its exit code; ends the log. */
  end(): Promise<number | null>;
  kill(): Promise<void>;
}

let words = 0;

/** Opens both, and waits until bytes have gone both ways. */
export async function holdOpen(
  kube: Pick<KubeWorld, 'spawnKubectl'>,
  through: KubectlOptions,
): Promise<HeldOpen> {
  const upgrade = runKubectl(kube, ['exec', '-i', box.name, '--', 'cat'], through);
  const log = runKubectl(kube, ['logs', '-f', '--tail=1', box.name], through);
  const flows = async (timeoutMs = 10_000): Promise<void> => {
    words += 1;
    const word = `word ${words}`;
    const before = log.lines().length;
    upgrade.write(`${word}\n`);
    await upgrade.says(new RegExp(`^${word}$`, 'm'), timeoutMs);
    await until('a line of the log', () => Promise.resolve(log.lines()[before]), { timeoutMs });
  };
  const held: HeldOpen = {
    flows,
    ticks: () => log.lines().map(({ text }) => Number(text.replace('tick ', ''))),
    async end() {
      upgrade.child.stdin?.end();
      const { code } = await upgrade.exited;
      await log.kill();
      return code;
    },
    async kill() {
      await Promise.all([upgrade.kill(), log.kill()]);
    },
  };
  try {
    await flows(20_000);
  } catch (error) {
    await held.kill();
    throw error;
  }
  return held;
}
