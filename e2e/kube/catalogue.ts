/** One binary that a world runs: where its source is and how it is built. */
export interface BinaryRecipe {
  /** Folder of the Go module beside this file. */
  readonly module: string;
  /** Go package to build. */
  readonly package: string;
  readonly tags?: string;
  readonly ldflags: string;
  /** Needs a C compiler. */
  readonly cgo?: true;
  /** Compile time with an empty build cache on two cores, in minutes, for the progress line. */
  readonly minutes: number;
}

const strip = '-s -w';

// Without these, /version and the User-Agent show "$Format:%H$" and kubectl warns of version skew.
const kubernetesVersion = [
  strip,
  '-X k8s.io/component-base/version.gitVersion=v1.37.2',
  '-X k8s.io/component-base/version.gitMajor=1',
  '-X k8s.io/component-base/version.gitMinor=37',
  '-X k8s.io/client-go/pkg/version.gitVersion=v1.37.2',
].join(' ');

function kubernetes(name: string, minutes: number): BinaryRecipe {
  return {
    module: 'kubernetes',
    package: `k8s.io/kubernetes/cmd/${name}`,
    ldflags: kubernetesVersion,
    minutes,
  };
}

function containerd(name: string, minutes: number): BinaryRecipe {
  return {
    module: 'containerd',
    package: `github.com/containerd/containerd/v2/cmd/${name}`,
    tags: 'no_btrfs,no_devmapper,no_zfs,no_aufs',
    ldflags: strip,
    minutes,
  };
}

function cni(path: string): BinaryRecipe {
  return {
    module: 'cni',
    package: `github.com/containernetworking/plugins/plugins/${path}`,
    ldflags: strip,
    minutes: 0.1,
  };
}

/** Every binary by its file name. The versions stand in the go.mod of the module. */
export const catalogue = {
  etcd: { module: 'etcd', package: 'go.etcd.io/etcd/server/v3', ldflags: strip, minutes: 0.5 },
  'kube-apiserver': kubernetes('kube-apiserver', 5),
  kubectl: kubernetes('kubectl', 0.5),
  kubelet: kubernetes('kubelet', 1.5),
  'kube-controller-manager': kubernetes('kube-controller-manager', 1),
  containerd: containerd('containerd', 1),
  'containerd-shim-runc-v2': containerd('containerd-shim-runc-v2', 0.1),
  ctr: containerd('ctr', 0.1),
  ptp: cni('main/ptp'),
  'host-local': cni('ipam/host-local'),
  // The kubelet gives every pod sandbox the RuntimeDefault profile, so a runc without seccomp starts no pod at all.
  runc: {
    module: 'runc',
    package: 'github.com/opencontainers/runc',
    tags: 'seccomp,netgo,osusergo',
    ldflags: `${strip} -extldflags -static`,
    cgo: true,
    minutes: 0.2,
  },
} as const satisfies Record<string, BinaryRecipe>;

export type BinaryName = keyof typeof catalogue;

/** What is needed together. */
export const groups = {
  'control-plane': ['etcd', 'kube-apiserver', 'kubectl'],
  node: ['kubelet', 'containerd', 'containerd-shim-runc-v2', 'ctr', 'ptp', 'host-local', 'runc'],
  controllers: ['kube-controller-manager'],
} as const satisfies Record<string, readonly BinaryName[]>;

export type BinaryGroup = keyof typeof groups;
