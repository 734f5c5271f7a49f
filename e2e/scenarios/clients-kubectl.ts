import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';

import { ensureRelease } from '../kube/binaries.ts';
import type { ReleaseName } from '../kube/catalogue.ts';
import { createKubectl, type Kubectl, type KubectlResult } from '../worlds/kubectl.ts';
import { proxyUrl, type World } from './world.ts';

const manifest = (name: string, color: string): string =>
  JSON.stringify({
    ...{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace: 'default' } },
    data: { color },
  });

/** At the hub: what the gateway itself serves. A command, and what it says. */
const atHub: readonly (readonly [string, RegExp])[] = [
  ['api-resources --api-group=cluster.core.oam.dev', /^clustergateways .*ClusterGateway$/m],
  ['explain clustergateway.spec', /^ {2}access\t<Object>/m],
  ['explain clustergateways.spec.access.endpoint.const.address', /-required-|<string>/],
  ['get clustergateways', /^NAME +PROVIDER +CREDENTIAL-TYPE +ENDPOINT-TYPE +HEALTHY *\n/],
  ['get clustergateway target -o yaml', /^kind: ClusterGateway$/m],
  ['describe clustergateway target', /^Name: +target\n/],
  ['get clustergateways --field-selector metadata.name=target -o name', /^\S+\/target\n$/],
  ['wait clustergateway target --for=condition=Accepted', /condition met/],
];

/** Through `/proxy`, in this order; `{name}` is of this kubectl alone. */
const throughProxy: readonly (readonly [string, RegExp, string?])[] = [
  ['version', /^Server Version: v1\.\d+/m],
  ['get --raw /api/v1/namespaces/default', /"kind":"Namespace"/],
  ['auth whoami', /cluster-gateway/],
  ['auth can-i create configmaps', /^yes\n$/],
  ['apply -f -', /\/{name} created/, 'red'],
  ['apply -f - --dry-run=server', /\/{name} configured \(server dry run\)/, 'green'],
  ['apply -f -', /\/{name} configured/, 'blue'],
  ['diff -f -', /^$/, 'blue'],
  ['apply --server-side --force-conflicts -f -', /\/{name} serverside-applied/, 'white'],
  ['patch configmap {name} --type=json -p [{"op":"replace","path":"/data/color","value":"one"}]', /patched/],
  ['patch configmap {name} --type=merge -p {"data":{"color":"two"}}', /patched/],
  ['patch configmap {name} --type=strategic -p {"data":{"color":"three"}}', /patched/],
  ['label configmap {name} tier=front', /labeled/],
  ['get configmap {name} -o jsonpath={.data.color}-{.metadata.labels.tier}', /^three-front$/],
  ['get configmaps -l tier=front', /^{name} +1 /m],
  ['delete configmap {name}', /deleted/],
];

/** What people do by hand with kubectl of one release, at the hub and through the gateway to the cluster `target`. */
export function describeKubectl(release: ReleaseName, world: () => World): void {
  describe(`kubectl ${release} by hand`, () => {
    let kubectl: Kubectl;
    beforeAll(async () => {
      const { kubectl: binary } = await ensureRelease(release, 'kubectl');
      const directory = join(world().directory, 'clients', `kubectl-${release}`);
      kubectl = await createKubectl({ binary, release }, directory);
    });
    const run = (command: string, more: { server?: string; stdin?: string } = {}): Promise<KubectlResult> =>
      kubectl.run(command.split(' '), { kubeconfig: world().hub.kubeconfig, ...more });

    test.each(atHub)('%s', async (command, said) => {
      const { code, stdout, stderr } = await run(command);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(stdout).toMatch(said);
    });

    test('through /proxy', async () => {
      const server = proxyUrl(world(), 'target');
      const name = `by-${release.replace('.', '-')}`;
      for (const [command, said, color] of throughProxy) {
        const stdin = color === undefined ? {} : { stdin: manifest(name, color) };
        const { code, stdout, stderr } = await run(command.replace('{name}', name), { server, ...stdin });
        expect({ command, code, stderr: complaints(stderr) }).toEqual({ command, code: 0, stderr: '' });
        expect(stdout).toMatch(new RegExp(said.source.replace('{name}', name), said.flags));
      }
    });
  });
}

/** `version` warns of releases that are far apart, and rightly. */
function complaints(stderr: string): string {
  return stderr.replace(/^WARNING: version difference .*\n/m, '');
}
