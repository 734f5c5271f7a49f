import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { type ApiClient, createApiClient } from './api.ts';
import { type ClusterCertificates, issueClient, issueClusterCertificates } from './certificates.ts';
import { writeKubeconfig } from './kubeconfig.ts';
import { mustRun, type ProcessGroup, type WorldProcess } from './process.ts';
import { until } from './wait.ts';

/** A user of a cluster, by client certificate. */
export interface KubeUser {
  /** Path. */
  readonly kubeconfig: string;
  readonly certificatePem: string;
  readonly keyPem: string;
}

/** One real control plane. */
export interface KubeCluster {
  readonly name: string;
  /** https://127.0.0.1:port, or the address that it was given */
  readonly url: string;
  readonly port: number;
  /** Path of the kubeconfig of an administrator. */
  readonly kubeconfig: string;
  readonly caPem: string;
  readonly adminCertificatePem: string;
  readonly adminKeyPem: string;
  /** Path of the audit log: one JSON event per line. */
  readonly auditLog: string;
  /** Path of the API server's own log. */
  readonly log: string;
  /** Plain HTTPS calls as administrator. */
  readonly api: ApiClient;
  /** Makes a user: a client certificate (CN = name, O = groups) and a kubeconfig with it. */
  user(name: string, groups?: readonly string[]): Promise<KubeUser>;
  /** Kills the API server (KILL): connections break, its data stay. */
  stop(): Promise<void>;
  /** Starts it again on the same port with the same data, and waits until it is ready. */
  start(): Promise<void>;
  /** Stops the process where it is: its connections stay open and say nothing, as behind a network that drops packets. */
  freeze(): void;
  thaw(): void;
}

/** What the node of a cluster needs to know about it. */
export interface OwnedCluster extends KubeCluster {
  readonly certificates: ClusterCertificates;
  ready(): Promise<void>;
}

export interface ClusterOptions {
  readonly name: string;
  /** Folder of the world. */
  readonly directory: string;
  readonly binary: string;
  readonly etcdUrl: string;
  readonly port: number;
  readonly processes: ProcessGroup;
  /** The hub: it aggregates other API servers. */
  readonly aggregates: boolean;
  /** Name of the node that will run pods here. */
  readonly node?: string;
  /** Path of a Unix socket by which we reach it, where it runs in a network of its own. */
  readonly socketPath?: string;
  /** Its address in that network, at which it listens beside loopback. */
  readonly address?: string;
  /** Address of the node. Default: loopback. */
  readonly nodeAddress?: string;
  /** Path of the EgressSelectorConfiguration: by what it reaches nodes, pods and Services. Default: directly. */
  readonly egressSelector?: string;
}

/** Makes the keys, kubeconfig and audit policy of a cluster. `start` then starts the API server, `ready` waits for it. */
export async function prepareCluster(options: ClusterOptions): Promise<OwnedCluster> {
  const { name, port } = options;
  const folder = join(options.directory, name);
  const certificates = await issueClusterCertificates({ ...options, folder, frontProxy: options.aggregates });
  const url = `https://${options.address ?? '127.0.0.1'}:${port}`;
  const caPem = certificates.ca.certificatePem;
  const admin = {
    certificatePem: certificates.admin.certificatePem,
    keyPem: certificates.admin.privateKeyPem,
  };
  const kubeconfig = await writeKubeconfig(join(folder, 'admin.kubeconfig'), {
    server: url,
    caPem,
    user: admin,
    name,
  });
  await writeFile(join(folder, 'audit-policy.json'), JSON.stringify(auditPolicy(options.aggregates)));
  const { socketPath } = options;
  const api = createApiClient({ url, caPem, ...admin, ...(socketPath === undefined ? {} : { socketPath }) });
  const args = apiServerArguments(options, certificates);
  const log = join(folder, 'kube-apiserver.log');
  let running: WorldProcess | undefined;
  const launch = async (): Promise<void> => {
    running = await options.processes.start({
      name: `kube-apiserver ${name}`,
      command: options.binary,
      args,
      log,
      cwd: folder,
    });
  };
  const ready = (): Promise<void> => waitReady(name, api, () => running);
  return {
    name,
    url,
    port,
    kubeconfig,
    caPem,
    adminCertificatePem: admin.certificatePem,
    adminKeyPem: admin.keyPem,
    auditLog: join(folder, 'audit.log'),
    log,
    api,
    certificates,
    ready,
    user: (user, groups = []) => makeUser({ folder, certificates, url, user, groups }),
    async stop() {
      await running?.end();
      running = undefined;
    },
    async start() {
      if (running !== undefined && running.exit === undefined) return;
      await launch();
      await ready();
    },
    freeze: () => {
      if (running) process.kill(running.pid, 'SIGSTOP');
    },
    thaw: () => {
      if (running) process.kill(running.pid, 'SIGCONT');
    },
  };
}

async function waitReady(
  name: string,
  api: ApiClient,
  running: () => WorldProcess | undefined,
): Promise<void> {
  await until(
    `kube-apiserver ${name} to be ready`,
    async () => ((await api.call('/readyz')).status === 200 ? true : undefined),
    {
      timeoutMs: 60_000,
      check: async () => {
        const process = running();
        if (process !== undefined) await mustRun(process);
      },
    },
  );
}

interface UserOptions {
  readonly folder: string;
  readonly certificates: ClusterCertificates;
  readonly url: string;
  readonly user: string;
  readonly groups: readonly string[];
}

let users = 0;

async function makeUser({ folder, certificates, url, user, groups }: UserOptions): Promise<KubeUser> {
  const issued = await issueClient(certificates.ca, user, groups);
  const credential = { certificatePem: issued.certificatePem, keyPem: issued.privateKeyPem };
  users += 1;
  // The number, because names like system:serviceaccount:a:b differ only in signs that a file name cannot hold.
  const path = join(folder, `user-${user.replaceAll(/[^\w.-]/g, '_')}-${users}.kubeconfig`);
  const kubeconfig = await writeKubeconfig(path, {
    server: url,
    caPem: certificates.ca.certificatePem,
    user: credential,
    name: user,
  });
  return { kubeconfig, ...credential };
}

function apiServerArguments(options: ClusterOptions, certificates: ClusterCertificates): string[] {
  const { file } = certificates;
  const folder = join(options.directory, options.name);
  return [
    `--etcd-servers=${options.etcdUrl}`,
    `--etcd-prefix=/${options.name}`,
    `--bind-address=${options.address === undefined ? '127.0.0.1' : '0.0.0.0'}`,
    `--advertise-address=${options.address ?? '127.0.0.1'}`,
    // A loopback address may be advertised only when nobody publishes it as an endpoint.
    '--endpoint-reconciler-type=none',
    `--secure-port=${options.port}`,
    `--tls-cert-file=${file('apiserver.crt')}`,
    `--tls-private-key-file=${file('apiserver.key')}`,
    `--client-ca-file=${file('ca.crt')}`,
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-signing-key-file=${file('sa.key')}`,
    `--service-account-key-file=${file('sa.key')}`,
    `--authorization-mode=${options.node === undefined ? 'RBAC' : 'Node,RBAC'}`,
    `--audit-policy-file=${join(folder, 'audit-policy.json')}`,
    `--audit-log-path=${join(folder, 'audit.log')}`,
    ...(options.egressSelector === undefined
      ? []
      : [`--egress-selector-config-file=${options.egressSelector}`]),
    ...(options.aggregates ? aggregationArguments(certificates) : []),
    ...(options.node === undefined ? [] : kubeletArguments(certificates)),
  ];
}

/** `--enable-aggregator-routing` must stay away: with it a Service of type ExternalName is refused, the only kind that leads to loopback. */
function aggregationArguments({ file }: ClusterCertificates): string[] {
  return [
    `--requestheader-client-ca-file=${file('front-proxy-ca.crt')}`,
    '--requestheader-allowed-names=front-proxy-client',
    '--requestheader-username-headers=X-Remote-User',
    '--requestheader-uid-headers=X-Remote-Uid',
    '--requestheader-group-headers=X-Remote-Group',
    '--requestheader-extra-headers-prefix=X-Remote-Extra-',
    `--proxy-client-cert-file=${file('front-proxy-client.crt')}`,
    `--proxy-client-key-file=${file('front-proxy-client.key')}`,
  ];
}

function kubeletArguments({ file }: ClusterCertificates): string[] {
  return [
    `--kubelet-client-certificate=${file('kubelet-client.crt')}`,
    `--kubelet-client-key=${file('kubelet-client.key')}`,
    `--kubelet-certificate-authority=${file('ca.crt')}`,
    // The node's name is in no DNS.
    '--kubelet-preferred-address-types=InternalIP',
  ];
}

/** Without the first two rules an idle API server writes half a megabyte a minute. */
function auditPolicy(aggregates: boolean): unknown {
  const ours = [
    { group: 'cluster.core.oam.dev' },
    { group: 'authorization.k8s.io', resources: ['subjectaccessreviews'] },
  ];
  return {
    apiVersion: 'audit.k8s.io/v1',
    kind: 'Policy',
    omitStages: ['RequestReceived'],
    rules: [
      { level: 'None', users: ['system:apiserver', 'system:kube-controller-manager'] },
      { level: 'None', userGroups: ['system:nodes'] },
      { level: 'None', nonResourceURLs: ['/readyz*', '/livez*', '/healthz*'] },
      ...(aggregates ? [{ level: 'RequestResponse', resources: ours }] : []),
      { level: 'Metadata' },
    ],
  };
}
