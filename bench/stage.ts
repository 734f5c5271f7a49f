import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { issueTunnelCertificates, type TunnelCertificates } from '../e2e/tunnel/certificates.ts';
import { fixedPorts } from '../e2e/tunnel/site.ts';
import { type KubeWorld, startKubeWorld } from '../e2e/worlds/kube.ts';
import { boundToParent } from '../e2e/worlds/process.ts';
import { registerCluster } from '../e2e/worlds/register.ts';
import { requestToken } from '../e2e/worlds/token.ts';
import { issueCertificate } from '../src/pki/issue.ts';
import type { TargetPorts } from './target-ports.ts';

/** What all peers stand on: a real hub, a target, and a caller that may do everything. */
export interface Stage {
  readonly world: KubeWorld;
  readonly directory: string;
  /** Name of the cluster that leads to the target. */
  readonly cluster: string;
  readonly target: Target;
  /** The way to clusters behind a tunnel, which every gateway is told of; whose tunnel it is differs from peer to peer. */
  readonly tunnel: StageTunnel;
  readonly hubKubeconfig: string;
  readonly namespace: string;
  /** Serving certificate of every peer, and the CA that callers verify it by. */
  readonly certificateFile: string;
  readonly keyFile: string;
  readonly caPem: string;
  /** Bearer token of the caller, a service account of the hub. */
  readonly token: string;
  /** The core for the proxy alone; undefined where there is but one. */
  readonly proxyCore: string | undefined;
  /** Flags of Node for our own process. */
  readonly nodeFlags: readonly string[];
  stop(): Promise<void>;
}

export interface Target extends TargetPorts {
  readonly caFile: string;
  readonly caPem: string;
  stop(): void;
}

export interface StageTunnel {
  readonly certificates: TunnelCertificates;
  /** Where gateways look for the server of the tunnel. */
  readonly frontendPort: number;
}

export interface StageOptions {
  readonly proxyCore: string | undefined;
  readonly nodeFlags: readonly string[];
}

const cluster = 'bench';
const namespace = 'vela-system';
/** Longer than any run. */
const tokenSeconds = 86_400;

/** Starts all of it on this process' cores. */
export async function startStage(options: StageOptions): Promise<Stage> {
  const world = await startKubeWorld({ node: false });
  try {
    const { directory } = world;
    const certificates = await issueCertificates(directory);
    const target = await startTarget(certificates);
    await registerCluster(world, cluster, {
      ...{ cluster: world.b, credential: 'ServiceAccountToken', caPem: target.caPem },
      endpoint: `https://127.0.0.1:${target.port}`,
    });
    const [frontendPort = 0] = await fixedPorts(1);
    const tunnelCertificates = await issueTunnelCertificates(join(directory, 'tunnel'));
    return {
      ...{ world, directory, cluster, target, namespace },
      tunnel: { certificates: tunnelCertificates, frontendPort },
      // An administrator's, so that no gateway is measured while it retries what it may not do.
      hubKubeconfig: world.hub.kubeconfig,
      ...{ certificateFile: certificates.certificateFile, keyFile: certificates.keyFile },
      caPem: certificates.caPem,
      token: await callerToken(world),
      ...options,
      async stop() {
        target.stop();
        await world.stop();
      },
    };
  } catch (error) {
    await world.stop();
    throw error;
  }
}

interface Certificates {
  readonly certificateFile: string;
  readonly keyFile: string;
  readonly caFile: string;
  readonly caPem: string;
}

/** One for all peers and the target: P-256, as cert-manager and most clusters make them. */
async function issueCertificates(directory: string): Promise<Certificates> {
  const ca = await issueCertificate({ commonName: 'bench-ca', ca: true });
  const serving = await issueCertificate(
    {
      ...{ commonName: 'bench', usages: ['serverAuth'] },
      // The last is how an API server is known behind a tunnel.
      dnsNames: ['localhost', 'kubernetes.default.svc'],
      ipAddresses: ['127.0.0.1'],
    },
    { issuer: ca },
  );
  const file = (name: string): string => join(directory, `bench-${name}`);
  const files = { certificateFile: file('tls.crt'), keyFile: file('tls.key'), caFile: file('ca.crt') };
  await writeFile(files.certificateFile, serving.certificatePem);
  await writeFile(files.keyFile, serving.privateKeyPem, { mode: 0o600 });
  await writeFile(files.caFile, ca.certificatePem);
  return { ...files, caPem: ca.certificatePem };
}

async function startTarget(certificates: Certificates): Promise<Target> {
  const { certificateFile, keyFile, caFile, caPem } = certificates;
  const program = join(import.meta.dirname, 'target.ts');
  const child = spawn('setpriv', boundToParent(process.execPath, [program, certificateFile, keyFile]), {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const ports = JSON.parse(line.toString()) as TargetPorts;
  return { ...ports, caFile, caPem, stop: () => void child.kill('SIGKILL') };
}

/** A service account of the hub that may use every cluster. */
async function callerToken({ hub }: KubeWorld): Promise<string> {
  await hub.api.expect(`/api/v1/namespaces/${namespace}/serviceaccounts`, {
    method: 'POST',
    body: { metadata: { name: 'bench' } },
  });
  await hub.api.expect('/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
    method: 'POST',
    body: {
      metadata: { name: 'bench' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
      subjects: [{ kind: 'ServiceAccount', name: 'bench', namespace }],
    },
  });
  return requestToken(hub, { namespace, name: 'bench', seconds: tokenSeconds });
}
