/** The API group that KubeVela and others know; never renamed. */
export const GROUP = 'cluster.core.oam.dev';
export const VERSION = 'v1alpha1';
export const CLUSTER_GATEWAYS = 'clustergateways';
export const VIRTUAL_CLUSTERS = 'virtualclusters';

/** What stands before `/<name>/proxy`. */
export const CLUSTER_GATEWAYS_PATH = `/apis/${GROUP}/${VERSION}/${CLUSTER_GATEWAYS}`;
