import { until } from '../worlds/wait.ts';

/**
 * Waits until something is so, and writes how long that took.
 * @returns milliseconds
 * @throws Error that names what was waited for, when it took longer than `timeoutMs`
 * @example await measured('the agent is connected again', 20_000, works);
 */
export async function measured(
  what: string,
  timeoutMs: number,
  isSo: () => Promise<true | undefined>,
): Promise<number> {
  const started = performance.now();
  await until(what, isSo, { timeoutMs });
  const ms = Math.round(performance.now() - started);
  report(`${what}: after ${ms} ms`);
  return ms;
}

export function report(text: string): void {
  process.stderr.write(`tunnel: ${text.trimEnd()}\n`);
}
