import { afterEach, beforeEach, expect, test } from 'vitest';

import { fuzzTunnel } from './tunnel-fuzzer.ts';
import { startTunnelWorld } from './tunnel-world.ts';

const mebibyte = 1024 * 1024;
const sessions = 150;

const unhandled: unknown[] = [];
const note = (error: unknown) => unhandled.push(error);
beforeEach(() => process.on('uncaughtException', note).on('unhandledRejection', note));
afterEach(() => void process.off('uncaughtException', note).off('unhandledRejection', note));

test.each([1, 2])(
  'random packets from frontends, agents and servers break nobody else’s connection, and leave nothing (seed %i)',
  { timeout: 180_000 },
  async (seed) => {
    const world = await startTunnelWorld();
    try {
      const before = process.memoryUsage().rss;
      const outcome = await fuzzTunnel(world, { seed, goOn: (count) => count < sessions, atOnce: 8 });
      expect(outcome.sessions).toBe(sessions);
      // Where all is refused at once nothing is tried.
      for (const opened of Object.values(outcome.opened)) expect(opened).toBeGreaterThan(sessions / 20);
      expect(outcome.cut).toBeGreaterThan(0);
      expect(outcome.exchanges).toBeGreaterThan(10);
      // Of what hostile parts sent and nobody read, at most 32 MiB wait in the server.
      expect(process.memoryUsage().rss - before).toBeLessThan(256 * mebibyte);
      expect(unhandled.splice(0)).toEqual([]);
    } finally {
      await world.close();
    }
  },
);
