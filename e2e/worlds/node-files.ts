import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { stringify } from 'yaml';

import type { Binaries } from '../kube/binaries.ts';
import type { OwnedCluster } from './control-plane.ts';
import { issueClient } from './certificates.ts';
import { pauseImage, writeImages } from './image.ts';
import { writeKubeconfig } from './kubeconfig.ts';

export interface NodeFacts {
  readonly nodeName: string;
  /** Folder of the node's files. */
  readonly folder: string;
  /** Folder for its logs, kept longer than the rest. */
  readonly logs: string;
  readonly binaries: Binaries<'node'>;
  readonly cluster: OwnedCluster;
  /** Where the kubelet listens. Default: on loopback. */
  readonly address?: string;
  /** Port of the kubelet. */
  readonly port: number;
  /** Number that keeps its pods' addresses apart from other worlds', 1 to 200. */
  readonly slot: number;
  readonly cgroup: string;
}

/**
 * Writes what the node reads, and the script that is process 1 of its namespaces. The kubelet waits for the file `go`,
 * so that the rest of the node can come up while the API server does.
 */
export async function writeNodeFiles(facts: NodeFacts): Promise<{ script: string; go: string }> {
  const { folder } = facts;
  await mkdir(join(folder, 'cni'), { recursive: true });
  const script = join(folder, 'run.sh');
  await Promise.all([
    writeImages(join(folder, 'images.tar')),
    writeFile(join(folder, 'containerd.toml'), containerdConfig(facts)),
    writeFile(join(folder, 'kubelet.yaml'), stringify(kubeletConfig(facts))),
    writeFile(join(folder, 'cni/10-e2e.conflist'), JSON.stringify(cniConfig(facts.slot))),
    writeFile(script, runScript(facts)).then(() => chmod(script, 0o700)),
    writeNodeKubeconfig(facts),
  ]);
  return { script, go: join(folder, 'go') };
}

async function writeNodeKubeconfig({ nodeName, folder, cluster }: NodeFacts): Promise<void> {
  const user = `system:node:${nodeName}`;
  const issued = await issueClient(cluster.certificates.ca, user, ['system:nodes']);
  await writeKubeconfig(join(folder, 'kubeconfig'), {
    server: cluster.url,
    caPem: cluster.caPem,
    user: { certificatePem: issued.certificatePem, keyPem: issued.privateKeyPem },
    name: nodeName,
  });
}

/**
 * All state of the node lies on tmpfs in its own mount namespace, so KILLing process 1 removes processes, mounts, veths and state at once.
 * - The kubelet and the ptp plugin write sysctls of the whole machine (vm.overcommit_memory, kernel.panic, ip_forward, …) and fail
 *   when they are read-only: they get files bound over them instead, and the machine keeps its values.
 * - /var/log/containers and /var/lib/cni are hard-wired in the kubelet and in containerd: they lie on layers that go with the namespace, so
 *   not even an empty folder is left on the machine.
 */
function runScript(facts: NodeFacts): string {
  const { folder, logs, binaries } = facts;
  return `#!/bin/bash
set -eu
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mount --make-rshared /run
mkdir -p /run/e2e/upper /run/e2e/work /run/e2e/pod-logs /run/e2e/kubelet /run/containerd /run/netns /run/sys
for file in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys kernel/keys/root_maxbytes net/ipv4/ip_forward; do
  fake=/run/sys/\${file//\\//.}
  cat /proc/sys/$file > $fake
  mount --bind $fake /proc/sys/$file
done
echo 1 > /proc/sys/net/ipv4/ip_forward
mount -t tmpfs tmpfs /var/log
mount -t overlay overlay -o lowerdir=/var/lib,upperdir=/run/e2e/upper,workdir=/run/e2e/work /var/lib
${binaries.containerd} -c ${folder}/containerd.toml > ${logs}/containerd.log 2>&1 &
ctr() { ${binaries.ctr} -a /run/containerd/containerd.sock -n k8s.io "$@"; }
until ctr version > /dev/null 2>&1; do sleep 0.05; done
ctr images import ${folder}/images.tar > /dev/null
until [ -e ${folder}/go ]; do sleep 0.05; done
${binaries.kubelet} --kubeconfig ${folder}/kubeconfig --config ${folder}/kubelet.yaml --hostname-override ${facts.nodeName} \\
  --cloud-provider external --root-dir /run/e2e/kubelet > ${logs}/kubelet.log 2>&1 &
# This shell is process 1: it reaps, and when one of the two ends the namespace ends.
wait -n
exit 1
`;
}

function containerdConfig({ folder, binaries }: NodeFacts): string {
  return `version = 3
root = '/run/e2e/containerd-root'
state = '/run/containerd'
disabled_plugins = ['io.containerd.nri.v1.nri', 'io.containerd.image-verifier.v1.bindir', 'io.containerd.snapshotter.v1.blockfile', 'io.containerd.snapshotter.v1.erofs', 'io.containerd.differ.v1.erofs', 'io.containerd.monitor.container.v1.restart']
[grpc]
  address = '/run/containerd/containerd.sock'
[plugins.'io.containerd.internal.v1.opt']
  path = '/run/e2e/opt'
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = '${pauseImage}'
[plugins.'io.containerd.cri.v1.runtime']
  # Machines that lack CAP_SYS_RESOURCE start no sandbox otherwise.
  restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ['${dirname(binaries.ptp)}']
  conf_dir = '${folder}/cni'
  use_internal_loopback = true
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = 'io.containerd.runc.v2'
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
    BinaryName = '${binaries.runc}'
    SystemdCgroup = false
`;
}

/** Every pod gets a network namespace and an address that is reachable from here. */
function cniConfig(slot: number): unknown {
  const ipam = { type: 'host-local', dataDir: '/run/e2e/cni', ranges: [[{ subnet: `10.244.${slot}.0/24` }]] };
  return { cniVersion: '1.0.0', name: 'e2e', plugins: [{ type: 'ptp', ipMasq: false, ipam }] };
}

function kubeletConfig({ cluster, address, port, cgroup }: NodeFacts): unknown {
  const { file } = cluster.certificates;
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    address: address ?? '127.0.0.1',
    port,
    healthzPort: 0,
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: file('ca.crt') },
    },
    authorization: { mode: 'Webhook' },
    tlsCertFile: file('kubelet.crt'),
    tlsPrivateKeyFile: file('kubelet.key'),
    containerRuntimeEndpoint: 'unix:///run/containerd/containerd.sock',
    cgroupDriver: 'cgroupfs',
    cgroupRoot: `/${cgroup}`,
    // Else containers land in a cgroup that all worlds share.
    cgroupsPerQOS: true,
    enforceNodeAllocatable: [],
    failCgroupV1: false,
    failSwapOn: false,
    makeIPTablesUtilChains: false,
    localStorageCapacityIsolation: false,
    // A full disk of this machine must not evict the pods of a test.
    evictionHard: {
      'memory.available': '1Mi',
      'nodefs.available': '0%',
      'nodefs.inodesFree': '0%',
      'imagefs.available': '0%',
      'imagefs.inodesFree': '0%',
    },
    imageGCHighThresholdPercent: 100,
    nodeStatusUpdateFrequency: '1s',
    volumePluginDir: '/run/e2e/volumeplugins',
    podLogsDir: '/run/e2e/pod-logs',
    resolvConf: '',
  };
}
