import type { KubeCluster } from '../worlds/control-plane.ts';
import { until } from '../worlds/wait.ts';
import { type Client, createClient } from './registration-client.ts';
import type { GatewayWorld } from './registration-world.ts';

export interface Rule {
  readonly apiGroups?: readonly string[];
  readonly resources?: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly nonResourceURLs?: readonly string[];
  readonly verbs: readonly string[];
}

const rbac = '/apis/rbac.authorization.k8s.io/v1';

/** The right to the proxies of all clusters. */
export const onProxy = (verbs: readonly string[]): Rule => ({
  ...{ apiGroups: ['cluster.core.oam.dev'], resources: ['clustergateways/proxy'], verbs },
});

/** Lets a user, or a group, do what the rules say at the hub. */
export async function grant(
  { kube }: { readonly kube: { readonly hub: Pick<KubeCluster, 'api'> } },
  subject: { readonly name: string; readonly kind: 'User' | 'Group' },
  rules: readonly Rule[],
): Promise<void> {
  const metadata = { name: subject.name };
  await kube.hub.api.expect(`${rbac}/clusterroles`, { method: 'POST', body: { metadata, rules } });
  await kube.hub.api.expect(`${rbac}/clusterrolebindings`, {
    method: 'POST',
    body: {
      metadata,
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: subject.name },
      subjects: [{ apiGroup: 'rbac.authorization.k8s.io', ...subject }],
    },
  });
}

/** A user of the hub with these rights, at both doors. Whoever calls this closes the clients. */
export async function userWith(
  world: GatewayWorld,
  name: string,
  rules: readonly Rule[],
): Promise<readonly { readonly door: 'hub' | 'direct'; readonly client: Client }[]> {
  await grant(world, { name, kind: 'User' }, rules);
  const user = await world.kube.hub.user(name);
  const at = ({ url, caPem }: { url: string; caPem: string }): Client =>
    createClient({ url, caPem, ...user });
  return [
    { door: 'hub', client: at(world.kube.hub) },
    { door: 'direct', client: at(world.gateway) },
  ];
}

/** Waits until a gateway knows of a Secret: until a path of its cluster is answered so. */
export async function untilAnswered(client: Client, path: string, status: number): Promise<void> {
  const answered = async (): Promise<true | undefined> =>
    (await client.call(path)).status === status || undefined;
  await until(path, answered, { timeoutMs: 10_000 });
}
