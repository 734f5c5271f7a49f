import { beforeAll, describe, expect, test } from 'vitest';

import { endpointType, throughTunnel } from '../tunnel/world-tunnel.ts';
import { until } from '../worlds/wait.ts';
import { runKubectl } from './running-kubectl.ts';
import { describeScenarios } from './world.ts';

const group = 'cluster.core.oam.dev';
const path = `/apis/${group}/v1alpha1`;
const notAllowed = 'the server does not allow this method on the requested resource';

await describeScenarios('clustergateways as kubectl sees them at the hub', (world) => {
  beforeAll(async () => {
    await world().register('alpha', {
      cluster: 'a',
      credential: 'X509Certificate',
      labels: { tier: 'front' },
    });
    await world().register('beta', { cluster: 'b', credential: 'ServiceAccountToken' });
    await world().register('gamma', { cluster: 'b', credential: 'Dynamic', labels: { tier: 'back' } });
  });

  const atHub = (command: string, stdin?: string) =>
    world().kubectl(command.split(' '), {
      kubeconfig: world().hub.kubeconfig,
      env: { EDITOR: `sed -i s/${endpointType}/Other/` },
      ...(stdin === undefined ? {} : { stdin }),
    });
  const said = async (command: string): Promise<string> => {
    const { code, stdout, stderr } = await atHub(command);
    expect({ command, code, stderr }).toEqual({ command, code: 0, stderr: '' });
    return stdout;
  };

  test('[1] the APIService is available', async () => {
    const status =
      '{.status.conditions[?(@.type=="Available")].status},{.status.conditions[?(@.type=="Available")].reason}';
    expect(await said(`get apiservice v1alpha1.${group} -o jsonpath=${status}`)).toBe('True,Passed');
  });

  describe('discovery and documentation', () => {
    test('[10] api-resources', async () => {
      expect(rows(await said(`api-resources --api-group=${group} -o wide`))).toEqual([
        ['NAME', 'SHORTNAMES', 'APIVERSION', 'NAMESPACED', 'KIND', 'VERBS', 'CATEGORIES'],
        ['clustergateways', `${group}/v1alpha1`, 'false', 'ClusterGateway', 'get,list,watch'],
        expect.arrayContaining(['virtualclusters', 'VirtualCluster']),
      ]);
    });

    test('[6] the hub has merged the discovery document, and it is current', async () => {
      const accept = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';
      const all = (await world().hub.api.expect('/apis', { headers: { accept } })) as {
        items: { metadata: { name: string }; versions: unknown[] }[];
      };
      expect(all.items.find(({ metadata }) => metadata.name === group)?.versions).toEqual([
        {
          version: 'v1alpha1',
          freshness: 'Current',
          resources: [
            expect.objectContaining({
              resource: 'clustergateways',
              responseKind: { group, version: 'v1alpha1', kind: 'ClusterGateway' },
              scope: 'Cluster',
              singularResource: 'clustergateway',
              verbs: ['get', 'list', 'watch'],
              subresources: [expect.objectContaining({ subresource: 'proxy' })],
            }),
            expect.objectContaining({ resource: 'virtualclusters' }),
          ],
        },
      ]);
      expect(all.items.length).toBeGreaterThan(15);
    });

    test('[12][13] the hub lists our OpenAPI v3 document beside its own, and serves it', async () => {
      // The hub fetches it a moment after the APIService has become available.
      const listed = async (): Promise<Record<string, { serverRelativeURL: string }> | undefined> => {
        const { paths } = (await world().hub.api.expect('/openapi/v3')) as {
          paths: Record<string, { serverRelativeURL: string }>;
        };
        return path.slice(1) in paths ? paths : undefined;
      };
      const paths = await until('our group-version in the list', listed, { timeoutMs: 15_000 });
      expect(Object.keys(paths)).toEqual(expect.arrayContaining(['api/v1', 'version', 'apis/apps/v1']));
      const url = paths[path.slice(1)]?.serverRelativeURL ?? '';
      const document = await world().hub.api.call(url);
      expect(document.headers['cache-control']).toMatch(/\bimmutable\b/);
      expect(document.text).toContain(`"${path}/clustergateways/{name}/proxy/{path}"`);
      // Never a redirect: the hub makes 502 of one.
      const stale = await world().hub.api.call(url.replace(/hash=.*/, 'hash=0000'));
      expect({ status: stale.status, same: stale.text === document.text }).toEqual({
        status: 200,
        same: true,
      });
      expect(stale.headers['cache-control'] ?? '').not.toMatch(/\bimmutable\b/);
    });

    test('[11] the hub has merged our OpenAPI v2 document', async () => {
      const merged = async (): Promise<true | undefined> => {
        const { text } = await world().hub.api.call('/openapi/v2');
        const wanted = [
          `"${path}/clustergateways"`,
          '"dev.oam.core.cluster.v1alpha1.ClusterGateway"',
          '"/api/v1/namespaces"',
        ];
        return wanted.every((each) => text.includes(each)) || undefined;
      };
      await until('the document', merged, { timeoutMs: 15_000 });
    });

    test('[16] explain', async () => {
      const spec = await said('explain clustergateway.spec');
      expect(spec).toContain('FIELD: spec <Object>');
      expect(spec).toMatch(/^ {2}access\t<Object>$/m);
      expect(spec).toMatch(/^ {2}provider\t<string>$/m);
      const deep = await said('explain clustergateways.spec.access.endpoint.const');
      expect(deep).toMatch(/^ {2}address\t<string> -required-$/m);
      expect(await said('explain clustergateway --recursive')).toMatch(/^ {6}credential\t<Object>$/m);
      const wrong = await atHub('explain clustergateway.nothing');
      expect(wrong).toMatchObject({ code: 1, stderr: 'error: field "nothing" does not exist\n' });
    });
  });

  describe('reading', () => {
    test('[17] get has exactly these columns', async () => {
      expect((await said('get clustergateways')).split('\n').map((line) => line.trimEnd())).toEqual([
        'NAME    PROVIDER   CREDENTIAL-TYPE       ENDPOINT-TYPE   HEALTHY',
        `alpha              X509Certificate       ${endpointType.padEnd(16)}false`,
        `beta               ServiceAccountToken   ${endpointType.padEnd(16)}false`,
        `gamma              Dynamic               ${endpointType.padEnd(16)}false`,
        '',
      ]);
    });

    test.each([
      ['get clustergateway alpha -o name', `clustergateway.${group}/alpha\n`],
      ['get clustergateways -o jsonpath={.items[*].metadata.name}', 'alpha beta gamma'],
      ['get clustergateways -o jsonpath={.kind}', 'List'],
      ['get clustergateways -l tier=front -o name', `clustergateway.${group}/alpha\n`],
      ['get clustergateways -l tier!=front,tier -o name', `clustergateway.${group}/gamma\n`],
      ['get clustergateways --field-selector metadata.name=beta -o name', `clustergateway.${group}/beta\n`],
      ['get clustergateways --chunk-size=1 -o jsonpath={.items[*].metadata.name}', 'alpha beta gamma'],
      ['wait clustergateway alpha --for=condition=Accepted', `clustergateway.${group}/alpha condition met\n`],
    ])('%s', async (command, output) => {
      expect(await said(command)).toBe(output);
    });

    test('-o wide, -o yaml, describe', async () => {
      const [heads = [], alpha = []] = rows(await said('get clustergateways -o wide'));
      expect([heads.at(-1), alpha.at(-1)]).toEqual(['ACCEPTED', 'True']);
      const yaml = await said('get clustergateway alpha -o yaml');
      expect(yaml).toContain(`apiVersion: ${group}/v1alpha1\nkind: ClusterGateway\n`);
      expect(yaml).toContain(throughTunnel ? 'type: ClusterProxy\n' : `address: ${world().a.url}\n`);
      expect(yaml).toMatch(/resourceVersion: "\d+"/);
      const described = await said('describe clustergateway alpha');
      expect(described).toMatch(/^Name: +alpha\n/);
      expect(described).toMatch(/Credential:\n +Type: +X509Certificate\n/);
      expect(described).toMatch(/Events: +<none>/);
    });

    test('no output ever has a credential', async () => {
      const secrets = (await world().hub.api.expect('/api/v1/namespaces/vela-system/secrets')) as {
        items: { metadata: { name: string }; data?: Record<string, string> }[];
      };
      const hidden = secrets.items.flatMap(({ data = {} }) =>
        Object.entries(data).flatMap(([key, value]) => {
          if (key === 'endpoint' || key === 'ca.crt') return [];
          const text = Buffer.from(value, 'base64').toString();
          return [value, text, JSON.stringify(text).slice(1, -1), ...text.split('\n').filter(isTelling)];
        }),
      );
      expect(hidden.length).toBeGreaterThan(10);
      for (const command of [
        'get clustergateways -o yaml --show-managed-fields',
        'get clustergateways -o json -v=9',
        'get clustergateways -v=9',
        'describe clustergateways',
        `get --raw ${path}/clustergateways`,
        `get --raw ${path}/clustergateways/gamma`,
        `get --raw ${path}/clustergateways?watch=true&timeoutSeconds=1`,
      ]) {
        const { code, stdout, stderr } = await atHub(command);
        expect({ command, code }).toEqual({ command, code: 0 });
        expect(stdout).toContain('gamma');
        const shown = hidden.filter((text) => stdout.includes(text) || stderr.includes(text));
        expect({ command, shown }).toEqual({ command, shown: [] });
      }
    });

    test.each([
      ['get clustergateway nope', `(NotFound): clustergateways.${group} "nope" not found`],
      ['wait clustergateway nope --for=condition=Accepted', `clustergateways.${group} "nope" not found`],
      [
        `get --raw ${path}/clustergateways/nope/proxy/`,
        `(NotFound): clustergateways.${group} "nope" not found`,
      ],
      ['get clustergateways -l a=b=c', "unable to parse label selector 'a=b=c'"],
      ['get clustergateways --field-selector spec.x=1', 'not a known field selector'],
      [`get --raw ${path}/nothing`, '(NotFound): the server could not find the requested resource'],
    ])('%s fails', async (command, message) => {
      const { code, stderr } = await atHub(command);
      expect(stderr).toContain(message);
      expect(code).toBe(1);
    });
  });

  test('[27] -w shows an added, a changed and a deleted Secret', async () => {
    const watch = runKubectl(
      world(),
      ['get', 'clustergateways', '-w', '--output-watch-events', '--no-headers'],
      {
        kubeconfig: world().hub.kubeconfig,
      },
    );
    const last = (): readonly string[] => rows(watch.stdout()).at(-1) ?? [];
    const seen = (event: string): Promise<unknown> =>
      until(event, () => Promise.resolve(last().join(' ') === event || undefined), { timeoutMs: 1000 });
    try {
      await watch.says(/gamma/);
      const delta = { cluster: 'a', credential: 'X509Certificate' } as const;
      const registered = await world().register('delta', delta);
      await seen(`ADDED delta X509Certificate ${endpointType} false`);
      await world().register('delta', { ...delta, credential: 'ServiceAccountToken' });
      await seen(`MODIFIED delta ServiceAccountToken ${endpointType} false`);
      await registered.remove();
      await seen(`DELETED delta ServiceAccountToken ${endpointType} false`);
      expect(rows(watch.stdout())).toHaveLength(6);
    } finally {
      await watch.kill();
    }
  });

  describe('[33] writing answers 405', () => {
    test.each([
      'delete clustergateway alpha',
      'delete clustergateways --all',
      'delete clustergateway alpha --dry-run=server',
      'patch clustergateway alpha --type=merge -p {"spec":{"provider":"x"}}',
      'patch clustergateway alpha --type=json -p [{"op":"remove","path":"/spec"}]',
      'label clustergateway alpha a=b',
      'annotate clustergateway alpha a=b',
      `create --raw ${path}/clustergateways -f -`,
      'create -f -',
      'replace -f -',
      'apply -f -',
      'apply --server-side -f -',
      'edit clustergateway alpha',
    ])('%s', async (command) => {
      const object = await said('get clustergateway alpha -o json');
      const { code, stderr } = await atHub(command, object);
      expect(stderr).toContain(notAllowed);
      // These two wrap the message instead of the Status.
      if (!/^(edit|apply -f)/.test(command)) expect(stderr).toContain('(MethodNotAllowed)');
      expect(code).toBe(1);
      expect(await said('get clustergateway alpha -o json')).toBe(object);
    });

    test('scale, as with any kind that has no scale', async () => {
      const [ours, builtIn] = [
        await atHub('scale clustergateway alpha --replicas=2'),
        await atHub('scale serviceaccount default --replicas=2'),
      ];
      expect(ours).toEqual(builtIn);
      expect(ours.stderr).toContain('the server could not find the requested resource');
    });
  });
});

/** The words of each line. */
function rows(table: string): string[][] {
  return table
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.trim().split(/\s+/));
}

/** Lines of PEM and JSON that stand for nothing by themselves are in many texts. */
function isTelling(line: string): boolean {
  return line.length > 20 && !line.startsWith('-----');
}
