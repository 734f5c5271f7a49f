import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';

import { sequences } from './differential-commands.ts';
import { runStep, type Side } from './differential-side.ts';
import type { Step } from './differential-step.ts';
import { secretKubeconfig } from './secret-kubeconfig.ts';
import { describeScenarios, proxyUrl } from './world.ts';

const users = ['cluster-gateway', 'system:serviceaccount:kube-system:limited'];

await describeScenarios(
  'kubectl through the gateway does as at the cluster',
  (world) => {
    let sides: readonly [Side, Side];
    beforeAll(async () => {
      await Promise.all([
        world().startControllers('a'),
        world().register('admin', { cluster: 'a', credential: 'X509Certificate' }),
        world().register('limited', { cluster: 'a', credential: 'ServiceAccountToken', user: 'limited' }),
      ]);
      sides = [await directSide(), gatewaySide()];
      for (const { namespace } of sides) await prepareNamespace(namespace);
    });

    async function directSide(): Promise<Side> {
      const { directory, a } = world();
      const access = async (name: string) => ({
        kubeconfig: await secretKubeconfig(world(), name, 'a'),
        server: a.url,
        cache: join(directory, `cache-direct-${name}`),
      });
      return { namespace: 'diff-d', admin: await access('admin'), limited: await access('limited') };
    }

    function gatewaySide(): Side {
      const access = (name: string) => ({
        kubeconfig: world().hub.kubeconfig,
        server: proxyUrl(world(), name),
        cache: join(world().directory, `cache-gateway-${name}`),
      });
      return { namespace: 'diff-g', admin: access('admin'), limited: access('limited') };
    }

    /** A namespace in which the limited user may read config maps and pods. */
    async function prepareNamespace(name: string): Promise<void> {
      const { api } = world().a;
      const rbac = `/apis/rbac.authorization.k8s.io/v1/namespaces/${name}`;
      const post = (path: string, body: unknown) => api.expect(path, { method: 'POST', body });
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
        expect(await world().kubectl(args, { kubeconfig: world().a.kubeconfig })).toMatchObject({ code: 0 });
      }
    }

    test.each(sequences)('$name', async ({ steps }) => {
      const results = [];
      for (const side of sides) {
        const ran = [];
        for (const step of steps.map(toStep)) ran.push(await runStep(world(), side, step, users));
        results.push(ran);
      }
      const [direct = [], proxied] = results;
      expect(proxied).toEqual(direct);
      // A command that says nothing and asks nobody would prove nothing.
      const idle = direct.filter(
        ({ stdout, stderr, requests }) => stdout + stderr + requests.join('') === '',
      );
      expect(idle.map(({ command }) => command)).toEqual([]);
    });

    test('there are many commands, and they come from the table', () => {
      expect(sequences.flatMap(({ steps }) => steps).length).toBeGreaterThanOrEqual(150);
    });
  },
  { node: true },
);

function toStep(step: string | Step): Step {
  return typeof step === 'string' ? { command: step } : step;
}
