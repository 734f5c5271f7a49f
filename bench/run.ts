/**
 * `npm run bench`: what a small GET through the gateway costs, with authentication (TokenReview) and authorization
 * (SubjectAccessReview) on and their answers cached. Needs h2load (Debian: nghttp2-client). Peers and more rows follow.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { startKubeWorld } from '../e2e/worlds/kube.ts';
import type { KubeWorld } from '../e2e/worlds/kube.ts';
import { boundToParent } from '../e2e/worlds/process.ts';
import { registerCluster } from '../e2e/worlds/register.ts';
import { requestToken } from '../e2e/worlds/token.ts';
import { issueCertificate } from '../src/pki/issue.ts';

const run = promisify(execFile);
const rounds = process.argv.includes('--quick') ? 2 : 5;
/** Of /proc/PID/stat, as getconf CLK_TCK says on every Linux that Node runs on. */
const ticksPerSecond = 100;

interface Round {
  readonly requestsPerSecond: number;
  readonly cpuMicroseconds: number;
  readonly p50: string;
}

const world = await startKubeWorld({ node: false });
try {
  const gateway = await world.startGateway();
  const target = await startTarget(world);
  await registerCluster(world, 'bench', {
    cluster: world.b,
    credential: 'ServiceAccountToken',
    endpoint: `https://127.0.0.1:${target.port}`,
    caPem: target.caPem,
  });
  const token = await callerToken(world);
  const url = `${gateway.url}/apis/cluster.core.oam.dev/v1alpha1/clustergateways/bench/proxy/api/v1/namespaces/kube-system`;
  await pin(gateway.pid, '0');
  const results: Round[] = [];
  await load({ url, token, pid: gateway.pid, requests: 5_000 });
  for (let i = 0; i < rounds; i += 1)
    results.push(await load({ url, token, pid: gateway.pid, requests: 30_000 }));
  report(results);
} finally {
  await world.stop();
}

async function startTarget({ directory }: KubeWorld): Promise<{ port: number; caPem: string }> {
  const ca = await issueCertificate({ commonName: 'bench-ca', ca: true });
  const serving = await issueCertificate(
    { commonName: 'bench', usages: ['serverAuth'], ipAddresses: ['127.0.0.1'] },
    { issuer: ca },
  );
  const [certificateFile, keyFile] = [join(directory, 'bench.crt'), join(directory, 'bench.key')];
  await writeFile(certificateFile, serving.certificatePem);
  await writeFile(keyFile, serving.privateKeyPem, { mode: 0o600 });
  const args = [process.execPath, join(import.meta.dirname, 'target.ts'), certificateFile, keyFile];
  const bound = boundToParent('taskset', ['-c', '1', ...args]);
  const child = spawn('setpriv', bound, { stdio: ['ignore', 'pipe', 'inherit'] });
  const [port] = (await once(child.stdout, 'data')) as [Buffer];
  return { port: Number(port.toString()), caPem: ca.certificatePem };
}

/** A service account of the hub that may use every cluster. */
async function callerToken({ hub }: KubeWorld): Promise<string> {
  await hub.api.expect('/api/v1/namespaces/vela-system/serviceaccounts', {
    method: 'POST',
    body: { metadata: { name: 'bench' } },
  });
  await hub.api.expect('/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
    method: 'POST',
    body: {
      metadata: { name: 'bench' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
      subjects: [{ kind: 'ServiceAccount', name: 'bench', namespace: 'vela-system' }],
    },
  });
  return requestToken(hub, { namespace: 'vela-system', name: 'bench', seconds: 3600 });
}

async function pin(pid: number, core: string): Promise<void> {
  await run('taskset', ['-a', '-p', '-c', core, String(pid)]);
}

function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

async function load(options: { url: string; token: string; pid: number; requests: number }): Promise<Round> {
  const { url, token, pid, requests } = options;
  const before = cpuSeconds(pid);
  const { stdout } = await run(
    'taskset',
    [
      '-c',
      '1',
      'h2load',
      '-n',
      String(requests),
      '-c',
      '1',
      '-m',
      '50',
      '-H',
      `authorization: Bearer ${token}`,
      url,
    ],
    { maxBuffer: 1024 * 1024 },
  );
  const cpu = cpuSeconds(pid) - before;
  const succeeded = Number(/status codes: (\d+) 2xx/.exec(stdout)?.[1] ?? 0);
  if (succeeded !== requests)
    throw new Error(`only ${succeeded} of ${requests} requests succeeded:\n${stdout}`);
  return {
    requestsPerSecond: Number(/([\d.]+) req\/s/.exec(stdout)?.[1] ?? 0),
    cpuMicroseconds: (cpu / requests) * 1e6,
    p50: /time for request:\s+\S+\s+\S+\s+(\S+)/.exec(stdout)?.[1] ?? '',
  };
}

function report(results: readonly Round[]): void {
  const spread = (values: readonly number[]) => {
    const sorted = [...values].sort((a, b) => a - b);
    const at = (index: number) => Math.round(sorted[index] ?? 0);
    return `${at(Math.floor(sorted.length / 2))} (${at(0)}–${at(sorted.length - 1)})`;
  };
  console.log(`small GET, h2 → h2, 50 streams, ${results.length} rounds, median (least–most)`);
  console.log(`  requests/s          ${spread(results.map(({ requestsPerSecond }) => requestsPerSecond))}`);
  console.log(`  µs CPU per request  ${spread(results.map(({ cpuMicroseconds }) => cpuMicroseconds))}`);
  console.log(`  mean latency        ${results.map(({ p50 }) => p50).join(' ')}`);
}
