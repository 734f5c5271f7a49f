/** One binary that a world runs: where its source is and how it is built. */
export interface BinaryRecipe {
  /** Folder of the Go module, relative to this one. */
  readonly module: string;
  /** Go package to build. */
  readonly package: string;
  readonly tags?: string;
  readonly ldflags: string;
  /** Needs a C compiler. */
  readonly cgo?: true;
  /** The program that runs the tests of the package, instead of the package's own. */
  readonly test?: true;
  /** Compile time with an empty build cache on two cores, in minutes, for the progress line. */
  readonly minutes: number;
}

const strip = '-s -w';

/** A Kubernetes release that can be built. */
export interface KubernetesRelease {
  /** Folder of the Go module beside this file. */
  readonly module: string;
  /** As its go.mod pins it. */
  readonly version: string;
}

/** The minor releases that a hub can be of, newest first: the pinned one, and the oldest that is supported. */
export const releases = {
  '1.37': { module: 'kubernetes', version: 'v1.37.2' },
  '1.33': { module: 'kubernetes-1.33', version: 'v1.33.13' },
} as const satisfies Record<string, KubernetesRelease>;

export type ReleaseName = keyof typeof releases;

/** The release of everything that is not told otherwise. */
export const pinnedRelease: ReleaseName = '1.37';

export const oldestRelease: ReleaseName = '1.33';

/**
 * The release that a world's hub is of, with its kubectl: what HUB_VERSION says.
 * @throws Error when that is none of the releases
 */
export function hubRelease(env: NodeJS.ProcessEnv = process.env): ReleaseName {
  const wanted = env['HUB_VERSION'] ?? '';
  if (wanted === '') return pinnedRelease;
  if (Object.hasOwn(releases, wanted)) return wanted as ReleaseName;
  throw new Error(`HUB_VERSION=${wanted}: a hub can be of ${Object.keys(releases).join(' or ')}`);
}

function kubernetes(name: string, minutes: number, release: ReleaseName = pinnedRelease): BinaryRecipe {
  const { module, version } = releases[release];
  const [major = '', minor = ''] = release.split('.');
  // Without these, /version and the User-Agent show "$Format:%H$" and kubectl warns of version skew.
  const ldflags = [
    strip,
    `-X k8s.io/component-base/version.gitVersion=${version}`,
    `-X k8s.io/component-base/version.gitMajor=${major}`,
    `-X k8s.io/component-base/version.gitMinor=${minor}`,
    `-X k8s.io/client-go/pkg/version.gitVersion=${version}`,
  ].join(' ');
  return { module, package: `k8s.io/kubernetes/cmd/${name}`, ldflags, minutes };
}

/** What differs between hubs of two releases; etcd and the clusters behind the gateway are the pinned ones. */
export function releaseRecipes(release: ReleaseName): Record<'kube-apiserver' | 'kubectl', BinaryRecipe> {
  return {
    'kube-apiserver': kubernetes('kube-apiserver', 5, release),
    kubectl: kubernetes('kubectl', 1.5, release),
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

function anp(name: string, minutes: number): BinaryRecipe {
  return {
    module: 'anp',
    package: `sigs.k8s.io/apiserver-network-proxy/cmd/${name}`,
    ldflags: strip,
    minutes,
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
  // What this gateway is measured against. Nothing but the benchmark asks for it.
  'go-gateway': {
    module: 'go-gateway',
    package: 'github.com/oam-dev/cluster-gateway/cmd/apiserver',
    ldflags: strip,
    minutes: 2,
  },
  // The other end of our tunnel: the server and the agent that its wire protocol comes from.
  'proxy-server': anp('server', 1.5),
  'proxy-agent': anp('agent', 0.1),
} as const satisfies Record<string, BinaryRecipe>;

export type BinaryName = keyof typeof catalogue;

/** What is needed together. */
export const groups = {
  'control-plane': ['etcd', 'kube-apiserver', 'kubectl'],
  node: ['kubelet', 'containerd', 'containerd-shim-runc-v2', 'ctr', 'ptp', 'host-local', 'runc'],
  controllers: ['kube-controller-manager'],
  peers: ['go-gateway'],
  tunnel: ['proxy-server', 'proxy-agent'],
} as const satisfies Record<string, readonly BinaryName[]>;

export type BinaryGroup = keyof typeof groups;
