import { randomBytes } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

import { until } from '../worlds/wait.ts';
import { ignoreErrors, readBytes } from './exchanges.ts';

/** What a canary has seen since it was asked last. */
export interface Song {
  readonly exchanges: number;
  /** Milliseconds. */
  readonly slowest: number;
  readonly median: number;
}

/** A connection to an echo that must go on while others are abused. */
export interface Canary {
  /** Waits until it has seen so many exchanges. @throws what broke the connection */
  sung(exchanges: number): Promise<void>;
  /** Gives what it saw, and begins anew. @throws what broke the connection */
  take(): Song;
  /** Ends it. @throws what broke the connection */
  stop(): Promise<void>;
}

const bytes = 1024;

/** Sends random bytes to an echo ten times a second, and compares what comes back. */
export function startCanary(socket: Duplex): Canary {
  let times: number[] = [];
  let failure: unknown;
  let stopped = false;
  ignoreErrors(socket);
  const sing = async (): Promise<void> => {
    while (!stopped) {
      const sent = randomBytes(bytes);
      const began = performance.now();
      socket.write(sent);
      const received = await readBytes(socket, bytes, 60_000);
      if (!received.equals(sent)) throw new Error('the echo is of something else');
      times.push(performance.now() - began);
      await sleep(100);
    }
  };
  const singing = sing().catch((error: unknown) => (failure = error));
  const check = (): void => {
    if (failure !== undefined) throw new Error('the connection that must go on broke', { cause: failure });
  };
  return {
    async sung(exchanges) {
      const enough = (): Promise<true | undefined> => Promise.resolve(times.length >= exchanges || undefined);
      await until(`${exchanges} exchanges`, enough, { timeoutMs: 60_000, check });
    },
    take() {
      check();
      const sorted = times.toSorted((one, other) => one - other);
      times = [];
      return {
        exchanges: sorted.length,
        slowest: sorted.at(-1) ?? 0,
        median: sorted[Math.floor(sorted.length / 2)] ?? 0,
      };
    },
    async stop() {
      stopped = true;
      await singing;
      socket.destroy();
      check();
    },
  };
}
