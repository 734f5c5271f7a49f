import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { issuePortMaterial, materialDirectory } from './testing/tunnel-material.ts';
import type { PortMaterial } from './testing/tunnel-material.ts';
import { callAsFrontend, grpcOver, tlsTo } from './testing/tunnel-peers.ts';

const main = join(resolve(import.meta.dirname, '../..'), 'src/cli/main.ts');

let directory: ReturnType<typeof materialDirectory>;
let child: ChildProcess | undefined;

beforeEach(() => {
  directory = materialDirectory();
});
afterEach(() => {
  child?.kill('SIGKILL');
  directory.remove();
});

interface Listening {
  readonly frontendPort: number;
  readonly healthPort: number;
}

/** The command as it is run, once it listens. */
async function run(frontend: PortMaterial, ...more: readonly string[]) {
  const files = directory.write('frontend', frontend);
  const agent = directory.write('agent', await issuePortMaterial('agent'));
  const argv = [
    ...[`--server-ca-cert=${files.clientCaFile ?? ''}`, `--server-cert=${files.certificateFile}`],
    ...[`--server-key=${files.keyFile}`, `--cluster-ca-cert=${agent.clientCaFile ?? ''}`],
    ...[`--cluster-cert=${agent.certificateFile}`, `--cluster-key=${agent.keyFile}`],
    ...['server', 'agent', 'health', 'admin'].flatMap((name) => [
      ...[`--${name}-port=0`, `--${name}-bind-address=127.0.0.1`],
    ]),
  ];
  const started = spawn(process.execPath, [main, 'tunnel-server', ...argv, ...more], {
    env: { ...process.env, PROXY_SERVER_ID: 'from-environment' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  child = started;
  const exit = once(started, 'exit') as Promise<[number | null, string | null]>;
  for await (const line of createInterface(started.stderr)) {
    const entry = JSON.parse(line) as Partial<Listening> & { msg: string; serverId?: string };
    if (entry.msg !== 'listening') continue;
    expect(entry.serverId).toBe('from-environment');
    return { started, exit, ports: entry as Listening };
  }
  throw new Error('it ended before it listened');
}

test('SIGTERM ends it in good order, with 0', async () => {
  const { started, exit, ports } = await run(await issuePortMaterial('frontend'));
  const alive = await fetch(`http://127.0.0.1:${ports.healthPort}/healthz`);
  expect([alive.status, await alive.text()]).toEqual([200, 'ok']);
  started.kill('SIGTERM');
  expect(await exit).toEqual([0, null]);
});

test('a second signal ends it at once, with 1', async () => {
  const frontend = await issuePortMaterial('frontend');
  const { started, exit, ports } = await run(frontend, '--graceful-shutdown-timeout=1h');
  const target = { port: ports.frontendPort, ca: frontend.ca, client: frontend.client };
  const drained = Promise.withResolvers<undefined>();
  const connection = await grpcOver(await tlsTo(target), () => drained.resolve(undefined));
  const open = callAsFrontend(connection);
  // A dial that finds no agent is answered: the stream has begun there.
  open.stream.send({ type: 'DIAL_REQ', protocol: 'tcp', address: 'nowhere:1', dialId: 1n });
  expect((await open.next('DIAL_RSP')).error).toBe('No agent available');
  started.kill('SIGTERM');
  await drained.promise;
  started.kill('SIGTERM');
  expect(await exit).toEqual([1, null]);
});

test('what is wrong ends it with 2 and one line, and help with 0', () => {
  const ended = (...argv: readonly string[]) =>
    spawnSync(process.execPath, [main, 'tunnel-server', ...argv], { encoding: 'utf8' });
  expect(ended('--elephants')).toMatchObject({
    status: 2,
    stdout: '',
    stderr: "unknown option '--elephants'\n",
  });
  const help = ended('--help');
  expect(help.status).toBe(0);
  expect(help.stdout).toContain('Usage: cluster-gateway tunnel-server [flags]\n');
});
