import { readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { registerCluster } from '../worlds/register.ts';
import { type RecordingTarget, startTarget } from './identity-target.ts';
import { type GatewayWorld, proxyPath } from './registration-world.ts';

const mib = 1024 * 1024;
const listBytes = 50 * mib;
const chunk = Buffer.alloc(64 * 1024, '{"kind":"ConfigMap"},');

/** As fast as the reader reads, and no faster. */
function answerList(_: IncomingMessage, response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'application/json' });
  let left = listBytes;
  const write = (): void => {
    while (left > 0) {
      left -= chunk.length;
      if (!response.write(chunk)) {
        response.once('drain', write);
        return;
      }
    }
    response.end();
  };
  write();
}

/** What large answers cost the gateway: it carries them, and keeps none. */
export function describeMemory(world: () => GatewayWorld): void {
  describe.each(['h2', 'http/1.1'] as const)('large answers of a target that speaks %s', (protocol) => {
    const name = `large-${protocol.replace(/\W/g, '')}`;
    let target: RecordingTarget;
    beforeAll(async () => {
      // What tests before this one left in the heap is not counted.
      await world().gateway.restart();
      target = await startTarget({ protocol, answer: answerList });
      await registerCluster(world().kube, name, {
        ...{ cluster: world().kube.a, credential: 'ServiceAccountToken' },
        ...{ endpoint: target.url, caPem: target.caPem },
      });
    });
    afterAll(() => target.close());

    async function rss(): Promise<number> {
      const status = await readFile(`/proc/${world().gateway.pid}/status`, 'utf8');
      return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
    }

    /** The least of a second: garbage that is about to be collected is not what an answer costs. */
    async function settledRss(): Promise<number> {
      let least = Infinity;
      for (let i = 0; i < 10; i += 1) {
        least = Math.min(least, await rss());
        await sleep(100);
      }
      return least;
    }

    async function read(): Promise<number> {
      const response = await world().hub.open(proxyPath(name, '/api/v1/configmaps'));
      let bytes = 0;
      for await (const part of response) bytes += (part as Buffer).length;
      return bytes;
    }

    test('five lists of 50 MB leave less than 32 MB behind one', async () => {
      expect(await read()).toBe(listBytes);
      const before = await settledRss();
      for (let i = 0; i < 5; i += 1) expect(await read()).toBe(listBytes);
      const grown = (await settledRss()) - before;
      expect(grown, `grew by ${(grown / mib).toFixed(1)} MiB`).toBeLessThan(32 * mib);
    });

    test('a reader that stops costs less than 8 MB, and nobody waits for it', async () => {
      const before = await settledRss();
      const stopped = await world().hub.open(proxyPath(name, '/api/v1/configmaps'));
      stopped.on('error', () => {});
      stopped.pause();
      await sleep(1000);
      const grown = (await settledRss()) - before;
      expect(grown, `grew by ${(grown / mib).toFixed(1)} MiB`).toBeLessThan(8 * mib);
      expect(await read()).toBe(listBytes);
      stopped.destroy();
      await expect.poll(() => target.running(), { timeout: 1000 }).toBe(0);
    });
  });
}
