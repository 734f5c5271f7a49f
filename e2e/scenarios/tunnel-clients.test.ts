import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { startAgent } from '../tunnel/agent.ts';
import type { Destinations } from '../tunnel/destinations.ts';
import { type CheckOptions, type CheckOutcome, goCheck } from '../tunnel/go-client.ts';
import type { Maker, Party } from '../tunnel/party.ts';
import { startServer, type TunnelServer } from '../tunnel/server.ts';
import type { TunnelSite } from '../tunnel/site.ts';
import { useSite } from '../tunnel/site-hooks.ts';
import { describeWorld } from '../worlds/describe-world.ts';

const mebibyte = 1024 * 1024;
const setups = (['ours', 'Go'] as const satisfies Maker[]).flatMap((maker) =>
  (['mtls', 'unix'] as const).map((frontend) => ({ maker, frontend })),
);

await describeWorld(
  'the official client of the tunnel',
  () => {
    let site: TunnelSite;
    let destinations: Destinations;
    useSite((opened, started) => {
      site = opened;
      destinations = started;
    });

    describe.each(setups)('with the server and agent of $maker, over $frontend:', ({ maker, frontend }) => {
      let server: TunnelServer;
      let agent: Party;
      const running: Party[] = [];
      beforeAll(async () => {
        running.push((server = await startServer({ maker, mode: 'grpc', frontend, site })));
        running.push((agent = await startAgent({ maker, site, server, identifiers: 'ipv4=127.0.0.1' })));
      });
      afterAll(async () => {
        for (const party of running.splice(0)) await party.stop();
      });
      const check = (name: string, options: Partial<CheckOptions> = {}): Promise<CheckOutcome> =>
        goCheck(name, {
          ...{ frontend: server.frontend, target: `127.0.0.1:${destinations.echo}` },
          ...options,
        });
      const success = { error: '', reason: '', closeError: '' };

      test('a connection', async () => {
        expect(await check('echo', { bytes: mebibyte })).toMatchObject(success);
      });

      test('50 connections, one after the other, in one HTTP/2 connection', async () => {
        expect(await check('echo', { count: 50, reuse: true })).toMatchObject(success);
      });

      test('a destination that refuses', async () => {
        const outcome = await check('dial', { target: `127.0.0.1:${destinations.closed}` });
        expect(outcome).toMatchObject({ reason: 'endpoint', ended: true });
        expect(outcome.error).toMatch(/connection refused/);
      });

      test('a destination that no agent has', async () => {
        const outcome = await check('dial', { target: 'nobody.test:80' });
        expect(outcome).toMatchObject({ error: 'No agent available', reason: 'endpoint', ended: true });
      });

      test('a tunnel for one connection takes no second', async () => {
        expect(await check('single-use')).toMatchObject({
          error: 'single-use dialer already dialed',
          reason: 'tunnelstarted',
        });
      });

      test.each(['expired', 'cancelled', 'deadline'])('a context that is %s', async (name) => {
        await agent.freeze();
        try {
          const outcome = await check(name, { afterMs: 200 });
          expect(outcome).toMatchObject({ error: 'dial timeout, context', reason: 'context', ended: true });
        } finally {
          agent.thaw();
        }
      });

      test('2,000 connections open at once, in one HTTP/2 connection', async () => {
        const outcome = await check('concurrent', {
          ...{ count: 2000, bytes: 1000, reuse: true, timeoutMs: 60_000 },
        });
        expect(outcome).toMatchObject(success);
        report(maker, frontend, `2,000 connections open after ${outcome.openMilliseconds} ms`);
      });

      test('200 connections open at once, each in an HTTP/2 connection of its own', async () => {
        expect(await check('concurrent', { count: 200, bytes: 1000 })).toMatchObject(success);
      });

      test('3 MiB in one packet', async () => {
        expect(await check('big-write', { bytes: 3 * mebibyte })).toMatchObject(success);
      });

      test('5 MiB in one packet', async () => {
        const outcome = await check('big-write', { bytes: 5 * mebibyte });
        // gRPC's limit of a message is 4 MiB in Go; ours passes bytes on as they come.
        if (maker === 'ours') expect(outcome).toMatchObject(success);
        else expect(outcome.error).not.toBe('');
      });

      test('64 MiB there and back', async () => {
        const outcome = await check('throughput', { bytes: 64 * mebibyte, timeoutMs: 60_000 });
        expect(outcome).toMatchObject(success);
        report(maker, frontend, `${Math.round(outcome.bytesPerSecond / mebibyte)} MiB/s there and back`);
      });
    });
  },
  { node: false },
);

function report(maker: Maker, frontend: string, text: string): void {
  process.stderr.write(`official client, ${maker}, ${frontend}: ${text}\n`);
}
