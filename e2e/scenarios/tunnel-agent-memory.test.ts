import { readFile } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { startAgent } from '../tunnel/agent.ts';
import { startClient, type TunnelClient } from '../tunnel/client.ts';
import { compileProgram } from '../tunnel/compiled-program.ts';
import type { Party } from '../tunnel/party.ts';
import { startServer } from '../tunnel/server.ts';
import { openSite, type TunnelSite } from '../tunnel/site.ts';
import { until } from '../worlds/wait.ts';

const mb = 1e6;
const connections = 1_000;

describe('the memory of an agent, as its image has it', () => {
  let site: TunnelSite | undefined;
  let agent: Party;
  let client: TunnelClient | undefined;
  const taken = new Set<Socket>();
  const destination = createServer((socket) => {
    taken.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => taken.delete(socket));
    socket.pipe(socket);
  });
  beforeAll(async () => {
    site = await openSite();
    const main = await compileProgram(site.directory);
    const server = await startServer({ maker: 'ours', mode: 'grpc', frontend: 'unix', site });
    agent = await startAgent({ maker: 'ours', main, site, server, identifiers: 'ipv4=127.0.0.1' });
    client = await startClient({ maker: 'ours', site, server });
    await new Promise<void>((resolve) => destination.listen(0, '127.0.0.1', resolve));
  });
  afterAll(async () => {
    await client?.close();
    destination.close();
    for (const socket of taken) socket.destroy();
    await site?.end();
  });

  test('is below 110 MB with 1,000 idle connections', async () => {
    const address = destination.address();
    if (address === null || typeof address === 'string') throw new Error('it does not listen');
    const idle = await residentBytes(agent.pid);
    if (client === undefined) throw new Error('there is no client');
    const { dial: dialThrough } = client;
    const dial = () => dialThrough({ host: '127.0.0.1', port: address.port }, AbortSignal.timeout(30_000));
    const sockets: Duplex[] = [];
    while (sockets.length < connections)
      sockets.push(...(await Promise.all(Array.from({ length: 50 }, dial))));
    // Each is one that carries bytes.
    await Promise.all(sockets.map(echoes));
    const open = await agent.metric('konnectivity_network_proxy_agent_open_endpoint_connections');
    await sleep(1000);
    const busy = await residentBytes(agent.pid);
    for (const socket of sockets) socket.destroy();
    await until('all of them to be closed', () => Promise.resolve(taken.size === 0 || undefined), {
      timeoutMs: 20_000,
    });
    const said = [idle, busy].map((bytes) => (bytes / mb).toFixed(1)).join(' MB at the start, ');
    process.stderr.write(`agent: ${said} MB with ${connections} idle connections\n`);
    expect(open).toBe(connections);
    expect(busy).toBeLessThan(110 * mb);
  });
});

async function echoes(socket: Duplex): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    socket.once('data', () => resolve());
    socket.write('x');
  });
}

async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
}
