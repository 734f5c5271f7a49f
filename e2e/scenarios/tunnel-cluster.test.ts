import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { issueCertificate } from '../../src/pki/issue.ts';
import type { Maker } from '../tunnel/party.ts';
import { type IslandWorld, withIsland } from '../tunnel/with-island.ts';
import type { KubectlRun } from '../worlds/kubectl.ts';
import { box } from '../worlds/node.ts';
import { registerCluster } from '../worlds/register.ts';
import { until } from '../worlds/wait.ts';
import { auditEnd, auditSince } from './audit-log.ts';
import { type Client, createClient } from './registration-client.ts';
import { proxyPath } from './registration-world.ts';
import { expectPages, portForward } from './port-forward.ts';
import { runKubectl } from './running-kubectl.ts';

const spdy = { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: 'false', KUBECTL_PORT_FORWARD_WEBSOCKETS: 'false' };
/** From the call until the caller knows that a cluster behind a dead link cannot be reached. */
const cutMs = 55_000;

for (const maker of ['ours', 'Go'] as const satisfies Maker[]) {
  const name = `a cluster that only the tunnel leads to, by the server and agent of ${maker}`;
  // By itself the Go agent never sees that its server has given it up while the link was cut (apiserver-network-proxy#152).
  const agentFlags = maker === 'Go' ? ['--keepalive-time=30s'] : [];
  await withIsland(name, (world) => scenarios(world, maker), { server: maker, agent: maker, agentFlags });
}

function scenarios(world: () => IslandWorld, maker: Maker): void {
  let hub: Client;
  const register = (caPem?: string) =>
    registerCluster(world().kube, world().island.name, {
      cluster: world().island.cluster,
      credential: 'X509Certificate',
      endpoint: `https://${world().island.name}:443`,
      labels: { 'cluster.core.oam.dev/cluster-endpoint-type': 'ClusterProxy' },
      ...(caPem === undefined ? {} : { caPem }),
    });
  beforeAll(async () => {
    await register();
    const { url, caPem, adminCertificatePem, adminKeyPem } = world().kube.hub;
    hub = createClient({ url, caPem, certificatePem: adminCertificatePem, keyPem: adminKeyPem });
  });
  afterAll(() => hub.close());

  const path = (rest: string): string => proxyPath(world().island.name, rest);
  const through = () => ({
    kubeconfig: world().kube.hub.kubeconfig,
    server: `${world().kube.hub.url}${path('')}`,
  });
  const kubectl = (args: readonly string[], more: Partial<KubectlRun> = {}) =>
    world().kube.kubectl(args, { ...through(), ...more });
  const start = (args: readonly string[], more = {}) =>
    runKubectl(world().kube, args, { ...through(), ...more });
  const works = async (): Promise<true | undefined> =>
    (await hub.call(path('/api/v1/namespaces/default'))).status === 200 || undefined;

  test('there is no other way to its API server', async () => {
    const { inside, between } = world().island;
    // Where it listens in its own network there is nobody here, or somebody else, and no interface is the tunnel's.
    await expect(greets(443, world().island.cluster.caPem)).rejects.toThrow();
    const here = await readFile('/proc/net/fib_trie', 'utf8');
    expect(here).not.toContain('198.51.100.');
    // Out of its network there is a way to the tunnel's server alone; from there nobody gets to the API server.
    const routes = (await inside.run('ip', '-4', 'route')).trim().split('\n');
    expect(routes.filter((route) => !route.startsWith('10.244.'))).toEqual([
      expect.stringMatching(/^198\.51\.100\.0\/30 dev tunnel /),
    ]);
    expect((await between.run('ip', '-4', 'route')).trim()).toMatch(
      /^198\.51\.100\.0\/30 dev tunnel [^\n]*$/,
    );
    const listeners = await inside.run('ss', '-Hltn', 'sport = :443');
    expect(listeners).toMatch(/ 127\.0\.0\.1:443 /);
  });

  test('kubectl get, and any path', async () => {
    expect(await kubectl(['get', 'nodes', '-o', 'name'])).toMatchObject({ code: 0, stdout: 'node/node-a\n' });
    expect(await kubectl(['get', '--raw', '/readyz'])).toMatchObject({ code: 0, stdout: 'ok' });
  });

  test('kubectl logs -f gives each line as it is written', async () => {
    const follow = start(['logs', '-f', '--tail=1', box.name]);
    try {
      await until('four lines', () => Promise.resolve(follow.lines()[3]), { timeoutMs: 10_000 });
      const times = follow.lines().map(({ at }) => at);
      const gaps = times.slice(2).map((at, index) => at - (times[index + 1] ?? at));
      expect(Math.min(...gaps)).toBeGreaterThan(300);
    } finally {
      await follow.kill();
    }
  });

  describe.each([
    ['WebSocket', {}],
    ['SPDY', spdy],
  ])('over %s', (_, env) => {
    test('kubectl exec', async () => {
      const script = 'read line; echo "got $line"; echo oops >&2; exit 7';
      const result = await kubectl(['exec', '-i', box.name, '--', 'sh', '-c', script], {
        env,
        stdin: 'hello\n',
      });
      const stderr = 'oops\ncommand terminated with exit code 7\n';
      expect(result).toEqual({ code: 7, stdout: 'got hello\n', stderr });
    });

    test('20 MB of output of kubectl exec, to the last byte', async () => {
      const args = ['exec', box.name, '--', 'sh', '-c', 'head -c 20971520 /dev/zero'];
      for (let at = 0; at < 3; at += 1) {
        const { code, stdout, stderr } = await kubectl(args, { env });
        expect({ code, length: stdout.length }, stderr).toEqual({ code: 0, length: 20_971_520 });
      }
    });

    test('kubectl cp of 100 MB both ways', async () => {
      const folder = await mkdtemp(join(world().kube.directory, 'cp-'));
      const content = randomBytes(100 * 1024 * 1024);
      await writeFile(join(folder, 'there'), content);
      const copy = { env, cwd: folder, timeoutMs: 60_000 };
      const there = await kubectl(['cp', 'there', `${box.name}:/tmp/there`], copy);
      expect(there.code, there.stderr).toBe(0);
      const sum = await kubectl(['exec', box.name, '--', 'sha256sum', '/tmp/there'], { env });
      expect(sum.stdout).toBe(`${sha256(content)}  /tmp/there\n`);
      const back = await kubectl(['cp', `${box.name}:/tmp/there`, 'back'], copy);
      expect(back.code, back.stderr).toBe(0);
      expect(sha256(await readFile(join(folder, 'back')))).toBe(sha256(content));
    });

    test('kubectl port-forward, 20 requests at once', async () => {
      await expectPages(start(portForward, { env }));
    });
  });

  test('a cluster that shows a certificate of another authority gets no request', async () => {
    const { certificatePem } = await issueCertificate({ commonName: 'somebody else', ca: true });
    await register(certificatePem);
    const { auditLog } = world().island.cluster;
    const since = await auditEnd(auditLog);
    try {
      const refused = async () => {
        const answer = await hub.call(path('/api/v1/namespaces/nothing-else-asks-for'));
        return answer.status === 200 || answer.status === 404 ? undefined : answer;
      };
      const answer = await until('the new authority to be used', refused, { timeoutMs: 10_000 });
      expect(answer.status).toBeGreaterThanOrEqual(500);
      expect(answer.text).toMatch(/certificate/);
      await sleep(1000);
      const again = await hub.call(path('/api/v1/namespaces/nothing-at-all'));
      expect(again.status).toBeGreaterThanOrEqual(500);
      const asked = (await auditSince(auditLog, since)).map(({ requestURI }) => requestURI);
      expect(asked.filter((uri) => uri.includes('nothing-at-all'))).toEqual([]);
    } finally {
      await register();
      await until('the right authority to be used', works, { timeoutMs: 20_000 });
    }
  });

  describe('when the link is cut', () => {
    test('what is open waits for it', async () => {
      const follow = start(['logs', '-f', '--tail=1', box.name]);
      try {
        await follow.says(/tick/);
        await world().island.cut();
        await sleep(2000);
        const before = follow.lines().length;
        await world().island.mend();
        await until('more lines', () => Promise.resolve(follow.lines()[before + 2]), { timeoutMs: 20_000 });
        const numbers = follow.lines().map(({ text }) => Number(text.replace('tick ', '')));
        expect(numbers).toEqual(numbers.map((_, index) => (numbers[0] ?? 0) + index));
      } finally {
        await follow.kill();
        await world().island.mend();
      }
    });

    test('requests are answered with an error within a bound, and work when it is back', async () => {
      await world().island.cut();
      try {
        // The first goes out on the connection that there is, and may have arrived for all that is known.
        for (let at = 0; at < 3; at += 1) {
          const answer = await hub.call(path('/api/v1/namespaces/default'), { timeoutMs: cutMs + 5000 });
          report(
            maker,
            `cut, request ${at}: ${answer.status} after ${Math.round(answer.ms)} ms: ${answer.text}`,
          );
          expect(at === 0 ? [502, 503] : [503]).toContain(answer.status);
          expect(answer.ms).toBeLessThan(cutMs);
          expect(answer.json()).toMatchObject({ kind: 'Status', code: answer.status });
        }
      } finally {
        await world().island.mend();
      }
      const started = performance.now();
      await until('the cluster to be there again', works, { timeoutMs: maker === 'Go' ? 60_000 : 15_000 });
      report(maker, `mended: works after ${Math.round(performance.now() - started)} ms`);
    });
  });

  test('an agent that is killed is a 503 at once, until it is back', async () => {
    const { agent } = world().island;
    expect(await works()).toBe(true);
    await agent.stop();
    const answer = await hub.call(path('/api/v1/namespaces/default'));
    report(maker, `agent killed: ${answer.status} after ${Math.round(answer.ms)} ms: ${answer.text}`);
    expect(answer.status).toBe(503);
    expect(answer.ms).toBeLessThan(3000);
    await agent.start();
    await until('the cluster to be there again', works, { timeoutMs: 15_000 });
  });

  test("the tunnel's server may be killed and started", async () => {
    const { server } = world().island;
    await server.stop();
    const answer = await hub.call(path('/api/v1/namespaces/default'));
    report(maker, `server killed: ${answer.status} after ${Math.round(answer.ms)} ms: ${answer.text}`);
    expect(answer.status).toBe(503);
    await server.start();
    await until('the cluster to be there again', works, { timeoutMs: 20_000 });
  });
}

/** A TLS handshake with a port of this machine's loopback; rejects when its certificate is none of the authority. */
function greets(port: number, ca: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, ca, servername: 'kubernetes.default.svc' });
    socket.setTimeout(2000, () => socket.destroy(new Error('no answer')));
    socket.once('error', reject);
    socket.once('secureConnect', () => {
      socket.destroy();
      resolve();
    });
  });
}

function sha256(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}

function report(maker: Maker, text: string): void {
  process.stderr.write(`tunnel of ${maker}: ${text.trimEnd()}\n`);
}
