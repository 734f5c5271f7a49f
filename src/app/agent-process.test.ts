import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, test } from 'vitest';
import { silentLog } from '../base/log.ts';
import { testPki } from '../net/testing/certificates.ts';
import { issueCertificate } from '../pki/issue.ts';
import { onTestEnd, startAgentServer, startEcho, until } from '../tunnel/testing/agent-server.ts';
import type { AgentServer } from '../tunnel/testing/agent-server.ts';
import { parseAgentFlags } from './agent-options.ts';
import { startAgent } from './agent-process.ts';

/** Files of an agent of the test's authority. */
async function files() {
  const directory = await mkdtemp(join(tmpdir(), 'agent-'));
  onTestEnd(() => rm(directory, { recursive: true }));
  const { ca, client } = await testPki();
  const path = (name: string) => join(directory, name);
  const write = (name: string, content: string) => writeFile(path(name), content);
  await write('ca.crt', ca.certificatePem);
  await write('tls.crt', client.certificatePem);
  await write('tls.key', client.privateKeyPem);
  return { path, write };
}

function flagsFor(server: AgentServer, path: (name: string) => string): string[] {
  return [
    ...[
      '--proxy-server-host=127.0.0.1',
      `--proxy-server-port=${server.address.port}`,
      `--ca-cert=${path('ca.crt')}`,
    ],
    ...[
      `--agent-cert=${path('tls.crt')}`,
      `--agent-key=${path('tls.key')}`,
      '--health-server-host=127.0.0.1',
    ],
    ...[
      '--health-server-port=0',
      '--admin-server-port=0',
      '--sync-interval=20ms',
      '--sync-interval-cap=200ms',
    ],
    '--allow-destinations=127.0.0.1',
  ];
}

async function started(server: AgentServer, more: readonly string[] = []) {
  const material = await files();
  const options = parseAgentFlags([...flagsFor(server, material.path), ...more], {});
  const agent = await startAgent(options, { log: silentLog });
  onTestEnd(() => agent.destroy());
  const get = async (path: string, port = agent.healthPort) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { redirect: 'manual' });
    return {
      status: response.status,
      text: await response.text(),
      location: response.headers.get('location'),
    };
  };
  return { ...material, agent, get };
}

test('it is ready while it has a server, and tells of itself', async () => {
  const server = await startAgentServer();
  const { agent, get } = await started(server);
  expect((await get('/healthz')).text).toBe('ok');
  await server.nextCall(1);
  await until(() => server.openConnections === 1);
  expect(await get('/readyz')).toMatchObject({ status: 200, text: 'ok' });
  const metrics = (await get('/metrics')).text;
  expect(metrics).toContain('konnectivity_network_proxy_agent_open_server_connections 1\n');
  expect(metrics).toMatch(/^process_resident_memory_bytes \d+$/m);
  expect(metrics).toMatch(/^nodejs_eventloop_lag_p99_seconds /m);
  // As the Go project's tests compare them, help and type and all.
  expect(metrics).toContain(
    '# HELP konnectivity_network_proxy_agent_open_endpoint_connections Current number of open endpoint connections.\n# TYPE konnectivity_network_proxy_agent_open_endpoint_connections gauge\nkonnectivity_network_proxy_agent_open_endpoint_connections 0\n',
  );
  expect(await get('/metrics', agent.adminPort)).toMatchObject({
    ...{ status: 301, location: `http://127.0.0.1:${agent.healthPort}/metrics` },
  });
  await server.stop();
  await expect
    .poll(() => get('/readyz'))
    .toMatchObject({ status: 503, text: '[+]ping ok\n[-]server-connected failed: no servers connected\n' });
});

test('a certificate that changes is used for the next connection; a broken one is not', async () => {
  const server = await startAgentServer();
  const { write } = await started(server);
  const first = await server.nextCall(1);
  const { ca } = await testPki();
  const renewed = await issueCertificate({ commonName: 'renewed', usages: ['clientAuth'] }, { issuer: ca });
  await write('tls.crt', renewed.certificatePem);
  await write('tls.key', renewed.privateKeyPem);
  await write('ca.crt', 'nonsense');
  // What has changed is read within some moments.
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(server.accepted).toBe(1);
  first.connection.destroy();
  expect((await server.nextCall(2)).accepted.certificate?.subject).toBe('CN=renewed');
});

test('the token is read from its file at each connect', async () => {
  const server = await startAgentServer();
  const material = await files();
  await material.write('token', 'one\n');
  const options = parseAgentFlags(
    [...flagsFor(server, material.path), `--service-account-token-path=${material.path('token')}`],
    {},
  );
  const agent = await startAgent(options, { log: silentLog });
  onTestEnd(() => agent.destroy());
  expect((await server.nextCall(1)).metadata('authorization')).toBe('Bearer one');
  await material.write('token', 'two\n');
  server.call.connection.destroy();
  expect((await server.nextCall(2)).metadata('authorization')).toBe('Bearer two');
});

test.each([
  ['--ca-cert=/nowhere', 'ENOENT'],
  ['--agent-cert=/nowhere', 'ENOENT'],
])('it does not start with %s', async (flag, message) => {
  const server = await startAgentServer();
  const { path } = await files();
  const options = parseAgentFlags([...flagsFor(server, path), flag], {});
  await expect(startAgent(options, { log: silentLog })).rejects.toThrow(message);
  expect(server.accepted).toBe(0);
});

test('nothing is left when a port is taken', async () => {
  const server = await startAgentServer();
  const { agent, path } = await started(server);
  await server.nextCall(1);
  const options = parseAgentFlags([...flagsFor(server, path), `--admin-server-port=${agent.adminPort}`], {});
  await expect(startAgent(options, { log: silentLog })).rejects.toThrow('EADDRINUSE');
  await until(() => server.openConnections === 1);
});

/** The command as it is run. */
async function run(server: AgentServer, more: readonly string[]) {
  const { path } = await files();
  const main = join(resolve(import.meta.dirname, '../..'), 'src/cli/main.ts');
  const child = spawn(process.execPath, [main, 'agent', ...flagsFor(server, path), ...more], {
    env: { ...process.env, PROXY_AGENT_ID: 'from-environment' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  onTestEnd(() => child.kill('SIGKILL'));
  const messages: string[] = [];
  createInterface(child.stderr).on('line', (line) =>
    messages.push((JSON.parse(line) as { msg: string }).msg),
  );
  const exit = once(child, 'exit') as Promise<[number | null, string | null]>;
  return { child, exit, messages };
}

test('SIGTERM drains it, and it ends with the last connection, with 0', async () => {
  const server = await startAgentServer();
  const { child, exit } = await run(server, ['--drain-min=100ms']);
  const call = await server.nextCall(1);
  expect(call.metadata('agentid')).toBe('from-environment');
  const echo = await startEcho();
  const connectId = await call.open(echo.address);
  child.kill('SIGTERM');
  await call.next('DRAIN');
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(child.exitCode).toBeNull();
  const second = await call.open(echo.address);
  call.send({ type: 'CLOSE_REQ', connectId });
  call.send({ type: 'CLOSE_REQ', connectId: second });
  expect(await exit).toEqual([0, null]);
});

test('a second signal ends it at once, with 1', async () => {
  const server = await startAgentServer();
  const { child, exit } = await run(server, []);
  const call = await server.nextCall(1);
  await call.open((await startEcho()).address);
  child.kill('SIGTERM');
  await call.next('DRAIN');
  child.kill('SIGINT');
  expect(await exit).toEqual([1, null]);
});
