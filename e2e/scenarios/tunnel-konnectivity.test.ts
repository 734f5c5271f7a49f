import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, test } from 'vitest';

import { addresses, type Konnectivity, type KonnectivityOptions } from '../tunnel/konnectivity.ts';
import { type Party, sumOf } from '../tunnel/party.ts';
import { withKonnectivity } from '../tunnel/with-konnectivity.ts';
import type { KubectlResult, KubectlRun } from '../worlds/kubectl.ts';
import { box, nodeName } from '../worlds/node.ts';
import { until } from '../worlds/wait.ts';
import { expectPages, portForward } from './port-forward.ts';
import { runKubectl } from './running-kubectl.ts';

const spdy = { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: 'false', KUBECTL_PORT_FORWARD_WEBSOCKETS: 'false' };
const setups = [
  { mode: 'grpc', frontend: 'unix', egress: { protocol: 'grpc', transport: 'uds' } },
  { mode: 'http-connect', frontend: 'mtls', egress: { protocol: 'http_connect', transport: 'tcp' } },
] as const;
/** Until a caller knows that agent or server is away. */
const awayMs = 10_000;
/** Until all works again when it is back: the kube-apiserver looks for aggregated servers after ever longer pauses. */
const backMs = 60_000;
const gateways = '/apis/cluster.core.oam.dev/v1alpha1/clustergateways';

for (const setup of setups) {
  const name = `the konnectivity of a kube-apiserver that speaks ${setup.egress.protocol} over ${setup.egress.transport}`;
  await withKonnectivity(name, (world) => scenarios(world, setup), setup);
}

interface Setup extends KonnectivityOptions {
  readonly egress: { readonly protocol: string; readonly transport: string };
}

function scenarios(world: () => Konnectivity, { egress }: Setup): void {
  const whole = (more: Partial<KubectlRun>): KubectlRun => ({
    kubeconfig: world().cluster.kubeconfig,
    ...more,
  });
  const kubectl = (args: readonly string[], more: Partial<KubectlRun> = {}): Promise<KubectlResult> =>
    world().kubectl(args, whole(more));
  const start = (args: readonly string[], more: Partial<KubectlRun> = {}) =>
    runKubectl(world(), args, whole(more));
  const get = (path: string): Promise<KubectlResult> => kubectl(['get', '--raw', path]);
  const nodeProxy = `/api/v1/nodes/${nodeName}/proxy/healthz`;

  beforeAll(() => registerItself(world()));

  test('the kube-apiserver has no route to kubelet, pods and Services', async () => {
    const { plane, nodes, cluster } = world();
    expect((await plane.run('ip', '-4', 'route')).trim()).toMatch(/^198\.51\.100\.0\/30 dev tunnel [^\n]*$/);
    const podIp = await kubectl(['get', 'pod', box.name, '-o', 'jsonpath={.status.podIP}']);
    expect(podIp.stdout).toMatch(/^10\.244\./);
    for (const address of [addresses.node, addresses.service, podIp.stdout]) {
      await expect(plane.run('ip', 'route', 'get', address), address).rejects.toThrow(/unreachable/);
    }
    // It runs there, and where it has a route to, nobody listens.
    expect(await plane.run('ss', '-Hltn', `sport = :${cluster.port}`)).not.toBe('');
    const listeners = (await nodes.run('ss', '-Hltn')).trim().split('\n');
    const local = listeners.map((line) => line.trim().split(/\s+/)[3] ?? line);
    expect(local).toEqual(expect.arrayContaining([`${addresses.node}:10250`, `${addresses.service}:443`]));
    expect(
      local.filter((address) => !/^(?:127\.|192\.0\.2\.10:10250|10\.0\.0\.50:443)/.test(address)),
    ).toEqual([]);
  });

  test('kubectl logs, and logs -f as the lines are written', async () => {
    const before = await kubectl(['logs', box.name]);
    expect(before).toMatchObject({ code: 0, stderr: '' });
    expect(before.stdout).toMatch(/^tick 0\ntick 1\n/);
    const follow = start(['logs', '-f', '--tail=1', box.name]);
    try {
      await until('four lines', () => Promise.resolve(follow.lines()[3]), { timeoutMs: 15_000 });
      expect(await world().agent.metric(`${agentMetric}open_endpoint_connections`)).toBeGreaterThan(0);
      expect(await world().server.metric(`${serverMetric}established_connections`)).toBeGreaterThan(0);
      const times = follow.lines().map(({ at }) => at);
      const gaps = times.slice(2).map((at, index) => at - (times[index + 1] ?? at));
      expect(Math.max(...gaps)).toBeGreaterThan(300);
    } finally {
      await follow.kill();
    }
  });

  describe.each([
    ['WebSocket', {}],
    ['SPDY', spdy],
  ])('over %s', (_, env) => {
    test('kubectl exec, each through the tunnel', async () => {
      const before = await dials(world(), egress);
      for (let at = 0; at < 3; at += 1) await expectExec(kubectl, env);
      const after = await dials(world(), egress);
      // The kube-apiserver's own count, by protocol and transport, and those of both of our sides.
      expect(after.kubeApiserver - before.kubeApiserver).toBeGreaterThanOrEqual(3);
      expect(after.server - before.server).toBeGreaterThanOrEqual(3);
      expect(after.agent - before.agent).toBeGreaterThanOrEqual(3);
    });

    test('20 MB of output of kubectl exec, to the last byte', async () => {
      const args = ['exec', box.name, '--', 'sh', '-c', 'head -c 20971520 /dev/zero'];
      const { code, stdout, stderr } = await kubectl(args, { env });
      expect({ code, length: stdout.length }, stderr).toEqual({ code: 0, length: 20_971_520 });
    });

    test('kubectl cp of 20 MB both ways', () => expectCopies(world(), kubectl, env));

    test('kubectl port-forward, 20 requests at once', async () => {
      await expectPages(start(portForward, { env }));
    });

    test('kubectl exec by way of the aggregated API, which is the tunnel twice', async () => {
      await expectExec(kubectl, env, `${world().url}${gateways}/itself/proxy`);
    });
  });

  test('the proxies of nodes and pods', async () => {
    expect(await get(nodeProxy)).toMatchObject({ code: 0, stdout: 'ok' });
    const pod = `/api/v1/namespaces/${box.namespace}/pods/${box.name}:${box.port}/proxy/index.html`;
    expect(await get(pod)).toMatchObject({ code: 0, stdout: 'world\n' });
  });

  test('an aggregated API at the address of its Service', async () => {
    const listed = await kubectl(['get', 'clustergateways', '-o', 'name']);
    expect(listed).toMatchObject({ code: 0, stdout: 'clustergateway.cluster.core.oam.dev/itself\n' });
    const through = await get(`${gateways}/itself/proxy/api/v1/nodes/${nodeName}/proxy/healthz`);
    expect(through).toMatchObject({ code: 0, stdout: 'ok' });
  });

  test('what the agent may not connect to is an error that says so', async () => {
    const agentsOwn = await get(`/api/v1/nodes/http:${nodeName}:8093/proxy/healthz`);
    expect(agentsOwn.code).not.toBe(0);
    expect(agentsOwn.stderr).toMatch(
      egress.protocol === 'grpc' ? /destination is not allowed/ : /proxy error .* code 502/,
    );
  });

  test('a stream that nobody reads holds up no other', async () => {
    const flood = start(['exec', box.name, '--', 'cat', '/dev/zero']);
    try {
      await until('the flood', () => Promise.resolve(flood.stdout().length > 1_000_000 || undefined), {
        timeoutMs: 15_000,
      });
      flood.child.kill('SIGSTOP');
      const others = start(['logs', '-f', '--tail=1', box.name]);
      try {
        for (let at = 0; at < 3; at += 1) await expectExec(kubectl, {});
        await until('six lines', () => Promise.resolve(others.lines()[5]), { timeoutMs: 20_000 });
        expect(await get(nodeProxy)).toMatchObject({ code: 0 });
      } finally {
        await others.kill();
      }
    } finally {
      await flood.kill();
    }
  });

  /** What needs the tunnel, all at once; the aggregated API last. */
  const requests = (): Promise<KubectlResult>[] => [
    kubectl(['logs', '--tail=1', box.name]),
    kubectl(['exec', box.name, '--', 'true']),
    get(nodeProxy),
    kubectl(['get', 'clustergateways', '-o', 'name']),
  ];
  const untilWorks = async (): Promise<void> => {
    const all = async (): Promise<true | undefined> => {
      const wrong = (await Promise.all(requests())).find(({ code }) => code !== 0);
      if (wrong !== undefined) throw new Error(wrong.stderr);
      return true;
    };
    await until('everything to work', all, { timeoutMs: backMs });
  };

  /** Stops one of the two and starts it again: then all works, and the kube-apiserver has been ready all the time. */
  async function whileAway(party: 'agent' | 'server', during: () => Promise<void>): Promise<void> {
    const follow = start(['logs', '-f', '--tail=1', box.name]);
    const watch = watchReadiness(world());
    try {
      await follow.says(/tick/);
      await world()[party].stop();
      await during();
      await world()[party].start();
      await world().agent.connected();
      await untilWorks();
      // What was open ended, instead of waiting for ever.
      const end = (): Promise<number | undefined> => Promise.resolve(follow.child.exitCode ?? undefined);
      await until('kubectl logs -f to end', end, { timeoutMs: backMs });
    } finally {
      await follow.kill();
      expect(await watch.end()).toEqual(new Set([200]));
    }
  }

  const failSoon = async (): Promise<void> => {
    const began = performance.now();
    const failed = await Promise.all(requests());
    const ms = performance.now() - began;
    report(egress, `fails after ${Math.round(ms)} ms: ${failed.map(lastLine).join(' | ')}`);
    for (const { code, stderr } of failed) expect(code, stderr).toBe(1);
    expect(ms).toBeLessThan(awayMs);
  };

  test('requests fail soon while the agent is away, and all works when it is back', () =>
    whileAway('agent', failSoon));

  if (egress.protocol === 'http_connect') {
    test('requests fail soon while the server is away, and all works when it is back', () =>
      whileAway('server', failSoon));
  } else {
    // The kube-apiserver tries for 30 s to reach a Unix socket that nobody listens at (its egress selector, grpc.WithTimeout).
    test('requests wait for a server that is away, and all works when it is back', async () => {
      let waiting: Promise<KubectlResult>[] = [];
      await whileAway('server', () => {
        // Not the last: the aggregated API may be told unavailable.
        waiting = requests().slice(0, -1);
        return Promise.resolve();
      });
      for (const { code, stderr } of await Promise.all(waiting)) {
        // One may have come to the server before the agent did.
        if (code !== 0) expect(stderr).toMatch(/No agent available/);
      }
    });
  }

  describe("with Go's agent", () => {
    let agent: Party;
    beforeAll(async () => {
      await world().agent.stop();
      agent = await world().startAgent('Go');
      await untilWorks();
    });

    test.each([
      ['WebSocket', {}],
      ['SPDY', spdy],
    ])('kubectl exec and cp over %s', async (_, env) => {
      const before = await agent.metric(`${agentMetric}dial_duration_seconds_count`);
      await expectExec(kubectl, env);
      await expectCopies(world(), kubectl, env);
      expect(await agent.metric(`${agentMetric}dial_duration_seconds_count`)).toBeGreaterThanOrEqual(
        before + 4,
      );
    });

    test('kubectl logs -f, the proxy of the node, and the aggregated API', async () => {
      const follow = start(['logs', '-f', '--tail=1', box.name]);
      try {
        await until('three lines', () => Promise.resolve(follow.lines()[2]), { timeoutMs: 15_000 });
      } finally {
        await follow.kill();
      }
      expect(await get(nodeProxy)).toMatchObject({ code: 0, stdout: 'ok' });
      expect(await kubectl(['get', 'clustergateways'])).toMatchObject({ code: 0 });
    });
  });
}

const serverMetric = 'konnectivity_network_proxy_server_';
const agentMetric = 'konnectivity_network_proxy_agent_';

type RunKubectl = (args: readonly string[], more?: Partial<KubectlRun>) => Promise<KubectlResult>;
type Environment = Readonly<Record<string, string>>;

/** Connections that were made: by the kube-apiserver's own count for this protocol, and by those of our parts. */
async function dials(
  { cluster, server, agent }: Konnectivity,
  { protocol, transport }: Setup['egress'],
): Promise<Record<'kubeApiserver' | 'server' | 'agent', number>> {
  const text = (await cluster.api.call('/metrics')).text;
  const metric = 'apiserver_egress_dialer_dial_duration_seconds_count';
  const series = `${metric}{protocol="${protocol}",transport="${transport}"}`;
  const lines = text.split('\n').filter((line) => line.startsWith(series));
  return {
    kubeApiserver: sumOf(lines.join('\n'), metric),
    server: await server.metric(`${serverMetric}dial_duration_seconds_count`),
    agent: await agent.metric(`${agentMetric}dial_duration_seconds_count`),
  };
}

async function expectExec(kubectl: RunKubectl, env: Environment, server?: string): Promise<void> {
  const script = 'read line; echo "got $line"; echo oops >&2; exit 7';
  const result = await kubectl(['exec', '-i', box.name, '--', 'sh', '-c', script], {
    ...{ env, stdin: 'hello\n' },
    ...(server === undefined ? {} : { server }),
  });
  const stderr = 'oops\ncommand terminated with exit code 7\n';
  expect(result).toEqual({ code: 7, stdout: 'got hello\n', stderr });
}

async function expectCopies({ site }: Konnectivity, kubectl: RunKubectl, env: Environment): Promise<void> {
  const folder = await mkdtemp(join(site.directory, 'cp-'));
  const content = randomBytes(20 * 1024 * 1024);
  await writeFile(join(folder, 'there'), content);
  const copy = { env, cwd: folder, timeoutMs: 60_000 };
  const there = await kubectl(['cp', 'there', `${box.name}:/tmp/there`], copy);
  expect(there.code, there.stderr).toBe(0);
  const sum = await kubectl(['exec', box.name, '--', 'sha256sum', '/tmp/there'], { env });
  expect(sum.stdout).toBe(`${sha256(content)}  /tmp/there\n`);
  const back = await kubectl(['cp', `${box.name}:/tmp/there`, 'back'], copy);
  expect(back.code, back.stderr).toBe(0);
  expect(sha256(await readFile(join(folder, 'back')))).toBe(sha256(content));
}

/** Asks again and again whether the kube-apiserver is ready; the end gives the statuses of all answers, 0 for none. */
function watchReadiness({ cluster }: Konnectivity): { end(): Promise<Set<number>> } {
  const seen = new Set<number>();
  const ended = new AbortController();
  const asking = (async (): Promise<void> => {
    while (!ended.signal.aborted) {
      const status = (): Promise<number> =>
        cluster.api.call('/readyz', { timeoutMs: 20_000 }).then(({ status }) => status);
      seen.add(await status().catch(() => 0));
      await sleep(50);
    }
  })();
  return {
    async end() {
      ended.abort();
      await asking;
      return seen;
    },
  };
}

/** The cluster is registered at its own gateway, so that requests come to it a second time. */
async function registerItself({ cluster }: Konnectivity): Promise<void> {
  const { certificatePem, keyPem } = await cluster.user('cluster-gateway', ['system:masters']);
  const data = {
    endpoint: cluster.url,
    'ca.crt': cluster.caPem,
    'tls.crt': certificatePem,
    'tls.key': keyPem,
  };
  await cluster.api.expect('/api/v1/namespaces/vela-system/secrets', {
    method: 'POST',
    body: {
      metadata: {
        name: 'itself',
        labels: { 'cluster.core.oam.dev/cluster-credential-type': 'X509Certificate' },
      },
      stringData: data,
    },
  });
  const path = `${gateways}/itself`;
  const known = async () => (await cluster.api.call(path)).status === 200 || undefined;
  await until('the gateway to know the cluster', known, { timeoutMs: 20_000 });
}

function sha256(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}

function lastLine({ stderr }: KubectlResult): string {
  return stderr.trimEnd().split('\n').at(-1) ?? '';
}

function report({ protocol, transport }: Setup['egress'], text: string): void {
  process.stderr.write(`konnectivity by ${protocol} over ${transport}: ${text}\n`);
}
