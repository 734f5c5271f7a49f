import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';

import type { KubeCluster, Kubectl } from '../worlds/kube.ts';
import { sequences } from './differential-commands.ts';
import { type ComparedCluster, runStep, type Side } from './differential-side.ts';
import type { Step } from './differential-step.ts';
import { secretKubeconfig } from './secret-kubeconfig.ts';
import { proxyUrl } from './world.ts';

/** A cluster with a node and controllers, registered as `admin` (a certificate) and as `limited` (a token of such an account). */
export interface Comparison {
  /** Folder for kubeconfigs and caches. */
  readonly directory: string;
  readonly hub: Pick<KubeCluster, 'url' | 'kubeconfig' | 'api'>;
  readonly cluster: ComparedCluster;
  /** kubectl where the hub is, and where the cluster is. */
  readonly kubectl: Kubectl['run'];
  readonly kubectlThere: Kubectl['run'];
}

const users = ['cluster-gateway', 'system:serviceaccount:kube-system:limited'];

/** Tests that run each command of the table at the cluster and through the gateway, and compare all that it did. */
export function describeComparison(given: () => Comparison): void {
  let sides: readonly [Side, Side];
  beforeAll(async () => {
    sides = [await directSide(given()), gatewaySide(given())];
    for (const { namespace } of sides) await prepareNamespace(given(), namespace);
  });

  test.each(sequences)('$name', async ({ steps }) => {
    const results = [];
    for (const side of sides) {
      const ran = [];
      for (const step of steps.map(toStep)) ran.push(await runStep(side, step, users));
      results.push(ran);
    }
    const [direct = [], proxied] = results;
    expect(proxied).toEqual(direct);
    // A command that says nothing and asks nobody would prove nothing.
    const idle = direct.filter(({ stdout, stderr, requests }) => stdout + stderr + requests.join('') === '');
    expect(idle.map(({ command }) => command)).toEqual([]);
  });

  test('there are many commands, and they come from the table', () => {
    expect(sequences.flatMap(({ steps }) => steps).length).toBeGreaterThanOrEqual(150);
  });
}

async function directSide({ directory, hub, cluster, kubectlThere }: Comparison): Promise<Side> {
  const access = async (name: string) => ({
    kubeconfig: await secretKubeconfig({ hub, directory }, name, cluster),
    server: cluster.url,
    cache: join(directory, `cache-direct-${name}`),
  });
  const [admin, limited] = [await access('admin'), await access('limited')];
  return { cluster, kubectl: kubectlThere, namespace: 'diff-d', admin, limited };
}

function gatewaySide({ directory, hub, cluster, kubectl }: Comparison): Side {
  const access = (name: string) => ({
    kubeconfig: hub.kubeconfig,
    server: proxyUrl({ hub }, name),
    cache: join(directory, `cache-gateway-${name}`),
  });
  return { cluster, kubectl, namespace: 'diff-g', admin: access('admin'), limited: access('limited') };
}

/** A namespace in which the limited user may read config maps and pods. */
async function prepareNamespace({ cluster, kubectlThere }: Comparison, name: string): Promise<void> {
  const rbac = `/apis/rbac.authorization.k8s.io/v1/namespaces/${name}`;
  const post = (path: string, body: unknown) => cluster.api.expect(path, { method: 'POST', body });
  await post('/api/v1/namespaces', { metadata: { name } });
  await post(`${rbac}/roles`, {
    metadata: { name: 'reader' },
    rules: [{ apiGroups: [''], resources: ['configmaps', 'pods'], verbs: ['get', 'list', 'watch'] }],
  });
  await post(`${rbac}/rolebindings`, {
    metadata: { name: 'reader' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'reader' },
    subjects: [{ kind: 'ServiceAccount', name: 'limited', namespace: 'kube-system' }],
  });
  const account = ['wait', '--for=create', 'serviceaccount/default', '-n', name, '--timeout=20s'];
  const root = ['wait', '--for=create', 'configmap/kube-root-ca.crt', '-n', name, '--timeout=20s'];
  for (const args of [account, root]) {
    expect(await kubectlThere(args, { kubeconfig: cluster.kubeconfig })).toMatchObject({ code: 0 });
  }
}

function toStep(step: string | Step): Step {
  return typeof step === 'string' ? { command: step } : step;
}
