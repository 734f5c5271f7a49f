import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';

import { startCanary } from '../tunnel/canary.ts';
import { startClient } from '../tunnel/client.ts';
import { dialPort } from '../tunnel/exchanges.ts';
import { openRawSession, type RawSession, type RawStream } from '../tunnel/raw-session.ts';
import { openSite, type TunnelSite } from '../tunnel/site.ts';
import { type SmallNetwork, startSmallNetwork } from '../tunnel/small-network.ts';
import { describeWorld } from '../worlds/describe-world.ts';
import { until } from '../worlds/wait.ts';

const mebibyte = 1024 * 1024;
const connections = 1000;
/** `--max-held-bytes` of the server by default, and what the agent holds at most. */
const mayHold = { server: 256 * mebibyte, agent: 64 * mebibyte };
/**
 * What a connection costs beside the bytes that wait for it, in either program: what was read and waits to be sent (64 KiB in
 * an agent), buffers of sockets and of TLS, and what was not collected yet.
 */
const eachCosts = 256 * 1024;
/** What an exchange of the canary may take while nobody but the machine is slow, in milliseconds. */
const undisturbed = 3_000;
/** And while all the others begin at the same time, and have their turns before it with 64 KiB each. */
const inTheRush = 20_000;

await describeWorld(
  'a thousand connections that nobody reads',
  () => {
    let site: TunnelSite;
    let failed = false;
    beforeAll(async () => {
      site = await openSite();
    });
    afterEach(({ task }) => {
      failed ||= task.result?.state === 'fail';
    });
    afterAll(async () => {
      await site.end({ keep: failed });
      if (failed) process.stderr.write(`logs of the tunnels are kept in ${site.directory}\n`);
    });

    describe.each(['clients', 'destinations'] as const)('%s that are stuck', (who) => {
      let network: SmallNetwork;
      let raw: RawSession;
      beforeAll(async () => {
        network = await startSmallNetwork(site, who);
        raw = await openRawSession(network.server.frontend);
      });
      afterAll(async () => {
        raw.destroy();
        await network.stop();
      });

      test('hold no more than they may together, and nobody else notices', { timeout: 240_000 }, async () => {
        const { server, agent, ports } = network;
        const client = await startClient({ maker: 'ours', site, server });
        const canary = startCanary(await dialPort(client.dial, ports.echo));
        await canary.sung(3);
        const target = `127.0.0.1:${ports.scripted}`;
        const streams: RawStream[] = [];
        while (streams.length < connections)
          streams.push(...(await Promise.all(Array.from({ length: 50 }, () => raw.dial(target)))));
        const before = await residentBytes(network);
        for (const stream of streams) stick(stream);
        const { server: inServer, agent: inAgent } = await settledBytes(network);
        const peak = await peakBytes(network);
        await canary.sung(1);
        const onset = canary.take();
        report(who, `held ${said({ server: inServer, agent: inAgent })}`);
        report(who, `${said(peak)} resident at the most, before ${said(before)}`);
        report(who, `${Math.round(onset.slowest)} ms the slowest exchange beside them`);
        // What is stuck waits, or was cut for what others hold.
        expect(inServer + inAgent).toBeGreaterThan(32 * mebibyte);
        expect(inServer).toBeLessThanOrEqual(mayHold.server);
        expect(inAgent).toBeLessThanOrEqual(mayHold.agent);
        for (const part of ['server', 'agent'] as const)
          expect(peak[part] - before[part], part).toBeLessThan(mayHold[part] + connections * eachCosts);
        expect(onset.slowest).toBeLessThan(inTheRush);
        await canary.sung(5);
        expect(canary.take().slowest).toBeLessThan(undisturbed);
        if (who === 'destinations') await anotherOnTheSame();
        raw.destroy();
        await nothingLeft();
        await canary.sung(3);
        await canary.stop();
        await client.close();
        const endpoints = () => agent.metric('konnectivity_network_proxy_agent_open_endpoint_connections');
        await until('the agent to close them', async () => (await endpoints()) === 0 || undefined, {
          timeoutMs: 30_000,
        });
      });

      /** Asks for as many bytes as come and reads none, or sends as many as go to who reads none. */
      function stick(stream: RawStream): void {
        if (who === 'clients') {
          stream.stopReading();
          stream.write('flood\n');
          return;
        }
        stream.write('mute\n');
        const piece = Buffer.alloc(64 * 1024);
        for (let sent = 0; sent < mebibyte; sent += piece.length) stream.write(piece);
      }

      /** The HTTP/2 connection of those that are stuck has room for others. */
      async function anotherOnTheSame(): Promise<void> {
        const other = await raw.dial(`127.0.0.1:${network.ports.echo}`);
        other.write('through');
        expect((await other.read(7)).toString()).toBe('through');
      }

      /** The canary's connection alone. */
      async function nothingLeft(): Promise<void> {
        const { server } = network;
        const isClean = async () => {
          const established = await server.metric(
            'konnectivity_network_proxy_server_established_connections',
          );
          const held = await server.metric('konnectivity_network_proxy_server_held_bytes');
          return (established === 1 && held === 0) || undefined;
        };
        await until('the server to forget all others', isClean, { timeoutMs: 30_000 });
      }
    });
  },
  { node: true },
);

type Both = Readonly<Record<'server' | 'agent', number>>;

async function both(of: (part: 'server' | 'agent') => Promise<number>): Promise<Both> {
  return { server: await of('server'), agent: await of('agent') };
}

const statusOf = async (pid: number, name: string): Promise<number> => {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) * 1024;
};

const residentBytes = (network: SmallNetwork) => both((part) => statusOf(network[part].pid, 'VmRSS'));
const peakBytes = (network: SmallNetwork) => both((part) => statusOf(network[part].pid, 'VmHWM'));

/** What waits in both, once it is no more than two seconds before. */
async function settledBytes(network: SmallNetwork): Promise<Both> {
  const held = () => both((part) => network[part].metric(`konnectivity_network_proxy_${part}_held_bytes`));
  let last = await held();
  return until(
    'what waits to grow no more',
    async () => {
      await sleep(2000);
      const now = await held();
      const isSettled = now.server + now.agent > 0 && now.server === last.server && now.agent === last.agent;
      last = now;
      return isSettled ? now : undefined;
    },
    { timeoutMs: 120_000 },
  );
}

function said({ server, agent }: Both): string {
  return `${Math.round(server / mebibyte)} MiB in the server and ${Math.round(agent / mebibyte)} in the agent`;
}

function report(who: string, text: string): void {
  process.stderr.write(`${connections} stuck ${who}: ${text}\n`);
}
