import { beforeAll, describe, expect, test } from 'vitest';

import { throughTunnel } from '../tunnel/world-tunnel.ts';
import { until } from '../worlds/wait.ts';
import { runKubectl } from './running-kubectl.ts';
import { describeScenarios } from './world.ts';

const group = 'cluster.core.oam.dev';
const path = `/apis/${group}/v1alpha1/virtualclusters`;
const controlPlane = `${group}/control-plane`;
const aliasAnnotation = `${group}/cluster-alias`;

await describeScenarios('virtualclusters as kubectl sees them at the hub', (world) => {
  beforeAll(async () => {
    const alpha = { cluster: 'a', credential: 'X509Certificate' } as const;
    await world().register('alpha', {
      ...alpha,
      labels: { tier: 'front', [controlPlane]: 'true' },
      annotations: { [aliasAnnotation]: 'Production' },
    });
    // Creation has a resolution of a second, and the order is by it: each has a second of its own.
    await nextSecond();
    await world().register('broken', { ...alpha, endpoint: 'https://u:s3cret@127.0.0.1' });
    await nextSecond();
    await world().register('beta', { cluster: 'b', credential: 'ServiceAccountToken' });
    await world().register('local', { ...alpha, annotations: { [aliasAnnotation]: 'impostor' } });
    await untilGet('get clustergateway broken local');
  });

  /** What is shown of where a cluster is. */
  const endpointOf = (cluster: 'a' | 'b') => (throughTunnel ? 'ClusterProxy' : world()[cluster].url);
  const nextSecond = () => new Promise((resolve) => setTimeout(resolve, 1100));
  const atHub = (command: string) =>
    world().kubectl(command.split(' '), { kubeconfig: world().hub.kubeconfig });
  const said = async (command: string): Promise<string> => {
    const { code, stdout, stderr } = await atHub(command);
    expect({ command, code, stderr }).toEqual({ command, code: 0, stderr: '' });
    return stdout;
  };
  const untilGet = (command: string) =>
    until(command, async () => (await atHub(command)).code === 0 || undefined, { timeoutMs: 5000 });

  test('discovery has its short names', async () => {
    const lines = (await said(`api-resources --api-group=${group} -o wide`)).split('\n');
    expect(lines.find((line) => line.startsWith('virtualclusters '))?.split(/\s+/)).toEqual([
      'virtualclusters',
      'vc,vcluster,vclusters,virtual-cluster,virtual-clusters',
      `${group}/v1alpha1`,
      'false',
      'VirtualCluster',
      'get,list,watch',
      '',
    ]);
  });

  test.each(['virtualclusters', 'virtualcluster', 'vc', 'vcluster', 'vclusters', 'virtual-cluster'])(
    'get %s: the hub first, then the newest, in these columns',
    async (name) => {
      expect(rows(await said(`get ${name}`))).toEqual([
        'NAME ALIAS CREDENTIAL_TYPE ENDPOINT ACCEPTED LABELS',
        `local Internal - true ${controlPlane}=true`,
        `beta ServiceAccountToken ${endpointOf('b')} true ${controlPlane}=false`,
        `broken X509Certificate - false ${controlPlane}=false`,
        `alpha Production X509Certificate ${endpointOf('a')} true ${controlPlane}=false,tier=front`,
      ]);
    },
  );

  test('-o wide has when they were registered', async () => {
    const [heads, local, beta] = rows(await said('get vc -o wide'));
    expect(heads).toMatch(/ LABELS CREATION_TIMESTAMP$/);
    expect(local).toBe(`local Internal - true ${controlPlane}=true`);
    expect(beta).toMatch(/ 20\d\d-\d\d-\d\dT[\d:]+Z$/);
  });

  test.each([
    [`get vc -l ${controlPlane}=true -o name`, ['local']],
    [`get vc -l ${controlPlane}=false -o name`, ['beta', 'broken', 'alpha']],
    ['get vc -l tier=front -o name', ['alpha']],
    [`get vc -l tier!=front,${controlPlane}!=true -o name`, ['beta', 'broken']],
    ['get vc --field-selector metadata.name=local -o name', ['local']],
    // In pages the order is that of names: each begins behind the last one.
    ['get vc --chunk-size=1 -o name', ['alpha', 'beta', 'broken', 'local']],
    ['get vc -l tier=nothing -o name', []],
  ])('%s', async (command, names) => {
    expect((await said(command)).split('\n').filter(Boolean)).toEqual(
      names.map((name) => `virtualcluster.${group}/${name}`),
    );
  });

  test('as JSON, with nothing of the Secret', async () => {
    const alpha = JSON.parse(await said('get vc alpha -o json')) as { metadata: Record<string, unknown> };
    expect(alpha).toEqual({
      apiVersion: `${group}/v1alpha1`,
      kind: 'VirtualCluster',
      metadata: {
        name: 'alpha',
        creationTimestamp: expect.stringMatching(/Z$/) as string,
        resourceVersion: expect.stringMatching(/^\d+$/) as string,
        labels: { tier: 'front', [controlPlane]: 'false' },
      },
      spec: {
        alias: 'Production',
        accepted: true,
        endpoint: endpointOf('a'),
        'credential-type': 'X509Certificate',
      },
      status: { conditions: [{ type: 'Accepted', status: 'True', reason: 'Valid', message: '' }] },
    });
    for (const command of ['get vc -o yaml', 'describe vc', `get --raw ${path}`]) {
      const text = await said(command);
      expect(text).toContain('broken');
      expect(text).not.toMatch(/s3cret|PRIVATE KEY|impostor/);
    }
  });

  test('wait, explain, describe', async () => {
    expect(await said('wait vc alpha local --for=condition=Accepted')).toBe(
      `virtualcluster.${group}/alpha condition met\nvirtualcluster.${group}/local condition met\n`,
    );
    const spec = await said('explain virtualcluster.spec');
    for (const field of [
      'accepted\t<boolean>',
      'alias\t<string>',
      'credential-type\t<string>',
      'endpoint\t<string>',
    ])
      expect(spec).toContain(`  ${field}\n`);
    const described = await said('describe vc broken');
    expect(described).toMatch(/Accepted: +false/);
    expect(described).toContain('userinfo');
  });

  test('as PartialObjectMetadataList', async () => {
    const accept = 'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io';
    const list = (await world().hub.api.expect(path, { headers: { accept } })) as {
      kind: string;
      items: Record<string, { name: string }>[];
    };
    expect(list.kind).toBe('PartialObjectMetadataList');
    expect(list.items.map((item) => [Object.keys(item).sort(), item['metadata']?.name])).toEqual(
      ['local', 'beta', 'broken', 'alpha'].map((name) => [['apiVersion', 'kind', 'metadata'], name]),
    );
  });

  test.each([
    ['get vc nope', `(NotFound): virtualclusters.${group} "nope" not found`],
    ['delete vc alpha', '(MethodNotAllowed)'],
    ['label vc alpha a=b', '(MethodNotAllowed)'],
  ])('%s fails', async (command, message) => {
    const { code, stderr } = await atHub(command);
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining(message) as string });
  });

  describe('a Secret by the name of the hub itself', () => {
    test('is rejected as a cluster, and says why', async () => {
      const described = await said('describe clustergateway local');
      expect(described).toContain('ReservedName');
      const { stderr } = await atHub(`get --raw /apis/${group}/v1alpha1/clustergateways/local/proxy/healthz`);
      expect(stderr).toContain('(ServiceUnavailable)');
      expect(stderr).toContain('stands for the hub itself');
    });

    test('leaves the hub as it is, also when it goes', async () => {
      const before = await said('get vc local -o json');
      expect(before).not.toContain('impostor');
      await said('-n vela-system delete secret local');
      const gone = async () => (await atHub('get clustergateway local')).code === 1 || undefined;
      await until('the rejected cluster to be gone', gone, { timeoutMs: 5000 });
      expect(await said('get vc local -o json')).toBe(before);
    });
  });

  test('-w shows an added, a changed and a deleted cluster', async () => {
    const watch = runKubectl(
      world(),
      ['get', 'virtualclusters', '-w', '--output-watch-events', '--no-headers'],
      { kubeconfig: world().hub.kubeconfig },
    );
    const seen = (event: string): Promise<unknown> =>
      until(event, () => Promise.resolve(rows(watch.stdout()).at(-1) === event || undefined), {
        timeoutMs: 2000,
      });
    try {
      await watch.says(/alpha/);
      const delta = { cluster: 'a', credential: 'X509Certificate' } as const;
      const endpoint = endpointOf('a');
      const registered = await world().register('delta', delta);
      await seen(`ADDED delta X509Certificate ${endpoint} true ${controlPlane}=false`);
      await said(`-n vela-system annotate secret delta ${aliasAnnotation}=D`);
      await seen(`MODIFIED delta D X509Certificate ${endpoint} true ${controlPlane}=false`);
      await registered.remove();
      await seen(`DELETED delta D X509Certificate ${endpoint} true ${controlPlane}=false`);
    } finally {
      await watch.kill();
    }
  });

  test('a watch goes on from the version of a list', async () => {
    const version = async () => {
      const list = (await world().hub.api.expect(path)) as { metadata: { resourceVersion: string } };
      return list.metadata.resourceVersion;
    };
    const before = await version();
    const again = await world().register('again', { cluster: 'a', credential: 'X509Certificate' });
    const known = async () => (await version()) !== before || undefined;
    await until('the list to be newer', known, { timeoutMs: 5000 });
    const watched = await said(`get --raw ${path}?watch=true&timeoutSeconds=1&resourceVersion=${before}`);
    expect(watched.split('\n')[0]).toMatch(/"ADDED".*"again"/);
    await again.remove();
  });
});

/** The lines, with one space between words. */
function rows(table: string): string[] {
  return table
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.trim().replaceAll(/\s+/g, ' '));
}
