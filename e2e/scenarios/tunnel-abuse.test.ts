import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls, createServer as createTlsServer, type Server as TlsServer } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { startAgent } from '../tunnel/agent.ts';
import { type Canary, startCanary } from '../tunnel/canary.ts';
import { startClient, type TunnelClient } from '../tunnel/client.ts';
import type { Destinations } from '../tunnel/destinations.ts';
import { dialPort, ignoreErrors, roundTrip, untilGone } from '../tunnel/exchanges.ts';
import { openFrameSession } from '../tunnel/frame-session.ts';
import { goCheck } from '../tunnel/go-client.ts';
import type { Maker, Party } from '../tunnel/party.ts';
import { issueNamedAgents } from '../tunnel/named-agents.ts';
import { startServer, type TunnelServer } from '../tunnel/server.ts';
import type { TunnelSite } from '../tunnel/site.ts';
import { useSite } from '../tunnel/site-hooks.ts';
import { describeWorld } from '../worlds/describe-world.ts';
import { until } from '../worlds/wait.ts';

const mebibyte = 1024 * 1024;
/** What an exchange of the canary may take while nobody but the machine is slow, in milliseconds. */
const undisturbed = 3_000;
/** A peer that cannot pause a connection stops all of them until the stuck one is cut, after 3 s. */
const untilCut = 3_000 + undisturbed;

/** Sends as fast as it is taken, until the other side has ended the connection. */
function sendUntilEnd(socket: Duplex): void {
  const piece = randomBytes(mebibyte);
  let ended = false;
  socket.resume().once('end', () => (ended = true));
  // Not in the same turn: what nobody takes any more is taken at once.
  const more = (): void =>
    void setImmediate(() => {
      while (!ended && !socket.destroyed && socket.write(piece));
    });
  socket.on('drain', more);
  more();
}

await describeWorld(
  'abuse of the tunnel that nobody else notices',
  () => {
    let site: TunnelSite;
    let destinations: Destinations;
    useSite((opened, started) => {
      site = opened;
      destinations = started;
    });

    interface Tunnel {
      readonly server: TunnelServer;
      readonly agent: Party;
      readonly client: TunnelClient;
      readonly canary: Canary;
    }

    /** Something done to a tunnel whose canary goes on; everything is stopped behind it. */
    async function withTunnel(
      makers: { readonly server: Maker; readonly agent: Maker },
      act: (tunnel: Tunnel) => Promise<void>,
    ): Promise<void> {
      const server = await startServer({ maker: makers.server, mode: 'grpc', frontend: 'mtls', site });
      const agent = await startAgent({ maker: makers.agent, site, server, identifiers: 'ipv4=127.0.0.1' });
      const [client, own] = [
        await startClient({ maker: 'ours', site, server }),
        await startClient({ maker: 'ours', site, server }),
      ];
      try {
        const canary = startCanary(await dialPort(own.dial, destinations.echo));
        await canary.sung(3);
        await act({ server, agent, client, canary });
        await canary.stop();
      } finally {
        await client.close();
        await own.close();
        await agent.stop();
        await server.stop();
      }
    }

    describe('a reader that stops', () => {
      test.each([
        { agent: 'ours', bound: undisturbed },
        { agent: 'Go', bound: untilCut },
      ] as const)('at the client, with our server and an agent of $agent', async ({ agent, bound }) => {
        await withTunnel({ server: 'ours', agent }, async ({ server, client, canary }) => {
          const stuck = await dialPort(client.dial, destinations.scripted);
          ignoreErrors(stuck);
          stuck.write('flood\n');
          const held = () => server.metric('konnectivity_network_proxy_server_held_bytes');
          const cuts = () => server.metric('konnectivity_network_proxy_server_slow_reader_cuts_total');
          await until('bytes to wait for it', async () => (await held()) > 100_000 || undefined, {
            timeoutMs: 20_000,
          });
          if (agent === 'Go') {
            await until('it to be cut', async () => (await cuts()) === 1 || undefined, { timeoutMs: 30_000 });
            await untilGone(stuck, 10_000);
          } else {
            await sleep(5000);
            expect(await cuts()).toBe(0);
            expect(await held()).toBeLessThan(16 * mebibyte);
          }
          await expectUnnoticed(canary, bound);
          stuck.destroy();
        });
      });

      test.each([
        { server: 'ours', bound: undisturbed },
        { server: 'Go', bound: untilCut },
      ] as const)(
        'at the destination, with our agent and a server of $server',
        async ({ server: maker, bound }) => {
          await withTunnel({ server: maker, agent: 'ours' }, async ({ agent, client, canary }) => {
            const stuck = await dialPort(client.dial, destinations.scripted);
            ignoreErrors(stuck);
            stuck.write('mute\n');
            sendUntilEnd(stuck);
            const held = () => agent.metric('konnectivity_network_proxy_agent_held_bytes');
            const cuts = () => agent.metric('konnectivity_network_proxy_agent_slow_destination_cuts_total');
            const waits = async () => (await held()) > 100_000 || (await cuts()) > 0 || undefined;
            await until('bytes to wait for it', waits, { timeoutMs: 20_000 });
            if (maker === 'Go') {
              await until('it to be cut', async () => (await cuts()) === 1 || undefined, {
                timeoutMs: 30_000,
              });
            } else {
              await sleep(5000);
              expect(await cuts()).toBe(0);
              expect(await held()).toBeLessThan(16 * mebibyte);
            }
            await expectUnnoticed(canary, bound);
            stuck.destroy();
            destinations.unmute();
          });
        },
      );
    });

    describe('resets', () => {
      test('3,000 of a client that behaves as those in Go do not cost it its connection', async () => {
        await withTunnel({ server: 'ours', agent: 'ours' }, async ({ server, canary }) => {
          const session = await openFrameSession(server.frontend);
          const target = `127.0.0.1:${destinations.echo}`;
          await session.reset({ count: 3000, target });
          expect(await session.echo(target, 'still')).toBe('still');
          expect(session.goaways()).toEqual([]);
          expect(await dialled(server)).toBeGreaterThan(3000);
          session.destroy();
          await nothingLeft(server);
          await expectUnnoticed(canary, undisturbed);
        });
      });

      test('of the official client, on 3,000 connections one after the other', async () => {
        await withTunnel({ server: 'ours', agent: 'ours' }, async ({ server, canary }) => {
          const outcome = await goCheck('echo', {
            ...{ frontend: server.frontend, target: `127.0.0.1:${destinations.echo}` },
            ...{ count: 3000, bytes: 10, reuse: true, timeoutMs: 90_000 },
          });
          expect(outcome).toMatchObject({ error: '', reason: '' });
          await nothingLeft(server);
          await expectUnnoticed(canary, undisturbed);
        });
      });

      test('without end send away who sends them, and nobody else', async () => {
        await withTunnel({ server: 'ours', agent: 'ours' }, async ({ server, client, canary }) => {
          const session = await openFrameSession(server.frontend);
          await session.reset({ count: 100_000 });
          const sentAway = () => Promise.resolve(session.goaways().length > 0 || undefined);
          await until('the server to send it away', sentAway, { timeoutMs: 30_000 });
          expect(session.goaways()).toEqual(['ENHANCE_YOUR_CALM']);
          session.destroy();
          const socket = await dialPort(client.dial, destinations.echo);
          await roundTrip(socket);
          socket.destroy();
          await nothingLeft(server);
          await expectUnnoticed(canary, undisturbed);
        });
      });
    });

    describe("an agent that says it has somebody else's identifier", () => {
      const victim = 'victim.test';
      let named: Awaited<ReturnType<typeof issueNamedAgents<'victim.test' | 'rogue.test'>>>;
      /** What the rogue leads to, and what its connections brought: somebody else's TLS server. */
      let trap: TlsServer;
      const trapped: string[] = [];
      beforeAll(async () => {
        named = await issueNamedAgents(join(site.directory, 'named'), [victim, 'rogue.test']);
        const { serverCertificateFile, serverKeyFile } = named[victim];
        trap = createTlsServer(
          { cert: await readFile(serverCertificateFile), key: await readFile(serverKeyFile) },
          (socket) => socket.on('error', () => undefined).on('data', (chunk) => trapped.push(String(chunk))),
        );
        trap.on('tlsClientError', () => undefined).listen(0, '127.0.0.1');
        await once(trap, 'listening');
      });
      afterAll(() => void trap.close());

      async function startBound(rule: 'any' | 'certificate') {
        const siteOf = (agent: keyof typeof named) => ({
          ...site,
          certificates: { ...site.certificates, agent: named[agent] },
        });
        const server = await startServer({
          ...{ maker: 'ours', mode: 'grpc', frontend: 'mtls', site: siteOf(victim) },
          flags: [`--bind-agent-identifiers=${rule}`],
        });
        const agentOf = (name: keyof typeof named, port: number) =>
          startAgent({
            ...{ maker: 'ours', site: siteOf(name), server, identifiers: `host=${victim}`, connected: false },
            flags: [`--destination-alias=${victim}:443=127.0.0.1:${port}`],
          });
        const client = await startClient({ maker: 'ours', site, server });
        const { port } = trap.address() as AddressInfo;
        return {
          ...{ server, client, rogue: () => agentOf('rogue.test', port) },
          real: () => agentOf(victim, destinations.echo),
          dial: () => client.dial({ host: victim, port: 443 }, AbortSignal.timeout(20_000)),
        };
      }

      test('gets nothing where identifiers are bound to certificates', async () => {
        const { server, client, rogue, real, dial } = await startBound('certificate');
        const [stranger] = [await rogue()];
        await until(
          'the server to refuse it',
          async () =>
            (await readFile(server.log, 'utf8')).includes('not made out to the identifier') || undefined,
          { timeoutMs: 20_000 },
        );
        await expect(stranger.connected(500)).rejects.toThrow();
        await expect(dial()).rejects.toThrow(/No agent available/);
        const agent = await real();
        await agent.connected();
        for (let at = 0; at < 10; at += 1) {
          const socket = await dial();
          await roundTrip(socket);
          socket.destroy();
        }
        for (const party of [stranger, agent, server]) await party.stop();
        await client.close();
        expect(trapped).toEqual([]);
      });

      test('gets connections where they are not, and no byte of what TLS carries in them', async () => {
        const { server, client, rogue, dial } = await startBound('any');
        const stranger = await rogue();
        await stranger.connected();
        const socket = await dial();
        const ca = await readFile(site.certificates.frontend.caFile);
        const secured = connectTls({ socket, ca, servername: 'kubernetes.default.svc' });
        const outcome = new Promise((resolve) => {
          secured.once('error', resolve).once('secureConnect', () => resolve('trusted'));
        });
        secured.write('secret');
        expect(String(await outcome)).toMatch(/unable to verify|self.signed|issuer/);
        socket.destroy();
        expect(trapped).toEqual([]);
        for (const party of [stranger, server]) await party.stop();
        await client.close();
      });
    });

    const dialled = (server: TunnelServer) =>
      server.metric(
        'konnectivity_network_proxy_server_stream_packets_total{segment="from_client",packet_type="DIAL_REQ"}',
      );

    /** Whatever it took to find who is stuck, nothing is slow from then on. */
    async function expectUnnoticed(canary: Canary, bound: number): Promise<void> {
      await canary.sung(1);
      expect(canary.take().slowest).toBeLessThan(bound);
      await canary.sung(5);
      expect(canary.take().slowest).toBeLessThan(undisturbed);
    }

    /** The canary's connection alone. */
    async function nothingLeft(server: TunnelServer): Promise<void> {
      const figures = async () => [
        await server.metric('konnectivity_network_proxy_server_pending_backend_dials'),
        await server.metric('konnectivity_network_proxy_server_established_connections'),
      ];
      const isClean = async () => (await figures()).join(' ') === '0 1' || undefined;
      await until('the server to forget all others', isClean, { timeoutMs: 10_000 });
    }
  },
  { node: false },
);
