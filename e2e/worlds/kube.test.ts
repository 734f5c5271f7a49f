import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdtemp, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { createApiClient } from './api.ts';
import { describeWorld } from './describe-world.ts';
import { box, type KubeWorld, startKubeWorld } from './kube.ts';
import { removeLeftovers } from './record.ts';
import { type CredentialType, registerCluster } from './register.ts';
import { until } from './wait.ts';

const run = promisify(execFile);

await describeWorld('the world', () => {
  let world: KubeWorld;
  let second: KubeWorld;
  beforeAll(async () => {
    // Side by side from the start: whatever two worlds might share shows in every test below.
    [world, second] = await Promise.all([startKubeWorld(), startKubeWorld()]);
  });
  afterAll(async () => {
    await Promise.all([world.stop(), second.stop()]);
  });
  const atA = (args: readonly string[], more = {}) =>
    world.kubectl(args, { kubeconfig: world.a.kubeconfig, ...more });

  describe.each([
    ['WebSocket', {}],
    ['SPDY', { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: 'false', KUBECTL_PORT_FORWARD_WEBSOCKETS: 'false' }],
  ])('pod streams over %s', (_, env) => {
    test('exec keeps stdin, stdout, stderr and the exit code apart', async () => {
      const script = 'read line; echo "got $line"; echo oops >&2; exit 7';
      const result = await atA(['exec', '-i', 'box', '--', 'sh', '-c', script], { env, stdin: 'hello\n' });
      expect(result.stdout).toBe('got hello\n');
      expect(result.stderr).toContain('oops');
      expect(result.code).toBe(7);
    });

    test('exec on a terminal', async () => {
      const result = await atA(['exec', '-it', 'box', '--', 'tty'], { env, tty: true });
      expect(result.stdout).toContain('/dev/pts/0');
      expect(result.code).toBe(0);
    });

    test('cp to the pod and back', async () => {
      const folder = await mkdtemp(join(world.directory, 'cp-'));
      await writeFile(join(folder, 'there'), 'content');
      expect(await atA(['cp', 'there', 'box:/tmp/there'], { env, cwd: folder })).toMatchObject({ code: 0 });
      expect(await atA(['cp', 'box:/tmp/there', 'back'], { env, cwd: folder })).toMatchObject({ code: 0 });
      expect(await readFile(join(folder, 'back'), 'utf8')).toBe('content');
    });

    test('port-forward', async () => {
      const options = { kubeconfig: world.a.kubeconfig, env };
      const forward = world.spawnKubectl(['port-forward', 'box', `:${box.port}`], options);
      try {
        let said = '';
        forward.stdout?.on('data', (chunk: Buffer) => (said += chunk.toString()));
        const port = await until(
          'port-forward',
          () => Promise.resolve(/127\.0\.0\.1:(\d+)/.exec(said)?.[1]),
          {
            timeoutMs: 10_000,
          },
        );
        const answer = await fetch(`http://127.0.0.1:${port}/index.html`);
        expect(await answer.text()).toBe('world\n');
      } finally {
        forward.kill('SIGKILL');
        await once(forward, 'close');
      }
    });
  });

  test('logs', async () => {
    const result = await atA(['logs', 'box', '--limit-bytes=7']);
    expect(result).toMatchObject({ code: 0, stdout: 'tick 0\n' });
  });

  test('the second world has its own pod, users and audit log', async () => {
    const pod = await second.kubectl(['get', 'pod', 'box', '-o', 'jsonpath={.status.phase}'], {
      kubeconfig: second.a.kubeconfig,
    });
    expect(pod.stdout).toBe('Running');
    const stranger = await world.kubectl(['get', 'namespaces', '--request-timeout=5s'], {
      kubeconfig: world.a.kubeconfig,
      server: second.a.url,
    });
    expect(stranger.stderr).toContain('certificate');
    expect(stranger.code).not.toBe(0);
  });

  test.each(['hub', 'a', 'b'] as const)(
    'cluster %s knows its users and writes an audit log',
    async (name) => {
      const cluster = world[name];
      const jane = await cluster.user('jane', ['dev', 'ops']);
      const who = await world.kubectl(['auth', 'whoami', '-o', 'json'], { kubeconfig: jane.kubeconfig });
      expect(who.stdout).toMatch(/"username": "jane"/);
      expect(who.stdout).toMatch(/"dev",\s+"ops"/);
      const denied = await world.kubectl(['get', 'secrets'], { kubeconfig: jane.kubeconfig });
      expect(denied).toMatchObject({ code: 1 });
      expect(denied.stderr).toContain('Forbidden');
      await until(
        'the denied request in the audit log',
        async () =>
          /"username":"jane".*"resource":"secrets"/.test(await readFile(cluster.auditLog, 'utf8')) ||
          undefined,
        { timeoutMs: 5000 },
      );
    },
  );

  test.each(['X509Certificate', 'ServiceAccountToken', 'Dynamic'] as const)(
    'the Secret of a cluster registered with %s opens that cluster',
    async (credential: CredentialType) => {
      const name = `by-${credential.toLowerCase()}`;
      const registered = await registerCluster(world, name, { cluster: world.b, credential });
      const secret = (await world.hub.api.expect(`/api/v1/namespaces/vela-system/secrets/${name}`)) as {
        metadata: { labels: Record<string, string> };
        data: Record<string, string>;
      };
      expect(secret.metadata.labels['cluster.core.oam.dev/cluster-credential-type']).toBe(credential);
      const data = Object.fromEntries(
        Object.entries(secret.data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]),
      );
      expect(data['endpoint']).toBe(world.b.url);
      const api = createApiClient({
        url: data['endpoint'] ?? '',
        caPem: data['ca.crt'] ?? '',
        ...(data['tls.crt'] === undefined ? {} : { certificatePem: data['tls.crt'] }),
        ...(data['tls.key'] === undefined ? {} : { keyPem: data['tls.key'] }),
        ...(await tokenOf(data)),
      });
      expect((await api.call('/api/v1/secrets')).status).toBe(200);
      api.close();
      await registered.remove();
    },
  );

  test('an API server that was killed comes back with its data', async () => {
    const { b } = world;
    const made = await world.kubectl(['create', 'namespace', 'stays'], { kubeconfig: b.kubeconfig });
    expect(made.code).toBe(0);
    await b.stop();
    const down = await world.kubectl(['get', 'namespaces'], { kubeconfig: b.kubeconfig });
    expect(down.stderr).toContain('refused');
    await b.start();
    const again = await world.kubectl(['get', 'namespace', 'stays', '-o', 'name'], {
      kubeconfig: b.kubeconfig,
    });
    expect(again.stdout).toBe('namespace/stays\n');
  });

  test('with controllers a namespace can be deleted', async () => {
    await world.startControllers('b');
    const at = { kubeconfig: world.b.kubeconfig };
    expect((await world.kubectl(['create', 'namespace', 'goes'], at)).code).toBe(0);
    const deleted = await world.kubectl(['delete', 'namespace', 'goes'], at);
    expect(deleted).toMatchObject({ code: 0, stderr: '' });
  });

  test('kubectl that does not end is killed and says so', async () => {
    const result = await atA(['get', 'pods', '--watch'], { timeoutMs: 1500 });
    expect(result.code).toBe(124);
    expect(result.stdout).toContain('box');
    expect(result.stderr).toContain('had not ended after 1500 ms');
  });

  test('ends in under a second and leaves nothing; kept files are logs only', async () => {
    const address = await podAddress(second);
    const { directory } = second;
    const started = performance.now();
    await second.stop({ keep: true });
    expect(performance.now() - started).toBeLessThan(1000);
    expect(await residue(directory, address)).toEqual([]);
    expect(await readdir(directory)).toEqual(['a', 'b', 'etcd.log', 'hub']);
    await access(second.a.auditLog);
    await rm(directory, { recursive: true });
  });

  test('a killed owner leaves files only, and the next start removes them', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'cluster-gateway-test-'));
    const script = join(folder, 'owner.ts');
    const kube = JSON.stringify(join(import.meta.dirname, 'kube.ts'));
    await writeFile(
      script,
      `import { startKubeWorld } from ${kube};
      const world = await startKubeWorld();
      const pod = await world.a.api.expect('/api/v1/namespaces/default/pods/box');
      console.log(JSON.stringify([world.directory, pod.status.podIP]));
      setInterval(() => {}, 1000);`,
    );
    const owner = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = (await once(owner.stdout, 'data')) as [Buffer];
    const [directory, address] = JSON.parse(line.toString()) as [string, string];
    expect(await residue(directory, address)).not.toEqual([]);
    owner.kill('SIGKILL');
    await until(
      'the processes to be gone',
      async () => {
        const left = await residue(directory, address);
        return left.every((what) => what.startsWith('cgroup')) || undefined;
      },
      { timeoutMs: 3000 },
    );
    await removeLeftovers();
    expect(await residue(directory, address)).toEqual([]);
    await expect(access(directory)).rejects.toThrow();
    await rm(folder, { recursive: true });
  });
});

async function tokenOf(data: Record<string, string>): Promise<{ token?: string }> {
  if (data['token'] !== undefined) return { token: data['token'] };
  if (data['exec'] === undefined) return {};
  const { command, args } = JSON.parse(data['exec']) as { command: string; args: string[] };
  const { stdout } = await run(command, args);
  return { token: (JSON.parse(stdout) as { status: { token: string } }).status.token };
}

async function podAddress(world: KubeWorld): Promise<string> {
  const pod = (await world.a.api.expect('/api/v1/namespaces/default/pods/box')) as {
    status: { podIP: string };
  };
  return pod.status.podIP;
}

/** What is left of a world: processes that name its folder, mounts, routes to its pods (with their veths), cgroups. */
async function residue(directory: string, address: string): Promise<string[]> {
  const subnet = address.split('.').slice(0, 3).join('.');
  const cgroup = `cluster-gateway-${subnet.split('.')[2] ?? ''}-`;
  const [processes, mounts, routes, cgroups] = await Promise.all([
    processesNaming([directory, cgroup]),
    readFile('/proc/mounts', 'utf8'),
    run('ip', ['route']),
    run('find', ['/sys/fs/cgroup', '-maxdepth', '2', '-type', 'd', '-name', `${cgroup}*`]),
  ]);
  return [
    ...processes,
    ...mounts.split('\n').filter((line) => line.includes(directory)),
    ...routes.stdout.split('\n').filter((line) => line.includes(`${subnet}.`)),
    ...cgroups.stdout
      .split('\n')
      .filter((path) => path !== '')
      .map((path) => `cgroup ${path}`),
  ];
}

async function processesNaming(texts: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const [command, cgroups, folder] = await Promise.all([
      readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''),
      readFile(`/proc/${pid}/cgroup`, 'utf8').catch(() => ''),
      readlink(`/proc/${pid}/cwd`).catch(() => ''),
    ]);
    if (Number(pid) === process.pid) continue;
    const facts = `${command} ${cgroups} ${folder}`;
    if (texts.some((text) => facts.includes(text)))
      found.push(`process ${pid} ${command.replaceAll('\0', ' ')}`);
  }
  return found;
}
