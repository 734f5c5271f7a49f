import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { Registry } from 'prom-client';
import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { firstHeader } from '../base/header-lines.ts';
import { silentLog } from '../base/log.ts';
import { eventually, startHub } from '../hub/testing/fake-hub.ts';
import type { HubCall } from '../hub/testing/fake-hub.ts';
import { testPki } from '../net/testing/certificates.ts';
import type { Peer } from '../tunnel/testing/server-peers.ts';
import { openThrough } from '../tunnel/testing/server-peers.ts';
import { freePort, issuePortMaterial, materialDirectory, roleOptions } from './testing/tunnel-material.ts';
import type { PortMaterial } from './testing/tunnel-material.ts';
import { callAsAgent, callAsFrontend, grpcOver, tlsTo, unixTo } from './testing/tunnel-peers.ts';
import type { AgentCall } from './testing/tunnel-peers.ts';
import { startTunnelServer } from './tunnel-server.ts';
import type { RunningTunnelServer, TunnelServerParts } from './tunnel-server.ts';
import type { TunnelServerRoleOptions } from './tunnel-server-options.ts';

let frontend: PortMaterial;
let agent: PortMaterial;
let directory: ReturnType<typeof materialDirectory>;
let running: RunningTunnelServer[];
const log = { ...silentLog, warn: vi.fn(), error: vi.fn() };

beforeAll(async () => {
  [frontend, agent] = [await issuePortMaterial('frontend'), await issuePortMaterial('agent')];
});
beforeEach(() => {
  directory = materialDirectory();
  running = [];
  vi.clearAllMocks();
});
afterEach(() => {
  for (const each of running) each.destroy();
  directory.remove();
});

const writtenFiles = () => ({
  frontend: directory.write('frontend', frontend),
  agent: directory.write('agent', agent),
});

async function start(more: Partial<TunnelServerRoleOptions> = {}, parts: Partial<TunnelServerParts> = {}) {
  const server = await startTunnelServer(roleOptions(writtenFiles(), more), { log, ...parts });
  running.push(server);
  return server;
}

const agentTo = async (port: number, { ca, client }: Partial<PortMaterial> = agent, call: AgentCall = {}) =>
  callAsAgent(await grpcOver(await tlsTo({ port, ca: ca ?? agent.ca, client })), call);
const frontendTo = async (port: number, { ca, client }: Partial<PortMaterial> = frontend) =>
  callAsFrontend(await grpcOver(await tlsTo({ port, ca: ca ?? frontend.ca, client })));

async function get(port: number | undefined, path: string) {
  const answer = await fetch(`http://127.0.0.1:${port ?? 0}${path}`);
  return { status: answer.status, text: await answer.text() };
}

const endOfCertificate = 'konnectivity_network_proxy_server_certificate_expiration_timestamp_seconds';
const endOf = ({ certificatePem }: PortMaterial['server']) =>
  new X509Certificate(certificatePem).validToDate.getTime() / 1000;

/** Bytes both ways through an open connection with number 1. */
async function exchange(from: Peer, to: Peer): Promise<void> {
  const before = [from.bytesOf(1).length, to.bytesOf(1).length] as const;
  from.stream.sendData(1, Buffer.from('ping'));
  await to.until(() => to.bytesOf(1).length === before[1] + 4);
  to.stream.sendData(1, Buffer.from('pong'));
  await from.until(() => from.bytesOf(1).length === before[0] + 4);
}

describe('between frontends and agents', () => {
  test('it is ready with its first agent, and carries bytes', async () => {
    const server = await start();
    const missing = 'no connection to any proxy agent';
    expect(await get(server.healthPort, '/readyz')).toEqual({ status: 500, text: missing });
    expect(server.readiness()).toEqual({ ok: false, text: missing });

    const theAgent = await agentTo(server.agentPort, agent, { identifiers: 'host=cluster1' });
    expect(firstHeader(theAgent.metadata ?? [], 'serverid')).toBe('server-1');
    expect(firstHeader(theAgent.metadata ?? [], 'servercount')).toBe('2');
    expect(await get(server.healthPort, '/readyz')).toEqual({ status: 200, text: 'ok' });

    const theFrontend = await frontendTo(server.frontendPort);
    await openThrough(theFrontend, theAgent, { address: 'cluster1:443' });
    await exchange(theFrontend, theAgent);
    for (const port of [server.healthPort, server.adminPort]) {
      const { status, text } = await get(port, '/metrics');
      expect(status).toBe(200);
      expect(text).toMatch(/^process_resident_memory_bytes \d+$/m);
      expect(text).toContain('konnectivity_network_proxy_server_established_connections 1\n');
      expect(text).toContain(`${endOfCertificate}{port="agent"} ${endOf(agent.server)}\n`);
      expect(text).toContain(`${endOfCertificate}{port="frontend"} ${endOf(frontend.server)}\n`);
    }
  });

  test('http-connect', async () => {
    const { frontend: files } = writtenFiles();
    const address = { type: 'tcp', ...freePort } as const;
    const server = await start({
      frontend: { mode: 'http-connect', address, certificates: files, allowedNames: [] },
    });
    const theAgent = await agentTo(server.agentPort);
    const target = { port: server.frontendPort, ca: frontend.ca, client: frontend.client };
    const socket = await tlsTo({ ...target, alpn: 'http/1.1' });
    socket.write('CONNECT somewhere:80 HTTP/1.1\r\nHost: somewhere:80\r\n\r\n');
    const { address: asked, dialId } = await theAgent.next('DIAL_REQ');
    expect(asked).toBe('somewhere:80');
    theAgent.stream.send({ type: 'DIAL_RSP', error: '', connectId: 1, dialId });
    const [answer] = (await once(socket, 'data')) as [Buffer];
    expect(answer.toString()).toMatch(/^HTTP\/1\.1 200 /);
  });

  test('a Unix socket for frontends', async () => {
    const path = directory.path('anp.sock');
    const address = { type: 'unix', path, deleteExisting: true } as const;
    const server = await start({
      frontend: { mode: 'grpc', address, certificates: undefined, allowedNames: [] },
    });
    expect(server.frontendPort).toBe(0);
    expect((await stat(path)).mode & 0o777).toBe(0o770);
    const theAgent = await agentTo(server.agentPort);
    const theFrontend = callAsFrontend(await grpcOver(await unixTo(path)));
    await openThrough(theFrontend, theAgent);
    await exchange(theFrontend, theAgent);
  });

  test('the count of servers by a name', async () => {
    const resolveHost = (host: string) =>
      Promise.resolve(host === 'anp.ns' ? [{ family: 4 }, { family: 4 }, { family: 4 }] : []);
    const server = await start({ serverCount: { type: 'dns', host: 'anp.ns' } }, { resolveHost });
    expect(firstHeader((await agentTo(server.agentPort)).metadata ?? [], 'servercount')).toBe('3');
  });
});

describe('who is let in', () => {
  test.each([
    ['without a certificate', () => undefined],
    ['with a certificate for frontends', () => frontend.client],
  ])('no agent %s', async (_, client) => {
    const server = await start();
    await expect(agentTo(server.agentPort, { client: client() } as Partial<PortMaterial>)).rejects.toThrow();
    expect(server.readiness().ok).toBe(false);
  });

  test.each([
    ['without a certificate', () => undefined],
    ['with a certificate for agents', () => agent.client],
  ])('no frontend %s', async (_, client) => {
    const server = await start();
    await expect(
      frontendTo(server.frontendPort, { client: client() } as Partial<PortMaterial>),
    ).rejects.toThrow();
  });

  test('an agent says what its certificate does not, and is refused where that counts', async () => {
    const server = await start({ identifierRule: 'certificate' });
    const refused = await agentTo(server.agentPort, agent, { identifiers: 'host=cluster1' });
    expect(refused.status?.code).toBe(2);
    const taken = await agentTo(server.agentPort, agent, { identifiers: 'host=agent-client' });
    expect(taken.status).toBeUndefined();
  });

  test('everybody, where no agent is known, with a warning', async () => {
    const { agent: files } = writtenFiles();
    const address = { type: 'tcp', ...freePort } as const;
    const server = await start({ agents: { address, certificates: { ...files, clientCaFile: undefined } } });
    expect((await agentTo(server.agentPort, { ca: agent.ca })).status).toBeUndefined();
    expect(log.warn).toHaveBeenCalledWith(
      {},
      'anyone may be an agent: neither certificate nor token is asked for',
    );
  });
});

test('one CA for both ports is warned of', async () => {
  await start();
  expect(log.warn).not.toHaveBeenCalled();
  const { agent: files } = writtenFiles();
  const address = { type: 'tcp', ...freePort } as const;
  await start({ frontend: { mode: 'grpc', address, certificates: files, allowedNames: [] } });
  expect(log.warn).toHaveBeenCalledWith({}, expect.stringContaining('one CA'));
});

test('a frontend whose name is not allowed is sent away; one whose name is, is not warned of', async () => {
  const { agent: files } = writtenFiles();
  const address = { type: 'tcp', ...freePort } as const;
  const allowedNames = ['somebody-else'];
  const server = await start({
    frontend: { mode: 'http-connect', address, certificates: files, allowedNames },
  });
  expect(log.warn).not.toHaveBeenCalled();
  const socket = await tlsTo({
    port: server.frontendPort,
    ca: agent.ca,
    client: agent.client,
    alpn: 'http/1.1',
  });
  socket.on('error', () => undefined);
  await once(socket, 'close');
  expect(log.warn).toHaveBeenCalledWith(
    expect.objectContaining({ name: expect.any(String) as string }),
    expect.stringContaining('name is not allowed'),
  );
});

describe('agents with tokens', () => {
  const tokenOptions = () => {
    const { agent: files } = writtenFiles();
    const address = { type: 'tcp', ...freePort } as const;
    return {
      agents: { address, certificates: { ...files, clientCaFile: undefined } },
      agentTokens: { namespace: 'ns', serviceAccount: 'sa', audience: 'aud' },
    };
  };
  const hubThatKnows = () =>
    startHub((call: HubCall) => {
      const { spec } = JSON.parse(call.body) as { spec: { token: string; audiences: string[] } };
      const username = spec.token === 'good-t0ken' ? 'system:serviceaccount:ns:sa' : 'jane';
      call.json({ status: { authenticated: true, user: { username }, audiences: spec.audiences } }, 201);
    });
  const withToken = (server: RunningTunnelServer, call: AgentCall) =>
    agentTo(server.agentPort, { ca: agent.ca }, call);

  test('by a hub client that the process has already', async () => {
    const hub = await hubThatKnows();
    const server = await start(tokenOptions(), { hubClient: await hub.client() });
    expect((await withToken(server, { token: 'good-t0ken' })).status).toBeUndefined();
    expect((await withToken(server, {})).status).toMatchObject({
      code: 2,
      message: 'the agent has sent no token',
    });
    const { status } = await withToken(server, { token: 'another-t0ken' });
    expect(status?.message).toContain('belongs to "jane"');
    expect(JSON.stringify(log.warn.mock.calls)).not.toContain('another-t0ken');
    expect(log.warn).not.toHaveBeenCalledWith({}, expect.anything());
  });

  test('by a kubeconfig', async () => {
    const hub = await hubThatKnows();
    const { ca } = await testPki();
    const kubeconfig = directory.path('kubeconfig');
    writeFileSync(
      kubeconfig,
      JSON.stringify({
        'current-context': 'it',
        contexts: [{ name: 'it', context: { cluster: 'it', user: 'it' } }],
        clusters: [
          {
            name: 'it',
            cluster: {
              server: `https://127.0.0.1:${hub.port}`,
              'certificate-authority-data': Buffer.from(ca.certificatePem).toString('base64'),
            },
          },
        ],
        users: [{ name: 'it', user: { token: 'server-t0ken' } }],
      }),
    );
    const server = await start({ ...tokenOptions(), kubeconfig });
    expect((await withToken(server, { token: 'good-t0ken' })).status).toBeUndefined();
    expect(hub.calls[0]?.headers.authorization).toBe('Bearer server-t0ken');
    server.destroy();
    await eventually(() => hub.sockets.size === 0);
  });
});

describe('files that change', () => {
  test('are used for new connections, and those that are open go on', async () => {
    const server = await start();
    const oldAgent = await agentTo(server.agentPort, agent, { identifiers: 'host=old' });
    const oldFrontend = await frontendTo(server.frontendPort);
    await openThrough(oldFrontend, oldAgent, { address: 'old:443' });

    const [newFrontend, newAgent] = [
      await issuePortMaterial('frontend-2'),
      await issuePortMaterial('agent-2'),
    ];
    directory.write('frontend', newFrontend);
    directory.write('agent', newAgent);
    await vi.waitFor(async () => {
      await agentTo(server.agentPort, newAgent, { identifiers: 'host=new' });
      await frontendTo(server.frontendPort, newFrontend);
    }, 10_000);

    // The new authorities know nothing of the old clients.
    const { client } = agent;
    await expect(agentTo(server.agentPort, { ca: newAgent.ca, client })).rejects.toThrow();
    await expect(
      frontendTo(server.frontendPort, { ca: newFrontend.ca, client: frontend.client }),
    ).rejects.toThrow();
    await exchange(oldFrontend, oldAgent);
    expect(log.error).not.toHaveBeenCalled();
  });
});

describe('at the end', () => {
  const opened = async (more: Partial<TunnelServerRoleOptions> = {}) => {
    const server = await start(more);
    const drained: string[] = [];
    const connectionTo = async (name: 'frontend' | 'agent', port: number, { ca, client }: PortMaterial) =>
      grpcOver(await tlsTo({ port, ca, client }), () => drained.push(name));
    const theAgent = await callAsAgent(await connectionTo('agent', server.agentPort, agent));
    const theFrontend = callAsFrontend(await connectionTo('frontend', server.frontendPort, frontend));
    await openThrough(theFrontend, theAgent);
    return { server, theAgent, theFrontend, drained };
  };

  test('peers are sent elsewhere, what is open goes on, and it ends with the last of it', async () => {
    const { server, theAgent, theFrontend, drained } = await opened();
    let stopped = false;
    const stop = server.stop().then(() => (stopped = true));
    // An agent of Go would drop what is open if it were told now.
    await vi.waitFor(() => expect(drained).toEqual(['frontend']));
    expect(await get(server.healthPort, '/readyz')).toEqual({
      status: 500,
      text: 'process is shutting down',
    });
    await expect(tlsTo({ port: server.agentPort, ...agent })).rejects.toThrow();
    await exchange(theFrontend, theAgent);
    expect(stopped).toBe(false);
    theFrontend.stream.finish();
    await stop;
    expect(drained).toEqual(['frontend', 'agent']);
    await expect(get(server.healthPort, '/healthz')).rejects.toThrow();
  });

  test('what lasts longer than the grace is cut', async () => {
    const { server, theFrontend } = await opened({ shutdownGraceMs: 200 });
    const before = performance.now();
    await server.stop();
    expect(performance.now() - before).toBeLessThan(5_000);
    await theFrontend.until(() => theFrontend.status !== undefined);
  });

  test('a second thought ends it at once', async () => {
    const { server, theFrontend } = await opened();
    const stop = server.stop();
    server.destroy();
    await theFrontend.until(() => theFrontend.status !== undefined);
    await stop;
  });
});

describe('at the start', () => {
  test('a port that is taken is an error, and nothing is left behind', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const probe = createServer().listen(0, '127.0.0.1');
    await once(probe, 'listening');
    const { port: agentPort } = probe.address() as AddressInfo;
    await new Promise((resolve) => probe.close(resolve));
    const { agent: certificates } = writtenFiles();
    const agents = { address: { type: 'tcp', host: '127.0.0.1', port: agentPort }, certificates } as const;
    const { port } = taken.address() as AddressInfo;
    await expect(start({ agents, health: { host: '127.0.0.1', port } })).rejects.toThrow(/EADDRINUSE/);
    await expect(tlsTo({ port: agentPort, ...agent })).rejects.toThrow(/ECONNREFUSED/);
    taken.close();
  });

  test('a file that is no certificate is an error', async () => {
    const files = writtenFiles();
    writeFileSync(files.agent.certificateFile, 'text');
    await expect(startTunnelServer(roleOptions(files), { log })).rejects.toThrow(
      /cannot read a certificate in .*agent-tls\.crt/,
    );
  });
});

test('another role of the process may have it inside: its registry, and no servers for health', async () => {
  const registry = new Registry();
  const server = await start({ health: undefined, admin: undefined }, { registry });
  expect([server.healthPort, server.adminPort]).toEqual([undefined, undefined]);
  await agentTo(server.agentPort);
  expect(server.readiness()).toEqual({ ok: true, text: 'ok' });
  expect(await registry.metrics()).toContain(
    'konnectivity_network_proxy_server_grpc_connections{service_method="Connect"} 1\n',
  );
});
