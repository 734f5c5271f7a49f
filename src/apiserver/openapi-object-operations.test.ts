import { describe, expect, test } from 'vitest';
import { gizmoResource, serveGizmos } from './testing/gizmos.ts';
import type { Gizmo } from './testing/gizmos.ts';
import { GROUP } from './testing/widgets.ts';
import { WatchCache } from './watch-cache.ts';
import { openApiV2, openApiV3 } from './openapi.ts';

interface Operation {
  readonly operationId: string;
  readonly 'x-kubernetes-action': string;
  readonly 'x-kubernetes-group-version-kind': object;
  readonly parameters: readonly { readonly name: string; readonly in: string; readonly schema?: object }[];
  readonly requestBody?: { readonly content: object; readonly required?: boolean };
  readonly consumes?: readonly string[];
  readonly responses: object;
}
type Paths = Readonly<Record<string, Readonly<Record<string, Operation>>>>;

const groupVersion = (scope: 'Cluster' | 'Namespaced') => ({
  ...{ group: 'example.dev', version: 'v1' },
  resources: [gizmoResource(new WatchCache<Gizmo>(), scope)],
});
const base = '/apis/example.dev/v1';

describe.each([
  ['Namespaced', `${base}/namespaces/{namespace}/gizmos`, 'Namespaced'],
  ['Cluster', `${base}/gizmos`, ''],
] as const)('%s', (scope, all, infix) => {
  const one = `${all}/{name}`;
  const operations = [
    [all, 'get', 'list', `listExampleDevV1${infix}Gizmo`],
    [all, 'delete', 'deletecollection', `deleteExampleDevV1Collection${infix}Gizmo`],
    [all, 'post', 'create', `createExampleDevV1${infix}Gizmo`],
    [one, 'delete', 'delete', `deleteExampleDevV1${infix}Gizmo`],
    [one, 'get', 'get', `readExampleDevV1${infix}Gizmo`],
    [one, 'patch', 'patch', `patchExampleDevV1${infix}Gizmo`],
    [one, 'put', 'put', `replaceExampleDevV1${infix}Gizmo`],
    [`${one}/status`, 'get', 'get', `readExampleDevV1${infix}GizmoStatus`],
    [`${one}/status`, 'patch', 'patch', `patchExampleDevV1${infix}GizmoStatus`],
    [`${one}/status`, 'put', 'put', `replaceExampleDevV1${infix}GizmoStatus`],
    ...(scope === 'Namespaced'
      ? [[`${base}/gizmos`, 'get', 'list', 'listExampleDevV1GizmoForAllNamespaces']]
      : []),
  ].sort();
  const documents = [
    ['v3', openApiV3(groupVersion(scope), 'v0')],
    ['v2', openApiV2([groupVersion(scope)], 'v0')],
  ] as const;

  test.each(documents)('OpenAPI %s names every verb, of the resource and its subresource', (_, document) => {
    const { paths } = document as { paths: Paths };
    const found = Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => [
        ...[path, method, operation['x-kubernetes-action'], operation.operationId],
      ]),
    );
    expect(found.filter(([path]) => path !== `${base}/`).sort()).toEqual(operations);
    const gvk = { group: 'example.dev', version: 'v1', kind: 'Gizmo' };
    for (const [path = '', method = ''] of operations) {
      const operation = paths[path]?.[method];
      expect(operation?.['x-kubernetes-group-version-kind']).toEqual(gvk);
      const inPath = operation?.parameters
        .filter((each) => each.in === 'path')
        .map(({ name }) => `{${name}}`);
      expect(inPath).toEqual([...path.matchAll(/\{\w+\}/g)].map(([name]) => name));
    }
  });

  test.each(documents)('OpenAPI %s: what writes take', (version, document) => {
    const { paths } = document as { paths: Paths };
    const query = (path: string, method: string) =>
      paths[path]?.[method]?.parameters.filter((each) => each.in === 'query').map(({ name }) => name);
    const write = ['pretty', 'dryRun', 'fieldManager', 'fieldValidation'];
    expect(query(all, 'post')).toEqual(write);
    for (const path of [one, `${one}/status`]) {
      expect(query(path, 'put')).toEqual(write);
      expect(query(path, 'patch')).toEqual([...write, 'force']);
    }
    expect(query(one, 'delete')).toEqual([
      ...['pretty', 'dryRun', 'gracePeriodSeconds', 'orphanDependents', 'propagationPolicy'],
    ]);
    const types = (method: string) => {
      const operation = paths[one]?.[method];
      return version === 'v2' ? operation?.consumes : Object.keys(operation?.requestBody?.content ?? {});
    };
    expect(types('patch')).toEqual(['application/json-patch+json', 'application/merge-patch+json']);
    expect(types('put')).toEqual(['application/json', 'application/yaml']);
    expect(types('delete')).toEqual(['application/json', 'application/yaml']);
    expect(Object.keys(paths[all]?.['post']?.responses ?? {})).toEqual(['200', '201', '202', '401']);
  });

  test.each(documents)('OpenAPI %s has nothing loose', (_, document) => {
    const text = JSON.stringify(document);
    const shapes = document as { components?: { schemas: object }; definitions?: object };
    const schemas = shapes.components?.schemas ?? shapes.definitions ?? {};
    const references = [...text.matchAll(/"\$ref":"#\/(?:components\/schemas|definitions)\/([^"]+)"/g)];
    expect(references.map(([, name = '']) => name).filter((name) => !(name in schemas))).toEqual([]);
  });
});

test('discovery shows the verbs that work', async () => {
  const { ask } = await serveGizmos('HTTP/2');
  const verbs = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];
  expect((await ask('GET', GROUP)).body).toMatchObject({
    resources: [
      { name: 'gizmos', namespaced: true, verbs },
      { name: 'gizmos/status', namespaced: true, kind: 'Gizmo', verbs: ['get', 'patch', 'update'] },
    ],
  });
  for (const version of ['v2', 'v2beta1']) {
    const accept = `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`;
    expect((await ask('GET', '/apis', { headers: { accept } })).body).toMatchObject({
      items: [
        {
          versions: [
            {
              resources: [
                {
                  ...{ resource: 'gizmos', scope: 'Namespaced', verbs },
                  subresources: [{ subresource: 'status', verbs: ['get', 'patch', 'update'] }],
                },
              ],
            },
          ],
        },
      ],
    });
  }
});
