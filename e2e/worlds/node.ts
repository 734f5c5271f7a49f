import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import type { Binaries } from '../kube/binaries.ts';
import type { ApiClient } from './api.ts';
import { makeCgroups } from './cgroups.ts';
import type { OwnedCluster } from './control-plane.ts';
import { busyboxImage } from './image.ts';
import { writeNodeFiles } from './node-files.ts';
import { mustRun, type ProcessGroup, type WorldProcess } from './process.ts';
import type { WorldRecord } from './record.ts';
import { until } from './wait.ts';

/** Name of the node. */
export const nodeName = 'node-a';

/** The pod that every world with a node runs: it counts on stdout, serves "world" on port 8080, and reads its stdin. */
export const box = { namespace: 'default', name: 'box', container: 'box', port: 8080 } as const;

/** A node of a cluster, with its own containerd and kubelet. */
export interface KubeNode {
  readonly name: string;
  /** Paths of the logs of kubelet and containerd. */
  readonly logs: { readonly kubelet: string; readonly containerd: string };
}

export interface NodeOptions {
  readonly record: WorldRecord;
  readonly binaries: Binaries<'node'>;
  readonly cluster: OwnedCluster;
  /** Address of the node, which its network must have. Default: loopback. */
  readonly address?: string;
  /** Port of the kubelet. */
  readonly port: number;
  readonly processes: ProcessGroup;
}

/**
 * Starts a node beside its API server, which may still be starting, and waits until pod `box` is ready.
 * Needs root.
 */
export async function startNode(options: NodeOptions): Promise<KubeNode> {
  const { record, binaries, cluster, processes } = options;
  const folder = join(record.directory, 'node');
  const logs = join(record.directory, cluster.name);
  const [{ script, go }] = await Promise.all([
    writeNodeFiles({ ...options, nodeName, folder, logs, slot: record.slot, cgroup: record.cgroup }),
    makeCgroups(record.cgroup),
  ]);
  const node = await processes.start({
    name: 'the node',
    command: 'unshare',
    args: [
      // KILL is passed on to process 1 of the namespace; TERM would be ignored.
      ...['--mount', '--pid', '--fork', '--kill-child', '--mount-proc', '--propagation', 'private'],
      ...['--', 'env', `PATH=${dirname(binaries.containerd)}:${process.env['PATH'] ?? ''}`, script],
    ],
    log: join(logs, 'node.log'),
    cwd: folder,
  });
  await cluster.ready();
  await writeFile(go, '');
  await registerNode(options, node);
  await runBox(cluster.api, node);
  return {
    name: nodeName,
    logs: { kubelet: join(logs, 'kubelet.log'), containerd: join(logs, 'containerd.log') },
  };
}

/**
 * The kubelet refuses a loopback address of its own (`--node-ip`), so with `--cloud-provider external` it has none, and
 * keeps what is set from outside.
 */
async function registerNode({ cluster, address }: NodeOptions, node: WorldProcess): Promise<void> {
  const addresses = [
    { type: 'InternalIP', address: address ?? '127.0.0.1' },
    { type: 'Hostname', address: nodeName },
  ];
  const patched = async (): Promise<true | undefined> => {
    const answer = await cluster.api.call(`/api/v1/nodes/${nodeName}/status`, {
      method: 'PATCH',
      contentType: 'application/merge-patch+json',
      body: { status: { addresses } },
    });
    return answer.status === 200 ? true : undefined;
  };
  await until('the node to register', patched, { timeoutMs: 60_000, check: () => mustRun(node) });
}

async function runBox(api: ApiClient, node: WorldProcess): Promise<void> {
  const pods = `/api/v1/namespaces/${box.namespace}/pods`;
  // The default service account may not be there yet: it is made at the same time.
  const created = async (): Promise<true | undefined> => {
    const answer = await api.call(pods, { method: 'POST', body: boxPod(box.name) });
    return answer.status === 201 ? true : undefined;
  };
  const check = (): Promise<void> => mustRun(node);
  await until('pod box to be accepted', created, { timeoutMs: 20_000, check });
  const ready = async (): Promise<true | undefined> => {
    const pod = (await api.expect(`${pods}/${box.name}`)) as PodStatus;
    const condition = pod.status?.conditions?.find(({ type }) => type === 'Ready');
    return condition?.status === 'True' ? true : undefined;
  };
  await until('pod box to be ready', ready, { timeoutMs: 60_000, check });
}

interface PodStatus {
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

/**
 * A pod like `box`, for a test that needs one of its own in cluster a.
 * There is no scheduler, so it names its node; no controller makes token volumes, so it mounts none.
 */
export function boxPod(name: string, namespace: string = box.namespace): Record<string, unknown> {
  const script =
    'mkdir -p /www; echo world > /www/index.html; httpd -p 8080 -h /www; i=0; while :; do echo tick $i; i=$((i+1)); sleep 1; done';
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, labels: { app: name } },
    spec: {
      nodeName,
      terminationGracePeriodSeconds: 0,
      automountServiceAccountToken: false,
      containers: [
        {
          name: 'box',
          image: busyboxImage,
          imagePullPolicy: 'Never',
          stdin: true,
          command: ['sh', '-c', script],
        },
      ],
    },
  };
}
