import { expect, test } from 'vitest';

import { countLogged, refusedTries } from '../tunnel/agent-log.ts';
import { startAgent } from '../tunnel/agent.ts';
import {
  clientFiles,
  createAuthority,
  ownClient,
  replaceFile,
  replacePair,
  serverFiles,
  validities,
} from '../tunnel/authority.ts';
import { createClock } from '../tunnel/clock.ts';
import { type HeldOpen, holdOpen } from '../tunnel/held-open.ts';
import { measured } from '../tunnel/measured.ts';
import type { Party } from '../tunnel/party.ts';
import { type Greeting, shownSerial } from '../tunnel/shown-certificate.ts';
import { tcpConnections } from '../tunnel/tcp-connections.ts';
import {
  issueServing,
  leadsToA,
  type LoopbackTunnel,
  type PerPort,
  registerBehindTunnel,
  through,
  tunnelled,
  withLoopbackTunnel,
} from '../tunnel/with-loopback-tunnel.ts';
import { box } from '../worlds/node.ts';
import { until } from '../worlds/wait.ts';
import { type Load, outcomes, startLoad } from './life-load.ts';
import { proxyPath } from './registration-world.ts';

const ports = ['frontend', 'agent'] as const;
/** From the change of a file until new connections use it: the file system tells of it, or else the next reading finds it. */
const reloadMs = 35_000;
/** Until an agent that may connect again has done so: the longest pause between two tries is 10 s. */
const reconnectMs = 20_000;
/** Longer than between two PINGs of an agent, which are as near to each other as they may be. */
const keepaliveMs = 34_000;
const keepaliveFlag = '--keepalive-time=31s';

await withLoopbackTunnel('certificates of a tunnel', (world) => {
  const works = async (name: string): Promise<true | undefined> =>
    (await world().hub.call(proxyPath(name, '/api/v1/namespaces/default'))).status === 200 || undefined;

  /** An agent of its own, which leads to cluster a as well, with what differs. */
  const startOther = (name: string, more: Partial<Parameters<typeof startAgent>[0]> = {}): Promise<Party> =>
    startAgent({
      ...{ maker: 'ours', site: world().site, server: world().server, identifiers: `host=${name}` },
      ...{ flags: leadsToA(world().kube, name), connected: false, ...more },
    });

  /** Sends requests to the cluster of the first agent, all of which must be answered, while something happens. */
  async function whileOthersWork(happening: () => Promise<void>): Promise<void> {
    const { hub } = world().kube;
    const load: Load = startLoad({
      ...{ path: proxyPath(tunnelled, '/api/v1/namespaces/default'), perSecond: 20, target: () => hub },
      ...{ certificatePem: hub.adminCertificatePem, keyPem: hub.adminKeyPem },
    });
    try {
      await happening();
    } finally {
      await load.stop();
    }
    expect(load.results.length).toBeGreaterThan(20);
    expect(Object.keys(outcomes(load.results))).toEqual(['200']);
    expect((await world().hub.call(proxyPath(tunnelled, '/version'))).status).toBe(200);
  }

  /** Tries go on, after ever longer pauses, and each says what is wrong. */
  async function keepsTrying(agent: Party, says: RegExp): Promise<void> {
    const tries = await until(
      'the fourth try',
      async () => {
        const all = await refusedTries(agent.log);
        return all.length >= 4 ? all : undefined;
      },
      { timeoutMs: 30_000 },
    );
    for (const { message } of tries) expect(message).toMatch(says);
    const pauses = tries.slice(1).map(({ at }, index) => at - (tries[index]?.at ?? 0));
    // A second, then half as much again each time, of which up to a half is left out at random.
    expect(Math.min(...pauses)).toBeGreaterThan(400);
    expect(pauses[2]).toBeGreaterThan(1000);
    await expect(agent.connected(0)).rejects.toThrow();
  }

  test.each([
    ['expired', /our own certificate has expired/],
    ['not yet valid', /our own certificate is not valid before/],
  ] as const)(
    'an agent whose certificate is %s is refused, says so, and connects once the file is right',
    async (validity, says) => {
      const { kube, site, server, authorities } = world();
      const name = `certificate-${validity.replaceAll(' ', '-')}`;
      const pair = await authorities.agent.client(validities[validity]());
      const own = await ownClient(site.certificates.agent, { folder: site.directory, name, pair });
      await registerBehindTunnel(kube, name);
      await whileOthersWork(async () => {
        const certificates = { ...site.certificates, agent: own };
        const agent = await startOther(name, { site: { ...site, certificates } });
        try {
          await keepsTrying(agent, says);
          await server.connected(0);
          expect(await countLogged(server.log, 'the certificate of a client was refused')).toBeGreaterThan(3);
          expect((await world().hub.call(proxyPath(name, '/version'))).status).toBe(503);
          await replacePair(clientFiles(own), await authorities.agent.client());
          await measured(`${name}: connected`, reconnectMs, () => isConnected(agent));
          await measured(`${name}: works`, reconnectMs, () => works(name));
        } finally {
          await agent.stop();
        }
      });
    },
  );

  test('agents refuse a server whose certificate has expired and say so; those that are connected stay', async () => {
    const { kube, site, authorities } = world();
    const name = 'expired-server';
    const files = serverFiles(site.certificates.agent);
    const expired = await authorities.agent.server(validities.expired());
    await registerBehindTunnel(kube, name);
    await whileOthersWork(async () => {
      await replacePair(files, expired);
      await measured('agent port: has an expired certificate', reloadMs, () => refusesServer(world()));
      const agent = await startOther(name);
      try {
        await keepsTrying(agent, /x509: certificate has expired or is not yet valid/);
        await replacePair(files, await authorities.agent.server());
        await measured(`${name}: connected`, reconnectMs, () => isConnected(agent));
        await measured(`${name}: works`, reconnectMs, () => works(name));
      } finally {
        await replacePair(files, await authorities.agent.server());
        await agent.stop();
      }
    });
  });

  test('a wrong clock breaks no connection that an agent has; without one it says what is wrong, and connects once the clock is right', async () => {
    const { kube, site, server, authorities } = world();
    const { directory, processes } = site;
    // So that a day is enough to be out of its dates.
    const hours = 12 * 3_600_000;
    const validity = { notAfter: new Date(Date.now() + hours), notBefore: new Date(Date.now() - hours) };
    const serial = await replacePair(
      serverFiles(site.certificates.agent),
      await authorities.agent.server(validity),
    );
    await measured('agent port: has one for a day', reloadMs, () => shows(world(), 'agent', serial));
    await whileOthersWork(async () => {
      const agents = await Promise.all(
        (['+1d', '-1d'] as const).map(async (offset) => {
          const name = offset === '+1d' ? 'clock-ahead' : 'clock-behind';
          await registerBehindTunnel(kube, name);
          const clock = await createClock({ name, directory, processes });
          const agent = await startOther(name, {
            site: { ...site, processes: clock.processes },
            flags: [...leadsToA(kube, name), keepaliveFlag],
          });
          await agent.connected();
          await measured(`${name}: works`, reconnectMs, () => works(name));
          await clock.set(offset);
          return { name, clock, agent };
        }),
      );
      try {
        const jumped = performance.now();
        while (performance.now() - jumped < keepaliveMs)
          for (const { name } of agents) expect(await works(name)).toBe(true);
        for (const { agent } of agents)
          expect(await countLogged(agent.log, 'a server is not connected any more')).toBe(0);
      } finally {
        for (const { agent } of agents) await agent.stop();
      }
      await Promise.all(
        agents.map(async ({ name, clock, agent }) => {
          await agent.start();
          await keepsTrying(agent, /x509: certificate has expired or is not yet valid/);
          await clock.set('+0');
          await measured(`${name}: connected`, reconnectMs, () => isConnected(agent));
          await measured(`${name}: works`, reconnectMs, () => works(name));
          await agent.stop();
        }),
      );
    });
    await server.connected(0);
  });

  // The last one: afterwards the authorities are others.
  test('an upgrade held open survives the rotation of every certificate, and new connections use the new ones', async () => {
    const { kube, gateway, agent } = world();
    const fresh = {
      frontend: await createAuthority('tunnel-ca frontend 2'),
      agent: await createAuthority('tunnel-ca agent 2'),
    };
    const fromGateway = () => tcpConnections({ pid: gateway.pid, port: portOf(world(), 'frontend') });
    const fromAgent = () => tcpConnections({ pid: agent.pid, port: portOf(world(), 'agent') });
    const held = await holdOpen(kube, through(kube, tunnelled));
    try {
      const before = { gateway: await fromGateway(), agent: await fromAgent() };
      for (const port of ports) await rotatePort(world(), { port, fresh, held });
      // Servers take old certificates no more, and show none: who connects now has the new ones and their authorities.
      const second = await world().startSecond();
      await measured('the agent is at a new server', reconnectMs, () => isConnected(second));
      const exec = await kube.kubectl(['exec', box.name, '--', 'echo', 'new'], through(kube, tunnelled));
      expect(exec).toMatchObject({ code: 0, stdout: 'new\n' });
      const after = await fromGateway();
      expect(after.filter((local) => !before.gateway.includes(local))).not.toEqual([]);
      // What was open has gone on where it was.
      expect(after.filter((local) => before.gateway.includes(local))).not.toEqual([]);
      expect(await fromAgent()).toEqual(before.agent);
      await rotateTheGatewaysOwn(world());
      await held.flows();
      const ticks = held.ticks();
      expect(ticks).toEqual(ticks.map((_, at) => (ticks[0] ?? 0) + at));
      expect(await held.end()).toBe(0);
      await second.stop();
    } finally {
      await held.kill();
    }
    await world().server.stop();
    await world().server.start();
    await measured('the server was restarted and works', reconnectMs, () => works(tunnelled));
  });
});

/** Whether an agent has a server, or a server an agent. */
function isConnected(party: Party): Promise<true | undefined> {
  return party.connected(0).then(
    () => true as const,
    () => undefined,
  );
}

function portOf({ server }: LoopbackTunnel, port: (typeof ports)[number]): number {
  if (server.frontend.type !== 'mtls') throw new Error('frontends connect by TLS here');
  return port === 'agent' ? server.agentPort : server.frontend.port;
}

/** Whether a port of the server shows the certificate of that serial number to whoever may come. */
async function shows(
  world: LoopbackTunnel,
  port: (typeof ports)[number],
  serial: string,
): Promise<true | undefined> {
  const authority = world.authorities[port];
  const client = await authority.client();
  const shown = await shownSerial({ port: portOf(world, port), caPem: authority.certificatePem, client });
  return shown === serial || undefined;
}

/** Whether the certificate of the agents' port has expired by now. */
async function refusesServer(world: LoopbackTunnel): Promise<true | undefined> {
  const { agent } = world.authorities;
  const client = await agent.client();
  const greeting = shownSerial({ port: portOf(world, 'agent'), caPem: agent.certificatePem, client });
  return greeting.then(
    () => undefined,
    (error: unknown) => (error as { code?: string }).code === 'CERT_HAS_EXPIRED' || undefined,
  );
}

interface PortRotation {
  readonly port: (typeof ports)[number];
  readonly fresh: PerPort<Awaited<ReturnType<typeof createAuthority>>>;
  readonly held: HeldOpen;
}

/** First whom both sides trust, then what they show, then only the new authority. */
async function rotatePort(world: LoopbackTunnel, { port, fresh, held }: PortRotation): Promise<void> {
  const [old, next] = [world.authorities[port], fresh[port]];
  const files = world.site.certificates[port];
  const at = portOf(world, port);
  const [oldClient, nextClient] = [await old.client(), await next.client()];
  const step = async (what: string, isSo: () => Promise<true | undefined>): Promise<void> => {
    await measured(`${port} port: ${what}`, reloadMs, isSo);
    await held.flows();
  };
  const greets = (greeting: Omit<Greeting, 'port'>) => shownSerial({ port: at, ...greeting });

  await replaceFile(files.caFile, old.certificatePem + next.certificatePem);
  await step('trusts both authorities', async () => {
    await greets({ caPem: old.certificatePem, client: nextClient });
    return true;
  });
  const serial = await replacePair(serverFiles(files), await next.server());
  await replacePair(clientFiles(files), nextClient);
  await step('shows its new certificate', async () => {
    const shown = await greets({ caPem: next.certificatePem, client: oldClient });
    return shown === serial || undefined;
  });
  await replaceFile(files.caFile, next.certificatePem);
  await step('refuses the old authority', () =>
    greets({ caPem: next.certificatePem, client: oldClient }).then(
      () => undefined,
      () => true as const,
    ),
  );
  expect(await greets({ caPem: next.certificatePem, client: nextClient })).toBe(serial);
}

/** What it shows to its callers, and to the cluster. */
async function rotateTheGatewaysOwn({ kube, gateway, serving, hub }: LoopbackTunnel): Promise<void> {
  const { adminCertificatePem: certificatePem, adminKeyPem: privateKeyPem } = kube.hub;
  const serial = await replacePair(gateway, await issueServing(serving));
  const greeting = {
    ...{ port: gateway.port, caPem: serving.certificatePem },
    client: { certificatePem, privateKeyPem },
  };
  const shown = async () => (await shownSerial(greeting)) === serial || undefined;
  await measured('the gateway shows its new certificate', reloadMs, shown);
  await registerBehindTunnel(kube, tunnelled, 'another-certificate');
  const isAnother = async () => {
    const answer = await hub.call(proxyPath(tunnelled, '/apis/authentication.k8s.io/v1/selfsubjectreviews'), {
      method: 'POST',
      headers: ['Content-Type', 'application/json'],
      body: '{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}',
    });
    return answer.text.includes('another-certificate') || undefined;
  };
  await measured('the gateway shows another certificate to the cluster', reloadMs, isAnother);
}
