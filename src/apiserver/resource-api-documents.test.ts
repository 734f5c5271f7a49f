import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { GROUP, call, protocols, serveWidgets } from './testing/widgets.ts';

/* eslint-disable @typescript-eslint/no-explicit-any -- documents of many shapes */
const json = (body: string): any => JSON.parse(body);
/* eslint-enable */

describe.each(protocols)('%s', (protocol) => {
  const served = async () => {
    const { port } = await serveWidgets({ version: 'v0.1.0' });
    return (path: string, headers: Record<string, string> = {}) => call(protocol, port, { path, headers });
  };

  test('APIResourceList', async () => {
    const get = await served();
    const { status, body } = await get(GROUP);
    expect(status).toBe(200);
    expect(json(body)).toEqual({
      kind: 'APIResourceList',
      apiVersion: 'v1',
      groupVersion: 'example.dev/v1',
      resources: [
        {
          name: 'doodads',
          singularName: 'doodad',
          namespaced: false,
          kind: 'Doodad',
          verbs: ['get', 'list'],
        },
        { name: 'gadgets', singularName: 'gadget', namespaced: false, kind: 'Gadget', verbs: ['get'] },
        {
          name: 'widgets',
          singularName: 'widget',
          namespaced: false,
          kind: 'Widget',
          verbs: ['get', 'list', 'watch'],
          shortNames: ['wd'],
          categories: ['all'],
        },
        {
          name: 'widgets/tunnel',
          singularName: '',
          namespaced: false,
          kind: 'WidgetTunnelOptions',
          verbs: ['create', 'delete', 'get', 'patch', 'update'],
        },
      ],
    });
  });

  test('APIGroup and APIGroupList', async () => {
    const get = await served();
    const version = { groupVersion: 'example.dev/v1', version: 'v1' };
    const group = { name: 'example.dev', versions: [version], preferredVersion: version };
    expect(json((await get('/apis/example.dev')).body)).toEqual({
      kind: 'APIGroup',
      apiVersion: 'v1',
      ...group,
    });
    for (const accept of ['*/*', 'application/json', '']) {
      const { headers, body } = await get('/apis', accept === '' ? {} : { accept });
      expect(headers['content-type']).toBe('application/json');
      expect(json(body)).toEqual({ kind: 'APIGroupList', apiVersion: 'v1', groups: [group] });
    }
    expect((await get('/apis/')).status).toBe(200);
    expect((await get('/apis', { accept: 'text/html' })).status).toBe(406);
  });

  const aggregated = (version: string) =>
    `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`;

  test.each(['v2', 'v2beta1'])('aggregated discovery %s', async (version) => {
    const get = await served();
    const { headers, body } = await get('/apis', { accept: `${aggregated(version)},application/json` });
    expect(headers).toMatchObject({
      'content-type': aggregated(version),
      'cache-control': 'public',
      vary: 'Accept',
      etag: `"${createHash('sha512').update(body).digest('hex').toUpperCase()}"`,
    });
    expect(json(body)).toMatchObject({
      kind: 'APIGroupDiscoveryList',
      apiVersion: `apidiscovery.k8s.io/${version}`,
    });
    const [group] = json(body).items;
    expect(group).toMatchObject({
      metadata: { name: 'example.dev' },
      versions: [{ version: 'v1', freshness: 'Current' }],
    });
    expect((group.versions[0].resources as object[]).at(-1)).toEqual({
      resource: 'widgets',
      responseKind: { group: 'example.dev', version: 'v1', kind: 'Widget' },
      scope: 'Cluster',
      singularResource: 'widget',
      verbs: ['get', 'list', 'watch'],
      shortNames: ['wd'],
      categories: ['all'],
      subresources: [
        {
          subresource: 'tunnel',
          responseKind: { group: 'example.dev', version: 'v1', kind: 'WidgetTunnelOptions' },
          verbs: ['create', 'delete', 'get', 'patch', 'update'],
        },
      ],
    });
  });

  test("the aggregator's Accept gives v2, and 304 once it has it", async () => {
    const get = await served();
    const accept = `${aggregated('v2')},${aggregated('v2beta1')}`;
    const first = await get('/apis', { accept });
    expect(json(first.body).apiVersion).toBe('apidiscovery.k8s.io/v2');
    const { etag = '' } = first.headers;
    const second = await get('/apis', { accept, 'if-none-match': etag });
    expect([second.status, second.body]).toEqual([304, '']);
    expect(second.headers).toMatchObject({ etag, vary: 'Accept' });
    expect((await get('/apis', { accept, 'if-none-match': '"x"' })).status).toBe(200);
    expect((await get('/apis', { accept: 'application/json', 'if-none-match': etag })).status).toBe(200);
  });

  test('/openapi/v3 names our group and version only, with a hash that is cached for good', async () => {
    const get = await served();
    const { paths } = json((await get('/openapi/v3')).body);
    expect(Object.keys(paths as object)).toEqual(['apis/example.dev/v1']);
    const url = paths['apis/example.dev/v1'].serverRelativeURL as string;
    expect(url).toMatch(/^\/openapi\/v3\/apis\/example\.dev\/v1\?hash=[0-9A-F]{128}$/);
    const cached = await get(url);
    expect(cached.status).toBe(200);
    expect(cached.headers['cache-control']).toBe('public, immutable');
    expect(Date.parse(cached.headers['expires'] ?? '')).toBeGreaterThan(Date.now() + 300 * 24 * 3600 * 1000);
    for (const other of [url.replace(/hash=.*/, 'hash=ABC'), url.replace(/\?.*/, '')]) {
      const fresh = await get(other);
      expect(fresh.status).toBe(200);
      expect(fresh.headers['cache-control']).toBe('no-cache, private');
      expect(fresh.body).toBe(cached.body);
    }
    const { etag = '' } = cached.headers;
    expect((await get(url, { 'if-none-match': etag })).status).toBe(304);
    const protobuf = 'application/com.github.proto-openapi.spec.v3.v1.0+protobuf';
    expect((await get(url, { accept: protobuf })).status).toBe(406);
    expect((await get(url, { accept: `${protobuf}, application/json` })).status).toBe(200);
  });

  test('what kubectl looks for in OpenAPI v3', async () => {
    const get = await served();
    const { openapi, info, paths, components } = json((await get('/openapi/v3/apis/example.dev/v1')).body);
    expect([openapi, info]).toEqual(['3.0.0', { title: 'Kubernetes', version: 'v0.1.0' }]);
    expect(Object.keys(paths as object)).toEqual([
      '/apis/example.dev/v1/',
      '/apis/example.dev/v1/doodads',
      '/apis/example.dev/v1/doodads/{name}',
      '/apis/example.dev/v1/gadgets/{name}',
      '/apis/example.dev/v1/widgets',
      '/apis/example.dev/v1/widgets/{name}',
      '/apis/example.dev/v1/widgets/{name}/tunnel',
      '/apis/example.dev/v1/widgets/{name}/tunnel/{path}',
    ]);
    const gvk = { group: 'example.dev', version: 'v1', kind: 'Widget' };
    expect(paths['/apis/example.dev/v1/widgets'].get).toMatchObject({
      operationId: 'listExampleDevV1Widget',
      'x-kubernetes-action': 'list',
      'x-kubernetes-group-version-kind': gvk,
      responses: {
        '200': {
          content: {
            'application/json': { schema: { $ref: '#/components/schemas/dev.example.v1.WidgetList' } },
          },
        },
      },
    });
    expect(paths['/apis/example.dev/v1/widgets/{name}/tunnel/{path}'].post).toMatchObject({
      'x-kubernetes-action': 'connect',
      'x-kubernetes-group-version-kind': { kind: 'WidgetTunnelOptions' },
    });
    expect(components.schemas['dev.example.v1.Widget']).toMatchObject({
      'x-kubernetes-group-version-kind': [gvk],
      properties: { apiVersion: {}, kind: {}, metadata: {}, spec: { properties: { size: {} } } },
    });
  });

  test('/openapi/v2', async () => {
    const get = await served();
    const { status, headers, body } = await get('/openapi/v2', { accept: 'application/json' });
    expect(status).toBe(200);
    const document = json(body);
    expect(document.swagger).toBe('2.0');
    expect(document.paths['/apis/example.dev/v1/widgets'].get).toMatchObject({
      'x-kubernetes-action': 'list',
      responses: { '200': { schema: { $ref: '#/definitions/dev.example.v1.WidgetList' } } },
    });
    const { metadata } = document.definitions['dev.example.v1.Widget'].properties;
    expect(metadata.$ref).toBe('#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta');
    const { etag = '' } = headers;
    expect((await get('/openapi/v2', { 'if-none-match': etag })).status).toBe(304);
    expect((await get('/openapi/v2', { accept: 'text/html' })).status).toBe(406);
    expect((await get('/openapi/v2', { accept: '*/*' })).status).toBe(200);
  });

  test.each(['/openapi/v2', '/openapi/v3/apis/example.dev/v1'])('%s has nothing loose', async (path) => {
    const get = await served();
    const { body } = await get(path);
    const document = json(body);
    const schemas = (document.components?.schemas ?? document.definitions) as Record<string, unknown>;
    const references = [...body.matchAll(/"\$ref":"#\/(?:components\/schemas|definitions)\/([^"]+)"/g)];
    expect(references.length).toBeGreaterThan(20);
    expect(references.map(([, name = '']) => name).filter((name) => !(name in schemas))).toEqual([]);
    const ids = [...body.matchAll(/"operationId":"([^"]+)"/g)].map(([, id]) => id);
    expect(new Set(ids).size).toBe(ids.length);
  });
});
