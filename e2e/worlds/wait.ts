import { setTimeout as sleep } from 'node:timers/promises';

export interface WaitOptions {
  readonly timeoutMs: number;
  readonly intervalMs?: number;
  /** Called before each attempt; what it throws ends the wait (a process that died will never be ready). */
  readonly check?: () => Promise<void> | void;
}

/**
 * Repeats an attempt until it gives a value other than undefined.
 * @throws Error that names what was waited for, with the last error of the attempt
 * @example await until('etcd', async () => ((await get('/health')).status === 200 ? true : undefined), { timeoutMs: 5000 });
 */
export async function until<T>(
  what: string,
  attempt: () => Promise<T | undefined>,
  { timeoutMs, intervalMs = 50, check }: WaitOptions,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    await check?.();
    let last: unknown;
    try {
      const value = await attempt();
      if (value !== undefined) return value;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline) {
      throw new Error(`waited ${timeoutMs} ms for ${what}`, last === undefined ? {} : { cause: last });
    }
    await sleep(intervalMs);
  }
}
